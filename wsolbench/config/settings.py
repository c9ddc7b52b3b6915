"""``params.yaml`` as typed, checked settings.

Unknown keys, missing keys and wrong types raise :class:`~wsolbench.errors.SettingsError` that names the file, the key
and the nearest valid name, before any work starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from wsolbench.config import registry
from wsolbench.config.keys import check_datasets, check_keys, split_key
from wsolbench.config.recipe import Cell, Fraction, MethodBlock, MethodOnTrack, Positive, SearchSettings, Track
from wsolbench.config.schema import (
    PARAMS_FILE,
    StrictModel,
    check_known,
    extended,
    load_yaml,
    put,
    validated,
    validated_arguments,
)
from wsolbench.errors import DataError, SettingsError, nearest
from wsolbench.files import read_file

__all__ = [
    "PARAMS_FILE",
    "Cell",
    "EvaluateSettings",
    "MethodBlock",
    "MethodOnTrack",
    "Run",
    "RunSettings",
    "RuntimeSettings",
    "SearchSettings",
    "Settings",
    "Track",
    "read_settings",
    "validated_arguments",
]


class RunSettings(StrictModel):
    """What ``dvc repro`` executes.

    Attributes:
        tracks: keys of ``tracks``.
        methods: keys of ``methods``; each runs with every seed on every track.
        baselines: baselines that do not depend on a seed; each runs once on every track.
        seeded_baselines: baselines that do; each runs with every seed on every track.
        seeds: of the runs.
        cells: keys of ``cells``, each with its track: DVC can look up neither.
    """

    tracks: list[str]
    methods: list[str]
    baselines: list[str] = []
    seeded_baselines: list[str] = []
    seeds: list[Annotated[int, Field(ge=0, lt=10**18)]]
    cells: dict[str, str] = {}


class RuntimeSettings(StrictModel):
    """How a run executes on this machine.

    Attributes:
        device: ``auto`` takes CUDA where there is one.
        threads: CPU threads of the network; bytes are promised for one setting only.
        workers: loader processes; any number gives the same bytes. ``auto`` takes none where the network runs on the
            CPU, which needs the cores, and at most eight beside a CUDA device. As many threads, or one per core with
            ``auto``, decode images for the cache and for predictions.
        deterministic: what to do about CUDA operations without a deterministic kernel.
        tf32: whether CUDA may round float32 products to 10 bits of mantissa; faster, where ``amp`` is ``off``.
        visualisers: classes of mmengine that losses and rates are written with, to ``.wsolbench/visual/<run>``, for
            instance ``TensorboardVisBackend``; importing that takes a second per run.
        save_minutes: minutes of training between two saved states.
        cache_gib: GiB of decoded and resized pictures of one split (at one size) that are kept on the disk for all
            runs; a larger split is decoded in every epoch. 0 keeps none.
        cache_folder: where; null for ``.wsolbench/cache``.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Positive = 2
    workers: Annotated[int, Field(ge=0)] | Literal["auto"] = "auto"
    deterministic: Literal["strict", "warn", "off"] = "warn"
    tf32: bool = False
    visualisers: list[str] = []
    save_minutes: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10
    cache_gib: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 32
    cache_folder: str | None = None


class EvaluateSettings(StrictModel):
    """How maps become numbers.

    Attributes:
        threshold_step: distance of the thresholds of a sweep over [0, 1).
        fixed_threshold: the threshold that is the same for all methods.
        published_threshold: thresholds that a source states, by method and track.
        normalisations: what maps are also scored under, next to min-max.
        ivr_percentile: percentile of the scores that the normalisation ``ivr`` subtracts.
        gallery: number of test images whose maps and photographs are kept small, for the report to choose from.
    """

    threshold_step: Annotated[float, Field(ge=1e-4, lt=1)] = 0.001
    fixed_threshold: Fraction = 0.2
    published_threshold: dict[str, dict[str, Fraction]] = {}
    normalisations: list[Literal["max", "percentile", "ivr"]] = ["max", "percentile", "ivr"]
    ivr_percentile: Annotated[float, Field(ge=0, lt=100)] = 35
    gallery: Annotated[int, Field(ge=0)] = 100


class ReportSettings(StrictModel):
    """What reports show.

    Attributes:
        gallery: images in each section of the gallery: chosen, worst, most disagreeing.
    """

    gallery: Annotated[int, Field(ge=0)] = 6


class WeightsSettings(StrictModel):
    """Where pretrained weights lie; the variable ``WSOLBENCH_WEIGHTS`` takes precedence."""

    root: str | None = None


