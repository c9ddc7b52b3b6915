"""``wsolbench predict``: classes, maps, boxes, masks and pictures of anybody's photographs, by a trained run."""

from __future__ import annotations

import csv
import errno
import io
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsolbench import __version__
from wsolbench.config.paths import Layout
from wsolbench.config.settings import RuntimeSettings, Settings
from wsolbench.data.cache import Reading
from wsolbench.errors import DataError, counted
from wsolbench.files import replace_directory
from wsolbench.runs.progress import meter
from wsolbench.tools.photographs import ABOUT_FILE, Photograph, find_photographs, open_photographs
from wsolbench.tools.predictions import FORMATS, Format, Prediction, coco, draw, score_map_of, table, tree
from wsolbench.tools.trained_run import TrainedRun, label_of, localize, open_run

__all__ = ["Predicted", "predict"]

_BATCH = 16  # photographs at a time, which bounds memory
_log = logging.getLogger("wsolbench.tools.predict")


@dataclass(frozen=True)
class Predicted:
    """What was written to a folder, and a sentence about each photograph that was left out."""

    folder: Path
    count: int
    skipped: tuple[str, ...]
    kinds: tuple[str, ...]


def predict(
    settings: Settings | None,
    key: str,
    sources: Sequence[Path],
    out: Path,
    layout: Layout,
    *,
    threshold: float | None = None,
    class_name: str | None = None,
    masks: bool = False,
    all_boxes: bool = False,
    formats: Sequence[Format] = ("csv",),
    device: Literal["auto", "cpu", "cuda"] | None = None,
) -> Predicted:
    """Predict photographs, files or directories of them, with a trained run (its key, or its folder).

    Writes to ``<out>/<key>``, so that no two runs mix; what the same run wrote there before is replaced as a whole when
    all is done. In it:

    - ``predictions.csv`` (``'`` is before a name that a spreadsheet would take for a formula), ``predictions.json`` and
      ``coco.json``, as asked for: class, its probability, box, score;
    - ``classes.txt``, up to five classes per photograph, as ``wsolbench score --predictions`` reads them;
    - ``maps/<id>.npy``, the raw map, as ``wsolbench score --maps`` reads it;
    - ``pictures/``, photograph, map, box and class, JPEG, 320 to 2048 pixels long;
    - ``masks/``, PNG, 255 where the map reaches the threshold: where asked for, or the data set has masks only;
    - ``about-predictions.json``, run, thresholds and what was left out.

    Photographs are turned as viewers display them, and everything refers to the displayed picture. The box is that of
    protocol ``pixel``: the largest component of what reaches the threshold times the maximum. Its score is the mean of
    the normalised map inside it. Without ``threshold``, in [0, 1), those that the run's ``val`` split chose hold;
    without ``class_name``, a name or number, the predicted class is localized.

    Raises:
        SettingsError: the class does not exist, or the key is that of no run, or of a baseline.
        DataError: the run is not trained or damaged, no photograph can be read, or the results cannot be written.
    """
    run = open_run(settings, key, layout, threshold, device)
    wanted = None if class_name is None else label_of(class_name, run.class_names)
    target = out / run.key
    _check_target(target)
    root, names, skipped = find_photographs(sources)
    listed = counted(len(names) + len(skipped), "file")
    _log.info("%s: %s with the suffix of an image, %s", run.key, listed, run.cuts.described())
    masks = masks or run.cuts.masks_only
    threads = Reading.of(RuntimeSettings() if settings is None else settings.runtime, layout).workers
    with _replacing(target) as folder, meter("predicting", len(names), "images") as progress:
        work = _Writer(folder, {*names}, skipped, run.cuts.mask if masks else None)
        for batch in open_photographs(root, names, run.side, _BATCH, threads):
            opened = [each for each in batch if isinstance(each, Photograph)]
            work.skipped += [each for each in batch if isinstance(each, str)]
            found = localize(run, opened, wanted, every=all_boxes, masks=masks)
            for photograph, prediction in zip(opened, found, strict=True):
                work.add(photograph, prediction)
            progress.advance(len(batch))
        if not work.done:
            raise DataError("no photograph can be used:\n" + "\n".join(work.skipped))
        _write_tables(work, run, formats, class_name)
    kinds = [FORMATS[each] for each in dict.fromkeys(formats)] + ["maps", "pictures"]
    return Predicted(target, len(work.done), tuple(work.skipped), (*kinds, *(["masks"] if masks else [])))


@dataclass
class _Writer:
    """The files of photographs, and what is kept of each for the tables."""

    folder: Path
    names: set[str]
    skipped: list[str]
    mask_cut: float | None
    done: list[Prediction] = field(default_factory=list)

    def add(self, photograph: Photograph, found: Prediction) -> None:
        """Write the files of a photograph and keep its line of the tables."""
        picture = draw(photograph.shown, score_map_of(found.map), found, self.mask_cut)
        try:
            _save(self.folder / "maps" / f"{found.id}.npy", found.map)
            if found.mask is not None:
                image = Image.fromarray((found.mask * 255).astype(np.uint8))
                _save(self.folder / "masks" / self._named(found.id, ".png"), image)
            _save(self.folder / "pictures" / self._named(found.id, ".jpg"), picture)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            self.skipped.append(f"{found.id}: its name is too long to write files after it; rename it")
            return
        self.done.append(replace(found, map=found.map[:0, :0].copy()))

    def _named(self, name: str, suffix: str) -> str:
        """Return a name with a suffix, which no other photograph's file gets."""
        if name.lower().endswith(suffix):
            return name
        return f"{name}.of{suffix}" if f"{name}{suffix}" in self.names else f"{name}{suffix}"


def _check_target(target: Path) -> None:
    """Refuse to replace what predictions did not write."""
    if target.is_dir() and any(target.iterdir()) and not (target / ABOUT_FILE).is_file():
        raise DataError(f"{target} holds other files than predictions; move them, or choose another --out")
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; choose another --out")


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of ``target`` when all went well, and is removed otherwise."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        folder.chmod(0o755)
    except OSError as error:
        raise DataError(f"{target.parent} cannot be written ({error.strerror}); choose another --out") from None
    try:
        yield folder
        replace_directory(folder, target)
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _save(path: Path, content: NDArray[np.float32] | Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Image.Image):
        content.save(path, quality=90)  # of a JPEG; PNG has none
    else:
        np.save(path, content)


def _write_tables(work: _Writer, run: TrainedRun, formats: Sequence[Format], class_name: str | None) -> None:
    contents = {"csv": lambda: table(work.done), "json": lambda: tree(work.done)}
    contents["coco"] = lambda: coco(work.done, run.class_names)
    for kind in dict.fromkeys(formats):
        (work.folder / FORMATS[kind]).write_text(contents[kind](), encoding="utf-8")
    listed = io.StringIO()
    rows = csv.writer(listed, lineterminator="\n")
    rows.writerows([each.id, *(label for label, _, _ in each.top5)] for each in work.done if each.top5)
    (work.folder / "classes.txt").write_text(listed.getvalue(), encoding="utf-8")
    about = {
        "run": run.key,
        "method": run.method,
        "version": __version__,
        "maps_of": "predicted class" if class_name is None else work.done[0].name,
        "threshold": {"box": run.cuts.box, "mask": run.cuts.mask, "from": run.cuts.origin},
        "box": "largest component at the threshold (protocol pixel), half-open, pixels of the displayed photograph",
        "score": "mean of the normalised map inside the box",
        "photographs": len(work.done),
        "left_out": work.skipped,
    }
    (work.folder / ABOUT_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
