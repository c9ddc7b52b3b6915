"""Read the metrics of exactly those runs that the settings name, as one tidy table."""

from __future__ import annotations

import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.errors import DataError, SettingsError, first_three, nearest
from wsolbench.files import parse_file, read_parquet
from wsolbench.results.entries import METRICS_FILE, PER_IMAGE_FILE, entries_of, entry_folder
from wsolbench.results.metrics import METRICS
from wsolbench.results.schema import Entry, Measured, SkippedRun, parse_metrics

__all__ = ["Results", "check_versions", "load_curve", "load_per_image", "load_results", "missing_metrics", "remedy"]
__all__ += ["truth_of"]

_log = logging.getLogger(__name__)

_KINDS = ("method", "readout", "baseline", "entry")
_IDENTITY = ["track", "dataset", "backbone", "kind", "method", "title", "status", "recipe", "seed", "key", "variant_of"]
_FACTS = {
    "learned_nothing": "learned_nothing", "weights": "weights.name", "weights_sha256": "weights.sha256",
    "selection": "selection", "protocol": "protocol", "images_val": "images.val", "images_test": "images.test",
    "boxes_used": "boxes_used.val", "masks_used": "masks_used.val", "val_truth": "val_truth",
    "data_digest": "data_digest",
}  # fmt: skip
"""What is true of a measured run beside its numbers, by its place in the metrics file."""
# Not `images.val`: a supervised bound may spend part of `val` on training.
_SAME_FOR_ALL = ("dataset", "backbone", "selection", "protocol", "images.test", "threshold.fixed")
_SAME_FOR_ENTRIES = ("dataset", "protocol", "images.test", "threshold.fixed", "protocol_version", "truth_digest")

Run = Measured | SkippedRun


@dataclass(frozen=True)
class _Asked:
    """A run that the settings name, or an entry, and its metrics file."""

    kind: Literal["method", "baseline", "entry"]
    method: str
    seed: int
    key: str
    path: Path
    entry: Entry | None = None

    @property
    def remedy(self) -> str:
        return remedy(self.kind, self.key)


def remedy(kind: str, key: str) -> str:
    """Return what to do about a result that is missing or damaged, as the end of a sentence."""
    if kind == "entry":
        return "score its maps again by `wsolbench score --entry`"
    return f"run `wsolbench {'baseline' if kind == 'baseline' else 'evaluate'} {key}`, or `wsolbench launch`"


class Results(NamedTuple):
    """The runs of some tracks, and their numbers; see :func:`load_results`."""

    runs: pd.DataFrame
    frame: pd.DataFrame


def load_results(settings: Settings, tracks: Sequence[str], root: Path) -> Results:
    """Read every run that the settings name on some tracks, and the entries there, each file once.

    Returns:
        ``runs`` has a row per run, in the order of ``run``, entries last: ``track``, ``dataset``, ``backbone``,
        ``kind``, ``method`` (its key), ``title``, ``status``, ``recipe``, ``seed``, ``key`` (of the run) and
        ``variant_of`` (the method that it is a variant of, None if it is none); ``skipped`` (why there are no numbers);
        ``reads``, the method whose trained network a read-out reads; ``class_agnostic``; ``exempt``, exemptions with
        their reasons; ``protocol_version``; ``learned_nothing``;
        ``weights``, ``weights_sha256``; ``selection``; ``protocol``; ``images_val``, ``images_test``; ``boxes_used``,
        ``masks_used`` and ``val_truth`` of ``val``;
        ``data_digest``; ``entry``, what an entry says of itself. Missing (NaN) where there is nothing to say.

        ``frame`` has a row per number of every run: the first eleven columns of ``runs``, ``metric`` (a name in
        :data:`~wsolbench.results.metrics.METRICS`) and ``value``; a number that is not defined has no row.

        ``track``, ``kind``, ``method`` and ``metric`` are ordered categories, those of ``track`` and ``method`` in the
        order of ``params.yaml``.

    Raises:
        SettingsError: a track does not exist, or ``run`` names no run of it.
        DataError: a file is missing, damaged or another run's, or the runs were not measured alike; the message
            names the file and how to make it anew.
    """
    found = [(_identity(asked, run), asked, run) for asked, run in _read_all(settings, tracks, root)]
    facts = [dict(zip(_IDENTITY, who, strict=True)) | _facts(run) | {"entry": asked.entry} for who, asked, run in found]
    numbers = [
        (*who, name, value)
        for who, _, run in found
        if isinstance(run, Measured)
        for name, metric in METRICS.items()
        if (value := metric.value(run)) is not None
    ]
    others = ["skipped", "reads", "class_agnostic", "exempt", "protocol_version", *_FACTS, "entry"]
    runs = pd.DataFrame(facts, columns=[*_IDENTITY, *others])
    frame = pd.DataFrame(numbers, columns=[*_IDENTITY, "metric", "value"])
    check_versions(runs, root)
    return Results(_ordered(runs, settings), _ordered(frame, settings))


