"""The first stage: get a data set, check it once and write its index."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsolbench.acquire.building import build_dataset
from wsolbench.acquire.inspection import keep_checks
from wsolbench.acquire.policy import GROUND_TRUTH, policy_and_sources
from wsolbench.acquire.summary import check_classes, split_table
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.cache import Reading
from wsolbench.data.folders import directories
from wsolbench.data.index import INDEX_FILE, write_index, write_selection
from wsolbench.errors import DataError, StorageError, counted
from wsolbench.files import locked, replace_directory, write_text

__all__ = ["look", "prepare"]

_log = logging.getLogger("wsolbench.prepare")


def prepare(settings: Settings, track: str, layout: Layout) -> str:
    """Prepare a track's data set: get and check it, write index and truth, and return the digest of the index.

    Beside these, what training may know of the truth: nothing, or that of ``val``, where the track selects by it.

    What was prepared before stays until all of this is there, and is replaced at once. Images that were checked before
    and have not changed since are not checked again.

    Raises:
        DataError: files are missing, unreadable or contradictory, or classes are tested that have no training image.
    """
    name, directory = settings.tracks[track].dataset, layout.prepared(track)
    dataset = build_dataset(settings, name)
    policy, sources = policy_and_sources(settings, name)
    # Other tracks' preparations of the same data wait, and so does a second one of this track.
    with (
        _permitted(),
        locked(layout.checked / f"{name}.lock"),
        keep_checks(layout.checked, Reading.of(settings.runtime, layout).workers),
    ):
        dataset.obtain(sources)
        with _renewed(directory) as new:
            contents = policy.applied(dataset.contents(new))
            check_classes(contents)
            digest = write_index(new, contents, dataset.image_root(new), policy.truth_name)
            write_selection(new, layout.selection(track), wanted=settings.tracks[track].selection == "val_boxes")
    if contents.clipped:
        what = counted(
            contents.clipped, "box reached beyond its image and was", "boxes reached beyond their images and were"
        )
        _log.info("%s: %s clipped to it", name, what)
    _log.info("%s: %d classes; digest %s\n%s", name, len(contents.class_names), digest[:12], split_table(contents))
    return digest


def look(settings: Settings, track: str, layout: Layout) -> None:
    """Write down what tells whether the files of a track's data set have changed since ``prepare`` read them.

    Of what truth is read from, sizes and times of all files; of images, times of directories, which change with what is
    added, removed or renamed in them. No image is opened: what is written into one without that is noticed when it is
    read, by its digest.

    Where the files are not here, but what was prepared from them is (in a clone that pulled it), that stands as it is.
    """
    name, directory = settings.tracks[track].dataset, layout.prepared(track)
    dataset, (policy, _) = build_dataset(settings, name), policy_and_sources(settings, name)
    if layout.look(track).is_file() and (directory / INDEX_FILE).is_file():
        try:
            dataset.image_root(directory)
        except DataError as error:
            _log.warning("%s: taken as it was when it was prepared, for its files are not here: %s", track, error)
            return
    truth = [
        *dataset.watched_truth(),
        *([] if policy.val_truth == GROUND_TRUTH else [Path(policy.val_truth).expanduser()]),
    ]
    with _permitted():
        seen = [_state(path) for path in dataset.watched()] + [_state(path, every_file=True) for path in truth]
    digest = hashlib.sha256(json.dumps(seen).encode()).hexdigest() if seen else None
    write_text(layout.look(track), json.dumps({"dataset": name, "state": digest}) + "\n")


def _state(path: Path, *, every_file: bool = False) -> list[list[str | int]]:
    """Return name, size and time of a file, or names and times of a directory and those below it."""
    if not path.is_dir():
        return _times(path, path.name)
    seen: list[list[str | int]] = []
    for folder, names in directories(path, onerror=_raise):
        place = folder.relative_to(path)
        seen.append([str(place), folder.stat().st_mtime_ns])
        for name in sorted(names) if every_file else ():
            seen += _times(folder / name, str(place / name))
    return seen


def _times(path: Path, name: str) -> list[list[str | int]]:
    try:
        found = path.stat()
    except OSError:  # not there, or a link to nothing
        return []
    return [[name, found.st_size, found.st_mtime_ns]]


def _raise(error: OSError) -> None:
    raise error


@contextmanager
def _renewed(directory: Path) -> Iterator[Path]:
    """Yield an empty directory that takes the place of ``directory`` when the context ends well, else goes."""
    new = directory.with_name(f".{directory.name}.tmp")
    shutil.rmtree(new, ignore_errors=True)  # of a process that was killed
    new.mkdir(parents=True)
    try:
        yield new
        replace_directory(new, directory)
    except StorageError as error:  # which names what could not be written by its temporary place
        raise StorageError(str(error).replace(str(new), str(directory))) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


@contextmanager
def _permitted() -> Iterator[None]:
    """Say which file or directory this user has no right to."""
    try:
        yield
    except PermissionError as error:
        raise DataError(
            f"{error.filename}: {error.strerror}; give this user the right to read the data set and to write its own "
            "files (docs/how-to/published_data.md names the roots)"
        ) from None