class Settings(StrictModel):
    """All of ``params.yaml``.

    A block of ``datasets`` says which file in ``datasets/`` reads it (``of``; its key, where that is left out), and
    holds that class's arguments and those of :class:`wsolbench.acquire.truth_policy.TruthPolicy` and
    :class:`wsolbench.acquire.sources.Sources`.
    """

    methods: dict[str, MethodBlock]
    datasets: dict[str, dict[str, Any]]
    tracks: dict[str, Track]
    cells: dict[str, Cell] = {}
    run: RunSettings
    runtime: RuntimeSettings = RuntimeSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    report: ReportSettings = ReportSettings()
    search: SearchSettings = SearchSettings()
    weights: WeightsSettings = WeightsSettings()

    @model_validator(mode="before")
    @classmethod
    def _extend(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        check_keys(data)
        models: dict[str, type[StrictModel]] = {"tracks": Track, "cells": Cell}
        blocks = {name: data[name] for name in models if isinstance(data.get(name), Mapping)}
        return {**data, **{name: extended(name, each, models[name].model_fields) for name, each in blocks.items()}}

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        for name, track in self.tracks.items():
            check_known(f"tracks.{name}.dataset", track.dataset, self.datasets)
            check_known(f"tracks.{name}.backbone", track.backbone, registry.names("backbone"))
        check_datasets(self.datasets)
        for name, block in self.methods.items():
            check_known("methods", name, registry.names("method"))
            for track_name in block.tracks:
                check_known(f"methods.{name}.tracks", track_name, self.tracks)
        baselines = registry.names("baseline")
        for chosen, names, known in (
            ("tracks", self.run.tracks, [*self.tracks]),
            ("methods", self.run.methods, [*self.methods]),
            ("baselines", self.run.baselines, baselines),
            ("seeded_baselines", self.run.seeded_baselines, baselines),
        ):
            for each in names:
                check_known(f"run.{chosen}", each, known)
        for method, by_track in self.evaluate.published_threshold.items():
            check_known("evaluate.published_threshold", method, self.methods)
            for track_name in by_track:
                check_known(f"evaluate.published_threshold.{method}", track_name, self.tracks)
        return self

    @model_validator(mode="after")
    def _cells_fit(self) -> Settings:
        for key, cell in self.cells.items():
            self._check_cell(key, cell)
        for key, track in self.run.cells.items():
            check_known("run.cells", key, self.cells)
            if track != self.cells[key].track:
                raise ValueError(f"run.cells.{key}: '{track}' is not its track under cells, '{self.cells[key].track}'")
            if self.cells[key].track not in self.run.tracks:
                raise ValueError(
                    f"run.cells: '{key}' is on track '{self.cells[key].track}', which is not in run.tracks; add the "
                    "track, or set run.cells to {}"
                )
        return self

    def _check_cell(self, key: str, cell: Cell) -> None:
        name = key.rpartition("-")[0]
        if "-" in name or split_key(f"track-{key}") is None:
            raise ValueError(f"cells: '{key}' is not of the form <name>-<seed>, with no other hyphen")
        if name in self.methods or name in registry.names("baseline"):
            raise ValueError(f"cells: '{key}' has the name of a method or baseline; choose another")
        check_known(f"cells.{key}.track", cell.track, self.tracks)
        check_known(f"cells.{key}.method", cell.method, self.methods)

    def class_of(self, dataset: str) -> str:
        """Return the file in ``datasets`` that reads the data set of a key: its ``of``, or the key itself."""
        return str(self.datasets.get(dataset, {}).get("of", dataset))

    def dataset_class(self, dataset: str) -> type[Any]:
        """Return the class of the data set of a key.

        Raises:
            SettingsError: it cannot be loaded.
        """
        return registry.load("dataset", self.class_of(dataset))

    def tracks_of(self, name: str) -> list[str]:
        """Return a track by its name, or those of a data set: the ones in ``run.tracks``, else its first.

        Raises:
            SettingsError: there is neither such a track nor a track with such a data set.
        """
        if name in self.tracks:
            return [name]
        found = [track for track, chosen in self.tracks.items() if chosen.dataset == name]
        if not found:
            known = {*self.tracks, *(chosen.dataset for chosen in self.tracks.values())}
            hint = "`wsolbench new track` adds one" if name in self.datasets else nearest(name, known)
            raise SettingsError(f"params.yaml: tracks has no '{name}', nor one with such a data set; {hint}")
        return [track for track in found if track in self.run.tracks] or found[:1]

    def resolve(self, key: str) -> Run:
        """Return the run that ``<track>-<method, baseline or cell>-<seed>`` names, with all overrides applied.

        Raises:
            SettingsError: the key does not name a track, a method, baseline or cell, and a seed.
        """
        parts = split_key(key)
        if parts is None:
            raise SettingsError(f"run '{key}' is not of the form <track>-<method>-<seed>")
        track_name, method, seed = parts
        where = f"run '{key}'"
        check_known(where, track_name, self.tracks, error=SettingsError)
        if method in registry.names("baseline") and method not in self.methods:
            return Run(key, track_name, method, seed, self.tracks[track_name], MethodOnTrack())
        cell = self.cells.get(f"{method}-{seed}")
        if cell is not None and cell.track == track_name:
            return self._resolve_cell(key, method, seed, cell)
        known = [*self.methods, *self._cells_of(track_name, seed)]
        if method not in known:
            known += registry.names("baseline")
        check_known(where, method, known, error=SettingsError)
        block = self.methods[method]
        on_track = block.tracks.get(track_name, MethodOnTrack())
        fields = self.tracks[track_name].model_dump() | on_track.train
        place = f"methods.{method}.tracks.{track_name}.train"
        track = validated(Track, fields, place)
        merged = on_track.model_copy(update={"args": block.args | on_track.args})
        return Run(key, track_name, method, seed, track, merged)

    def _cells_of(self, track: str, seed: int) -> list[str]:
        found = (name.rpartition("-") for name, cell in self.cells.items() if cell.track == track)
        return [name for name, _, cell_seed in found if cell_seed == str(seed)]

    def _resolve_cell(self, key: str, name: str, seed: int, cell: Cell) -> Run:
        plain = self.resolve(f"{cell.track}-{cell.method}-{seed}")
        track = validated(Track, plain.track.model_dump() | cell.train, f"cells.{name}-{seed}.train")
        changes = {"args": plain.on_track.args | cell.args, "recipe": cell.recipe or plain.on_track.recipe}
        on_track = plain.on_track.model_copy(update=changes)
        return Run(key, cell.track, cell.method, seed, track, on_track, RunCell(name, cell.title))


@dataclass(frozen=True)
class RunCell:
    """What sets a run of ``cells`` apart from its method's.

    Attributes:
        name: that of its row, without the seed.
        title: what tables add to the method's title.
    """

    name: str
    title: str


@dataclass(frozen=True)
class Run:
    """One training (or baseline) with everything that defines it.

    Attributes:
        key: ``<track>-<method>-<seed>``, or ``<track>-<cell>-<seed>``, the stem of its result files.
        track_name: key of ``tracks``.
        method: key of ``methods``, or of a baseline.
        seed: of data order, augmentation, initialisation and dropout.
        track: the recipe with the method's overrides applied.
        on_track: the method's merged constructor arguments and whose recipe it is.
        cell: name and title where it is one of ``cells``.
    """

    key: str
    track_name: str
    method: str
    seed: int
    track: Track
    on_track: MethodOnTrack
    cell: RunCell | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``run.yaml`` and digests."""
        cell = {} if self.cell is None else {"cell": asdict(self.cell)}
        return {
            "key": self.key,
            "track": {"name": self.track_name, **self.track.model_dump()},
            "method": {"name": self.method, **self.on_track.model_dump(exclude={"train"})},
            "seed": self.seed,
            **cell,
        }

    @property
    def arguments_key(self) -> str:
        """Where in ``params.yaml`` the method's arguments stand, for messages."""
        return f"methods.{self.method}.args" if self.cell is None else f"cells.{self.cell.name}-{self.seed}.args"


def read_settings(path: Path = PARAMS_FILE, changes: Sequence[str] = ()) -> Settings:
    """Read and check ``params.yaml``.

    Args:
        path: the file.
        changes: ``a.b.c=value`` each, in YAML, put into the file's data before it is checked.

    Raises:
        SettingsError: the file is missing, is not YAML, or has unknown, missing or mistyped keys.
    """
    if not os.path.lexists(path):
        raise SettingsError(f"{path} is not in {Path.cwd()}; run wsolbench from the repository's root")
    try:
        data = load_yaml(read_file(path, "restore it").decode())
    except DataError as error:
        raise SettingsError(str(error)) from None
    except ValueError as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    for change in changes:
        put(data, change)
    return validated(Settings, data, "", str(path))