def load_per_image(
    track: str, keys: Sequence[str], root: Path, columns: Sequence[str], kind: str = "method"
) -> pd.DataFrame:
    """Return some columns of the per-image tables of some runs of one track.

    Returns:
        ``id`` and the columns, with the run's key as the first level of the index; images in the order of the index.

    Raises:
        DataError: a file is missing or damaged, or of other images than the first; the message names it.
    """
    frames: dict[str, pd.DataFrame] = {}
    for key in keys:
        path, cure = Layout(root).per_image(track, key), remedy(kind, key)
        if kind == "entry":
            path = entry_folder(root, key.removeprefix(f"{track}-").removesuffix("-0")) / track / PER_IMAGE_FILE

        def parsed(content: bytes) -> pd.DataFrame:
            frame: pd.DataFrame = read_parquet(content, ["id", *columns]).to_pandas(use_threads=False)
            return frame.astype(dict.fromkeys(frame.select_dtypes("float32"), "float64"))

        frames[key] = parse_file(path, parsed, cure)
        if frames[key]["id"].tolist() != frames[keys[0]]["id"].tolist():
            raise DataError(f"{path} is of other images than {keys[0]}; {cure}")
    return pd.concat(frames, names=["key"])


def load_curve(track: str, key: str, kind: str, root: Path, *columns: str) -> pd.DataFrame:
    """Return ``threshold`` in [0, 1] and some columns of a run's curve, percent; a precision may be NaN.

    Raises:
        DataError: the file is missing or damaged; the message names it.
    """

    def parsed(content: bytes) -> pd.DataFrame:
        found = pd.read_csv(io.BytesIO(content), usecols=["threshold", *columns], dtype=float)
        if found.empty or not np.isfinite(found.drop(columns="px_precision", errors="ignore")).all(axis=None):
            raise ValueError("no rows, or empty cells")
        return found[["threshold", *columns]]

    return parse_file(Layout(root).curves(track, key), parsed, remedy(kind, key))


def check_versions(runs: pd.DataFrame, root: Path) -> None:
    """Refuse runs in one table that were measured under different versions of the protocol.

    Raises:
        DataError: there are several versions; the message names a file of each.
    """
    first = runs.drop_duplicates("protocol_version")
    if len(first) > 1:
        names = zip(first["track"], first["key"], first["protocol_version"], strict=True)
        files = ", ".join(f"{Layout(root).metrics(track, key)} ({version})" for track, key, version in names)
        raise DataError(f"results of different protocol versions share no table: {files}; run `wsolbench launch`")


def truth_of(frame: pd.DataFrame) -> Literal["boxes", "masks"] | None:
    """Return what a track's localization is measured by: boxes where its test split has any, else masks."""
    found = set(frame["metric"])
    return "boxes" if "gt_known.fixed" in found else "masks" if "p_iou.fixed" in found else None


def _identity(asked: _Asked, run: Run) -> tuple[object, ...]:
    kind = "readout" if run.reads else asked.kind
    title = run.title if kind in {"baseline", "entry"} else _title(run)
    start = (run.track, run.dataset, run.backbone, kind, asked.method, title, run.method_status, run.recipe)
    return (*start, run.seed, run.key, run.variant_of)


def _facts(run: Run) -> dict[str, object]:
    exempt = "; ".join(f"{name}: {reason}" for name, reason in run.exempt.items())
    known: dict[str, object] = {"reads": run.reads, "class_agnostic": run.class_agnostic, "exempt": exempt}
    known |= {"protocol_version": run.protocol_version}
    if isinstance(run, SkippedRun):
        return known | {"skipped": run.reason, "learned_nothing": False}
    return known | {"skipped": None} | {name: _at(run, place) for name, place in _FACTS.items()}


def _at(run: Measured, place: str) -> object:
    block, _, name = place.rpartition(".")
    found = attrgetter(block)(run) if block else run
    return None if found is None else getattr(found, name)  # no weights


