"""What a search of one method on one track is: what differs between trials, what is the same, and what it may see."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet as pq
import torch

from wsolbench.config import registry
from wsolbench.config.distributions import Distribution, LogUniform
from wsolbench.config.paths import Layout
from wsolbench.config.schema import check_known, check_space, validated
from wsolbench.config.settings import MethodOnTrack, Run, Settings, Track
from wsolbench.data.dataset import Split, SplitName
from wsolbench.data.index import INDEX_FILE, TRUTH_FILE, read_split, splits_of
from wsolbench.errors import DataError, SettingsError
from wsolbench.files import bytes_sha256, replacing
from wsolbench.launch.code import code_of
from wsolbench.models.pretrained import read_placed
from wsolbench.search.draw import ARGUMENT, RECIPE, draw
from wsolbench.search.record import Definition, Objective, SearchHead, folder_of

__all__ = ["Plan", "place_data", "plan_of"]

_KEPT: dict[str, tuple[SplitName, ...]] = {INDEX_FILE: ("train", "val"), TRUTH_FILE: ("val",)}


@dataclass(frozen=True)
class Plan:
    """A search of one method on one track.

    Attributes:
        run: what every trial has in common; its key is not that of a stored run.
        definition: everything on which the trials depend but for the machine.
        val: images that judge, with their truth.
    """

    settings: Settings
    layout: Layout
    run: Run
    title: str
    definition: Definition
    val: Split

    @property
    def results(self) -> Path:
        """Where the trials are stored."""
        return folder_of(self.layout.root, self.run.track_name, self.run.method)

    @property
    def scratch(self) -> Path:
        """Where the trials of this definition run; it has a place of its own, which no other definition changes."""
        return self.layout.root / ".wsolbench" / "search" / self.name / self.definition.sha256[:16]

    @property
    def name(self) -> str:
        """Track and method, for files and messages."""
        return f"{self.run.track_name}-{self.run.method}"

    def values(self, number: int) -> dict[str, Any]:
        """Return what a trial tries; see :func:`wsolbench.search.draw.draw`."""
        return draw(self.definition.space, self.run.seed, self.run.track_name, self.run.method, number)

    def trial(self, number: int) -> Run:
        """Return the run of a trial."""
        run, values = self.run, self.values(number)
        recipe, arguments = (
            {name.removeprefix(start): value for name, value in values.items() if name.startswith(start)}
            for start in (RECIPE, ARGUMENT)
        )
        track = validated(Track, run.track.model_dump() | recipe, f"trial {number} of {self.name}")
        on_track = run.on_track.model_copy(update={"args": run.on_track.args | arguments})
        return Run(f"{run.key}-{number}", run.track_name, run.method, run.seed, track, on_track)

    def head(self, trials: int) -> SearchHead:
        """Return what is stored of how the trials are made."""
        truths = [self.val.truth(item.id) for item in self.val.items]
        objective = self.definition.objective
        looks = objective != "top1_cls" or self.run.track.selection == "val_boxes"
        return SearchHead(
            track=self.run.track_name,
            method=self.run.method,
            title=self.title,
            trials=trials,
            epochs=self.run.track.epochs,
            batch=self.run.track.batch,
            images=len(self.val),
            boxes_used=sum(len(truth.boxes) for truth in truths) if looks else 0,
            masks_used=sum(len(truth.masks) for truth in truths) if objective in {"px_ap", "p_iou"} else 0,
            val_truth=self.val.val_truth,
            definition=self.definition,
        )


def plan_of(settings: Settings, track_name: str, method: str, layout: Layout) -> Plan:
    """Return the search of a method on a track, and check that it can be made.

    The method's settings on the track stay as they are, but for what is searched, and for the number of epochs, which
    is the same for all methods.

    Raises:
        SettingsError: a name is unknown, the pair is unsupported, nothing is trained or there is nothing to search.
        DataError: the data set is not prepared, or has no ``val``, or not the truth that the objective needs.
    """
    check_known("track", track_name, settings.tracks, error=SettingsError)
    check_known("method", method, settings.plain_methods, error=SettingsError)
    common, search = settings.tracks[track_name], settings.search
    method_class, dataset_class = registry.load("method", method), settings.dataset_class(common.dataset)
    reason = method_class.unsupported(common.backbone, dataset_class.traits)
    if reason is not None:
        raise SettingsError(f"method '{method}' does not support track '{track_name}': {reason}")
    if common.epochs == 0:
        raise SettingsError(f"tracks.{track_name}.epochs: 0 trains nothing, so there is nothing to search")
    check_space(method_class, method_class.search_space, f"search space of method '{method}'", given=2)
    space: dict[str, Distribution] = {
        RECIPE + name: _multiples(common, track_name, name, factors) for name, factors in search.recipe.items()
    }
    space |= {ARGUMENT + name: drawn for name, drawn in method_class.search_space.items()}
    if not space:
        raise SettingsError(f"method '{method}' declares no search space and search.recipe is empty: nothing to search")
    val = read_split(layout.prepared(track_name), "val")
    run = _run_but_for(space, settings, track_name, method)
    weights, _ = read_placed(layout.weights(track_name), common.backbone, common.weights)
    backbone = registry.load("backbone", common.backbone)
    definition = Definition(
        seed=search.seed,
        objective=_objective(search.objective, val, track_name),
        threshold_step=settings.evaluate.threshold_step,
        recipe=run.track.model_dump(),
        args=run.on_track.args,
        space=space,
        data=val.digest,
        truth_of_val=bytes_sha256(repr(list(_truths(val))).encode()),
        weights=weights,
        torch=torch.__version__,
        code=code_of(["wsolbench.search.trial", method_class.__module__, backbone.__module__]),
    )
    return Plan(settings, layout, run, method_class.title, definition, val)


def place_data(plan: Plan) -> Path:
    """Give the trials a directory ``data`` in which there is no ``test``: neither its images' names nor its truth.

    It is put in place whole, and never changed: other data have another definition, and so another place.

    Raises:
        DataError: the data set is not prepared.
    """
    target, name, layout = plan.scratch / "data", plan.run.track_name, plan.layout
    if target.is_dir():
        return target
    temporary = plan.scratch / f".data.{secrets.token_hex(4)}.tmp"
    source, place = layout.prepared(name), temporary / layout.prepared(name).relative_to(layout.root / "data")
    place.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.name not in _KEPT:  # a generated set's images lie here
            (place / path.name).symlink_to(path.resolve())
    for file, splits in _KEPT.items():
        with replacing(place / file) as written:
            pq.write_table(splits_of(source / file, splits), written)
    weights, selection = layout.weights(name), layout.selection(name)
    (temporary / weights.parent.name).symlink_to(weights.parent.resolve())
    if selection.exists():
        (temporary / selection.parent.name).mkdir()
        shutil.copy(selection, temporary / selection.parent.name)
    temporary.rename(target)
    return target


def _run_but_for(space: dict[str, Distribution], settings: Settings, track_name: str, method: str) -> Run:
    """Return what all trials have in common: the method's settings on the track without what is searched."""
    common, search = settings.tracks[track_name], settings.search
    resolved = settings.resolve(f"{track_name}-{method}-{search.seed}")
    fields = resolved.track.model_dump() | {"epochs": search.epochs or common.epochs}
    fields |= {name: value for name, value in common.model_dump().items() if RECIPE + name in space}
    args = {name: value for name, value in resolved.on_track.args.items() if ARGUMENT + name not in space}
    track = validated(Track, fields, f"search on {track_name}")
    on_track = MethodOnTrack(recipe="searched", args=args)
    return Run(f"{track_name}-{method}-search", track_name, method, search.seed, track, on_track)


def _multiples(track: Track, track_name: str, name: str, factors: list[float]) -> LogUniform:
    value = cast("float", getattr(track, name))
    if value == 0:
        raise SettingsError(
            f"search.recipe.{name}: tracks.{track_name}.{name} is 0, of which there are no multiples; remove it from "
            "search.recipe, or give the track a value"
        )
    return LogUniform(value * factors[0], value * factors[1], source="search.recipe")


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


def _truths(val: Split) -> Iterator[tuple[Any, ...]]:
    for item in val.items:
        truth = val.truth(item.id)
        boxes = truth.boxes.tolist(), truth.choe2020_boxes.tolist()
        yield (
            item.id,
            *boxes,
            truth.masks,
            truth.ignore,
        )
