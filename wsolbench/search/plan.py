"""What a search of one method on one track is: what differs between trials, what is the same, and what it may see."""

from __future__ import annotations

import hashlib
import inspect
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

import wsolbench
from wsolbench.config import registry
from wsolbench.config.distributions import LogUniform
from wsolbench.config.paths import Layout
from wsolbench.config.schema import check_known, validated
from wsolbench.config.settings import MethodOnTrack, Run, Settings, Track
from wsolbench.data.dataset import Split, SplitName
from wsolbench.data.index import INDEX_FILE, TRUTH_FILE, read_split, splits_of
from wsolbench.data.parquet import read_parquet
from wsolbench.errors import DataError, SettingsError
from wsolbench.files import file_sha256
from wsolbench.models.pretrained import read_placed
from wsolbench.runs.state import run_digest
from wsolbench.search.record import ARGUMENT, RECIPE
from wsolbench.search.space import Parameter, decoded

__all__ = ["Plan", "is_placed", "place_data", "plan_of"]

Objective = Literal["max_box_acc_v2", "px_ap", "p_iou", "top1_cls"]
_JUDGING = (
    "config/distributions.py",
    "data/scoremaps.py",
    "evaluation",
    "search/objective.py",
    "search/plan.py",
    "search/space.py",
    "search/trial.py",
)


@dataclass(frozen=True)
class Plan:
    """A search of one method on one track.

    Attributes:
        settings: all of ``params.yaml``.
        run: what every trial has in common; its key is not that of a stored run.
        title: of the method.
        parameters: what trials differ in: fields of the recipe, then the method's arguments.
        objective: what judges a trial.
        definition: everything on which the trials depend but for the machine, as plain data.
        val: images that judge, with their truth.
        folder: scratch of the search.
        cache: of decoded pictures, the same as for other trainings.
    """

    settings: Settings
    run: Run
    title: str
    parameters: tuple[Parameter, ...]
    objective: Objective
    definition: dict[str, Any]
    val: Split
    folder: Path
    cache: Path

    def trial(self, number: int, stored: Mapping[str, Any]) -> Run:
        """Return the run of a trial.

        Args:
            number: of the trial.
            stored: its parameters as Optuna holds them.
        """
        values = decoded(self.parameters, stored)
        recipe = {each.key: values[each.name] for each in self.parameters if each.is_common}
        arguments = {each.key: values[each.name] for each in self.parameters if not each.is_common}
        run = self.run
        track = validated(Track, run.track.model_dump() | recipe, f"trial {number} of {run.track_name}, {run.method}")
        on_track = run.on_track.model_copy(update={"args": run.on_track.args | arguments, "recipe": "searched"})
        return Run(f"{run.key}-{number}", run.track_name, run.method, run.seed, track, on_track)

    def head(self, trials: int) -> dict[str, Any]:
        """Return what the stored search says of how it was made; see :class:`wsolbench.search.record.SearchHead`."""
        search, run, truths = self.settings.search, self.run, [self.val.truth(item.id) for item in self.val.items]
        looks = self.objective != "top1_cls" or run.track.selection == "val_boxes"
        return {
            "track": run.track_name,
            "method": run.method,
            "title": self.title,
            "objective": self.objective,
            "sampler": search.sampler,
            "seed": search.seed,
            "trials": trials,
            "epochs": run.track.epochs,
            "batch": run.track.batch,
            "images": len(self.val),
            "boxes_used": sum(len(truth.boxes) for truth in truths) if looks else 0,
            "masks_used": sum(len(truth.masks) for truth in truths) if self.objective in {"px_ap", "p_iou"} else 0,
            "val_truth": self.val.val_truth,
            "data_digest": self.val.digest,
            "common": {each.key: str(each.drawn) for each in self.parameters if each.is_common},
            "space": [{"name": each.name, "kind": each.kind, "range": str(each.drawn)} for each in self.parameters],
            "definition": self.definition,
        }


def plan_of(settings: Settings, track_name: str, method: str, layout: Layout) -> Plan:
    """Return the search of a method on a track, and check that it can be made.

    The method's settings on the track stay as they are, but for what is searched, and for the number of epochs, which
    is the same for all methods.

    Raises:
        SettingsError: a name is unknown, the pair is unsupported, nothing is trained or there is nothing to search.
        DataError: the data set is not prepared, or has no ``val``, or not the truth that the objective needs.
    """
    check_known("track", track_name, settings.tracks, error=SettingsError)
    check_known("method", method, settings.methods, error=SettingsError)
    common, search = settings.tracks[track_name], settings.search
    method_class, dataset_class = registry.load("method", method), registry.load("dataset", common.dataset)
    reason = method_class.unsupported(common.backbone, dataset_class.traits)
    if reason is not None:
        raise SettingsError(f"method '{method}' does not support track '{track_name}': {reason}")
    if common.epochs == 0:
        raise SettingsError(f"tracks.{track_name}.epochs: 0 trains nothing, so there is nothing to search")
    parameters = (
        *(_common(common, track_name, name, factors) for name, factors in search.recipe.items()),
        *(Parameter(ARGUMENT + name, drawn) for name, drawn in method_class.search_space.items()),
    )
    if not parameters:
        raise SettingsError(f"method '{method}' declares no search space and search.recipe is empty: nothing to search")
    val = read_split(layout.prepared(track_name), "val")
    objective = _objective(search.objective, val, track_name)
    run = _run_but_for(parameters, settings, track_name, method)
    weights, _ = read_placed(layout.weights(track_name), common.backbone, common.weights)
    definition = {
        "track": run.track.model_dump(),
        "args": run.on_track.args,
        "space": {each.name: repr(each.drawn) for each in parameters},
        "objective": objective,
        "threshold_step": settings.evaluate.threshold_step,
        "sampler": search.sampler,
        "seed": search.seed,
        "data": val.digest,
        "truth_of_val": _truth_digest(val),
        "weights": weights,
        "code": {
            "training": run_digest({}, Path(inspect.getfile(method_class))),
            "judging": _code_digest(),
        },
    }
    folder = layout.root / ".wsolbench" / "search" / f"{track_name}-{method}"
    cache = Path(settings.runtime.cache_folder or layout.cache.resolve())
    return Plan(settings, run, method_class.title, parameters, objective, definition, val, folder, cache)