def _ordered(frame: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    chosen = settings.run  # on every track the same names, so that frames of several may be joined
    methods = [*settings.methods, *chosen.baselines, *chosen.seeded_baselines, *chosen.readings]
    orders = {"track": settings.tracks, "kind": _KINDS, "method": methods, "metric": METRICS}
    for column in frame.columns.intersection([*orders]):
        names = dict.fromkeys([*orders[column], *frame[column]])
        frame[column] = pd.Categorical(frame[column], [*names], ordered=True)
    return frame


def missing_metrics(settings: Settings, track: str, root: Path) -> tuple[str, ...]:
    """Return what is to be said about each run of a track that has no metrics file.

    Raises:
        SettingsError: the track does not exist, or ``run`` names no run of it.
    """
    return tuple(
        f"{asked.path.relative_to(root)} is missing; {asked.remedy}"
        for asked in _asked(settings, track, root)
        if not asked.path.is_file()
    )


def _read_all(settings: Settings, tracks: Sequence[str], root: Path) -> list[tuple[_Asked, Run]]:
    found: list[tuple[_Asked, Run]] = []
    for track in dict.fromkeys(tracks):
        missing = missing_metrics(settings, track, root)
        if missing:
            raise DataError(f"{len(missing)} runs of track '{track}' have no results:\n" + "\n".join(missing))
        asked = _asked(settings, track, root)
        _warn_of_strangers(asked)
        read = [(each, _read(each, track)) for each in asked]
        entries = [(each, _read(each, track)) for each in _entries(settings, track, root)]
        _check_alike(read, _SAME_FOR_ALL)
        _check_alike([*[each for each in read if isinstance(each[1], Measured)][:1], *entries], _SAME_FOR_ENTRIES)
        found += [*read, *((each, _as_told(run, each.entry)) for each, run in entries if each.entry)]
    return found


def _entries(settings: Settings, track: str, root: Path) -> list[_Asked]:
    return [
        _Asked("entry", name, 0, f"{track}-{name}-0", entry_folder(root, name) / track / METRICS_FILE, entry)
        for name, entry in entries_of(settings, track, root).items()
    ]


def _as_told(run: Run, entry: Entry) -> Run:
    """Return an entry's result with what its ``entry.yaml`` says now."""
    return run.model_copy(update=entry.model_dump(include={"title", "class_agnostic"}) | {"backbone": entry.network})


def _asked(settings: Settings, track: str, root: Path) -> list[_Asked]:
    if track not in settings.tracks:
        raise SettingsError(f"params.yaml: tracks has no '{track}'; {nearest(track, settings.tracks)}")
    seeds, run = dict.fromkeys(settings.run.seeds), settings.run
    methods = sorted(
        dict.fromkeys(run.methods), key=lambda name: settings.methods[name].of is not None
    )  # variants last
    named: list[tuple[Literal["method", "baseline"], str, int]] = [
        *(("method", method, seed) for method in methods for seed in seeds),
        *(("method", reading, seed) for reading in dict.fromkeys(run.readings) for seed in seeds),
        *(("baseline", baseline, 0) for baseline in dict.fromkeys(run.baselines)),
        *(("baseline", baseline, seed) for baseline in dict.fromkeys(run.seeded_baselines) for seed in seeds),
    ]
    layout = Layout(root)
    asked = [
        _Asked(kind, name, seed, key := f"{track}-{name}-{seed}", layout.metrics(track, key))
        for kind, name, seed in named
    ]
    if not asked:
        raise SettingsError("params.yaml: run names no seed, or neither a method nor baseline: nothing to report")
    return asked


def _warn_of_strangers(asked: list[_Asked]) -> None:
    expected = {each.path for each in asked}
    folder = asked[0].path.parent
    others = [path.name for path in sorted(folder.glob("*.json")) if path not in expected]
    if others:
        _log.warning(
            "%s holds %d files of no run that params.yaml names, which are not counted: %s",
            folder,
            len(others),
            first_three(others),
        )


def _read(asked: _Asked, track: str) -> Run:
    run = parse_file(asked.path, parse_metrics, asked.remedy)
    wanted = {"key": asked.key, "track": track, "method": asked.method, "seed": asked.seed}
    for name, value in wanted.items():
        if getattr(run, name, value) != value:
            raise DataError(f"{asked.path} holds {name} {getattr(run, name)!r} instead of {value!r}; {asked.remedy}")
    return run


def _check_alike(found: Sequence[tuple[_Asked, Run]], names: Sequence[str]) -> None:
    measured = [(asked, run) for asked, run in found if isinstance(run, Measured)]
    for asked, run in measured[1:]:
        _, reference = measured[0]
        for name in names:
            mine, first = attrgetter(name)(run), attrgetter(name)(reference)
            if mine != first and None not in {mine, first}:  # a box has no threshold, an old file no digest
                raise DataError(
                    f"{asked.path} has {name} {mine!r}, but {reference.key} has {first!r}: numbers that "
                    f"were not measured alike share no table; {asked.remedy}"
                )


def _title(run: Run) -> str:
    remark = {"published": "", "reconstruction": "our reconstruction"}.get(run.method_status, run.method_status)
    named = not remark or run.method_status.lower() in run.title.lower()
    return run.title if named else f"{run.title} ({remark})"
