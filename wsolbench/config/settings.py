"""``params.yaml`` as typed, checked settings.

Unknown keys, missing keys and wrong types raise :class:`~wsolbench.errors.SettingsError` that names the file, the key
and the nearest valid name, before any work starts.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from wsolbench.config import registry
from wsolbench.config.keys import check_datasets, check_keys, split_key
from wsolbench.config.outside import place_components, without_from
from wsolbench.config.ranges import Count, Fraction, Positive
from wsolbench.config.recipe import MethodBlock, MethodOnTrack, Part, RunSettings, SearchSettings, Track
from wsolbench.config.run import Run
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
    "Colour",
    "EvaluateSettings",
    "Line",
    "Look",
    "Marker",
    "MethodBlock",
    "MethodOnTrack",
    "Part",
    "Run",
    "RunSettings",
    "RuntimeSettings",
    "SearchSettings",
    "Settings",
    "Track",
    "read_settings",
    "validated_arguments",
]


Colour = Literal["blue", "vermilion", "bluish green", "reddish purple", "black", "orange", "sky blue"]
Marker = Literal[
    "circle", "square", "diamond", "triangle", "inverted triangle", "plus", "star", "cross", "left triangle",
    "right triangle", "pentagon", "hexagon",
]  # fmt: skip
Line = Literal["solid", "dashed", "dash-dot", "dotted", "long-dashed"]


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
    workers: Count | Literal["auto"] = "auto"
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
    gallery: Count = 48


class Look(StrictModel):
    """How a row is drawn.

    Attributes:
        colour: of bars, points and lines.
        marker: of points.
        line: how it is dashed.
    """

    colour: Colour
    marker: Marker
    line: Line


class ReportSettings(StrictModel):
    """What reports show.

    Attributes:
        gallery: images in each section of the gallery: chosen, worst, most disagreeing.
        notes: what is to be known of a track's numbers, a sentence or two by its name; they stand beside them.
        looks: how figures and the page draw a row, by the key of its method, variant, baseline or entry, or
            ``<readout>_of_<method>``. No two share both colour and marker. What is not named here has a look by a hash
            of its key, of those that are free; named here, it keeps it whatever else is added.
    """

    gallery: Count = 6
    notes: dict[str, str] = {}
    looks: dict[str, Look] = {}

    @field_validator("looks")
    @classmethod
    def _differ(cls, looks: dict[str, Look]) -> dict[str, Look]:
        taken: dict[tuple[str, str], str] = {}
        for key, look in looks.items():
            first = taken.setdefault((look.colour, look.marker), key)
            if first != key:
                raise ValueError(f"'{key}' has the colour and marker of '{first}', a {look.colour} {look.marker}")
        return looks


class WeightsSettings(StrictModel):
    """Where pretrained weights lie; the variable ``WSOLBENCH_WEIGHTS`` takes precedence."""

    root: str | None = None


class Settings(StrictModel):
    """All of ``params.yaml``.

    A block of ``datasets`` says which file in ``datasets/`` reads it (``of``; its key, where that is left out), and
    holds that class's arguments and those of :class:`wsolbench.acquire.policy.Policy` and
    :class:`wsolbench.acquire.sources.Sources`.

    A block of ``methods``, ``datasets`` or ``backbones`` (which say nothing else) may say ``from``, where its class is
    that lies outside of the repository: a file, relative to ``params.yaml``, or ``package.module:Class``.
    """

    methods: dict[str, MethodBlock]
    datasets: dict[str, dict[str, Any]]
    backbones: dict[str, dict[str, Any]] = {}
    tracks: dict[str, Track]
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
        data = without_from(data)
        tracks = data.get("tracks")
        return (
            {**data, "tracks": extended("tracks", tracks, Track.model_fields)} if isinstance(tracks, Mapping) else data
        )

    @model_validator(mode="after")
    def _methods_fit(self) -> Settings:
        files = registry.names("method")
        for name, block in self.methods.items():
            if block.of is None:
                check_known("methods", name, files)
            else:
                check_known(f"methods.{name}.of", block.of, self.plain_methods)
                if name in files or name in registry.names("baseline"):
                    raise ValueError(f"methods.{name}: a variant cannot have the name of a method or baseline")
            for key, tracks in (("tracks", block.tracks), ("only", block.only or ())):
                for track in tracks:
                    check_known(f"methods.{name}.{key}", track, self.tracks)
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        for name, track in self.tracks.items():
            check_known(f"tracks.{name}.dataset", track.dataset, self.datasets)
            check_known(f"tracks.{name}.backbone", track.backbone, registry.names("backbone"))
        for name, block in self.backbones.items():
            if block or name not in registry.names("backbone"):
                raise ValueError(f"backbones.{name}: it says `from`, and nothing else")
        check_datasets(self.datasets)
        baselines, full_only = registry.names("baseline"), self.run.full_only
        for chosen, names, known in (
            ("tracks", self.run.tracks, [*self.tracks]),
            ("methods", self.run.methods, [*self.methods]),
            ("readouts", self.run.readouts, [*self.methods]),
            ("read", self.run.read, self.run.methods),
            ("baselines", self.run.baselines, baselines),
            ("seeded_baselines", self.run.seeded_baselines, baselines),
            ("full_only.tracks", full_only.tracks, [*self.tracks]),
            ("full_only.methods", full_only.methods, [*self.methods]),
            ("suite", self.run.suite, [*self.tracks]),
            ("only", self.run.only, [*self.tracks]),
            *((f"only.{track}", names, [*self.methods]) for track, names in self.run.only.items()),
        ):
            for each in names:
                check_known(f"run.{chosen}", each, known)
        for name in self.report.notes:
            check_known("report.notes", name, self.tracks)
        for method, by_track in self.evaluate.published_threshold.items():
            check_known("evaluate.published_threshold", method, self.methods)
            for track_name in by_track:
                check_known(f"evaluate.published_threshold.{method}", track_name, self.tracks)
        return self

    @property
    def plain_methods(self) -> list[str]:
        """Keys of the methods that are no variants of others."""
        return [name for name, block in self.methods.items() if block.of is None]

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
        """Return the run that ``<track>-<method or baseline>-<seed>`` names, with all overrides applied.

        A read-out's is ``<track>-<readout>_of_<method>-<seed>``.

        Raises:
            SettingsError: the key does not name a track, a method or baseline, and a seed.
        """
        parts = split_key(key)
        if parts is None:
            raise SettingsError(f"run '{key}' is not of the form <track>-<method>-<seed>")
        track_name, method, seed = parts
        baselines = [name for name in registry.names("baseline") if name not in self.methods]
        check_known(f"run '{key}'", track_name, self.tracks, error=SettingsError)
        name, _, read = method.rpartition("_of_")
        reads = read if method not in self.methods and {name, read} <= self.methods.keys() else None
        name = name if reads else method
        check_known(f"run '{key}'", name, [*self.methods, *baselines], error=SettingsError)
        track = self.tracks[track_name]
        if name in baselines:
            return Run(key, track_name, method, seed, track, MethodOnTrack(recipe="common"))
        block, args, recipe = self.methods[name], dict[str, Any](), None
        for each in (block.of, name):
            if each is None:
                continue
            own = self.methods[each].tracks.get(track_name, MethodOnTrack())
            track = validated(Track, track.model_dump() | own.train, f"methods.{each}.tracks.{track_name}.train")
            args |= self.methods[each].args | own.args
            recipe = own.recipe or recipe
        if reads:
            trained = self.resolve(f"{track_name}-{reads}-{seed}")
            track, recipe = trained.track, recipe or trained.on_track.recipe
        on_track = MethodOnTrack(recipe=recipe or "common", args=args)
        return Run(key, track_name, method, seed, track, on_track, block.of, block.title, reads)

    def unsupported(self, run: Run) -> str | None:
        """Return why a method's run is skipped: by settings, as nothing new, or by its class; None if it is not."""
        here = self.run.only.get(run.track_name)
        if here is not None and run.block not in here:
            return f"params.yaml runs {', '.join(here)} alone on this track (run.only)"
        if run.track.epochs == 0 and run.seed in self.run.seeds[1:]:
            return f"nothing is trained on this track: every seed would give what seed {self.run.seeds[0]} gives"
        only = self.methods[run.block].only
        if only is not None and run.track_name not in only:
            return f"params.yaml runs '{run.method}' on {', '.join(only)} only"
        traits = self.dataset_class(run.track.dataset).traits
        kind: registry.Kind = "readout" if run.reads else "method"
        if run.reads is not None:
            trained = registry.load("method", self.methods[run.reads].of or run.reads)
            if trained.class_agnostic:
                return f"a read-out asks why a label's logit is high, and the maps of '{run.reads}' know no class"
        reason: str | None = registry.load(kind, run.component).unsupported(run.track.backbone, traits)
        return reason


def read_settings(path: Path = PARAMS_FILE, changes: Sequence[str] = ()) -> Settings:
    """Read and check ``params.yaml`` after changes ``a.b.c=value``, in YAML, are put into its data.

    Raises:
        SettingsError: the file is missing, is not YAML, or has unknown, missing or mistyped keys.
    """
    if not os.path.lexists(path):
        cure = "run wsolbench from the repository's root, or begin a benchmark with `wsolbench new project`"
        raise SettingsError(f"{path} is not in {Path.cwd()}; {cure}")
    try:
        data = load_yaml(read_file(path, "restore it").decode())
    except DataError as error:
        raise SettingsError(str(error)) from None
    except ValueError as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    for change in changes:
        put(data, change)
    place_components(data, path)
    return validated(Settings, data, "", str(path))