def _run_but_for(parameters: tuple[Parameter, ...], settings: Settings, track_name: str, method: str) -> Run:
    """Return what all trials have in common: the method's settings on the track without what is searched."""
    common, search = settings.tracks[track_name], settings.search
    resolved = settings.resolve(f"{track_name}-{method}-{search.seed}")
    fields = resolved.track.model_dump() | {"epochs": search.epochs or common.epochs}
    fields |= {each.key: getattr(common, each.key) for each in parameters if each.is_common}
    own = {each.key for each in parameters if not each.is_common}
    args = {name: value for name, value in resolved.on_track.args.items() if name not in own}
    return Run(
        key=f"{track_name}-{method}-search",
        track_name=track_name,
        method=method,
        seed=search.seed,
        track=validated(Track, fields, f"search on {track_name}"),
        on_track=MethodOnTrack(recipe="searched", args=args),
    )


def place_data(plan: Plan, layout: Layout) -> Path:
    """Give the trials a directory ``data`` in which there is no ``test``: neither its images' names nor its truth.

    Returns:
        The directory.

    Raises:
        DataError: the data set is not prepared.
    """
    target, name = plan.folder / "data", plan.run.track_name
    source = layout.prepared(name)
    temporary = plan.folder / "data.tmp"
    for left in (target, temporary):
        shutil.rmtree(left, ignore_errors=True)
    place = Layout(plan.folder).prepared(name).relative_to(plan.folder / "data")
    (temporary / place).mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.name not in {INDEX_FILE, TRUTH_FILE}:  # a generated set's images lie here
            (temporary / place / path.name).symlink_to(path.resolve())
    for file, splits in _KEPT.items():
        pq.write_table(splits_of(source / file, splits), temporary / place / file)
    for path in (layout.weights(name), layout.selection(name)):
        if path.exists():
            link = temporary / path.relative_to(layout.root / "data")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    temporary.replace(target)
    return target


def is_placed(plan: Plan, layout: Layout) -> bool:
    """Whether the trials' data are there, and those that :func:`place_data` would place."""
    name = plan.run.track_name
    source, place = layout.prepared(name), Layout(plan.folder).prepared(name)
    try:
        placed = {file: read_parquet(place / file) for file in _KEPT}
    except (OSError, pa.ArrowException):  # missing, or damaged
        return False
    return all(placed[file].equals(splits_of(source / file, _KEPT[file]), check_metadata=True) for file in _KEPT)


_KEPT: dict[str, tuple[SplitName, ...]] = {INDEX_FILE: ("train", "val"), TRUTH_FILE: ("val",)}


def _common(track: Track, track_name: str, name: str, factors: list[float]) -> Parameter:
    value = cast("float", getattr(track, name))
    if value == 0:
        raise SettingsError(
            f"search.recipe.{name}: tracks.{track_name}.{name} is 0, of which there are no multiples; remove it from "
            "search.recipe, or give the track a value"
        )
    low, high = factors
    return Parameter(RECIPE + name, LogUniform(value * low, value * high, source="search.recipe"))


def _objective(asked: str, val: Split, track_name: str) -> Objective:
    if not len(val):
        raise DataError(f"track '{track_name}' has no val split to search on; give its data set one")
    truths = [val.truth(item.id) for item in val.items]
    boxed, masked = all(len(truth.boxes) for truth in truths), all(truth.masks for truth in truths)
    chosen = asked if asked != "auto" else "max_box_acc_v2" if boxed else "px_ap"
    if (chosen == "max_box_acc_v2" and not boxed) or (chosen in {"px_ap", "p_iou"} and not masked):
        lacking = "boxes" if chosen == "max_box_acc_v2" else "masks"
        raise DataError(
            f"search.objective: {chosen} needs {lacking} of every image of val, and track '{track_name}' has not; "
            "take another objective"
        )
    return cast("Objective", chosen)


def _truth_digest(val: Split) -> str:
    truths = [(item.id, val.truth(item.id)) for item in val.items]
    text = repr(
        [
            (name, truth.boxes.tolist(), truth.choe2020_boxes.tolist(), truth.masks, truth.ignore)
            for name, truth in truths
        ]
    )
    return hashlib.sha256(text.encode()).hexdigest()


def _code_digest() -> str:
    package, digest = Path(wsolbench.__file__).parent, hashlib.sha256()
    for name in _JUDGING:
        path = package / name
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            digest.update(f"{file.relative_to(package)} {file_sha256(file)}\n".encode())
    return digest.hexdigest()
