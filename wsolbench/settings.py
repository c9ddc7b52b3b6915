"""``params.yaml`` as typed, checked settings.

Unknown keys, missing keys and wrong types raise :class:`~wsolbench.errors.SettingsError` that names the file, the key
and the nearest valid name, before any work starts.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model, field_validator, model_validator
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from wsolbench import registry
from wsolbench.errors import SettingsError, nearest

__all__ = [
    "PARAMS_FILE",
    "EvaluateSettings",
    "MethodBlock",
    "MethodOnTrack",
    "Run",
    "RunSettings",
    "RuntimeSettings",
    "Settings",
    "Track",
    "read_settings",
    "validated_arguments",
]

PARAMS_FILE = Path("params.yaml")

M = TypeVar("M", bound=BaseModel)

Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class _Model(BaseModel):
    """Strict model whose unknown keys are answered with the nearest valid one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            for key in data:
                if key not in cls.model_fields:
                    raise ValueError(f"unknown key '{key}'; {nearest(str(key), cls.model_fields)}")
        return data


class Track(_Model):
    """What a paper's table column is: data set, backbone, input size and recipe.

    Attributes:
        dataset: key of ``datasets``.
        backbone: stem of a file in ``wsolbench/backbones``.
        backbone_args: constructor arguments of the backbone.
        weights: name of pinned pretrained weights, or null for random initialisation.
        resize: side in pixels to which training images are resized before the random crop.
        crop: side in pixels of what the network sees; test images are resized straight to it.
        epochs: passes over the training split; 0 evaluates the pretrained network with its own classifier
            (``backbone_args.keep_classifier``).
        batch: images per optimiser step, all devices together.
        lr: learning rate of SGD for the backbone.
        momentum: of SGD.
        nesterov: whether SGD looks ahead.
        weight_decay: L2 factor.
        head_lr_mult: learning-rate factor of layers without pretrained weights.
        schedule: ``step`` (times ``step_gamma`` every ``step_epochs`` or at ``milestones``) or ``cosine`` (to zero).
        step_epochs: epochs between steps.
        milestones: epochs after which a step comes, ascending, instead of ``step_epochs``.
        step_gamma: factor of a step.
        warmup_iters: iterations of linear warm-up from 1 % of the rate.
        amp: ``off`` (float32), ``bf16`` or ``fp16`` (CUDA only) autocast.
        channels_last: NHWC memory format.
    """

    dataset: str
    backbone: str
    backbone_args: dict[str, Any] = {}
    weights: str | None
    resize: Positive
    crop: Positive
    epochs: Annotated[int, Field(ge=0)]
    batch: Positive
    lr: Annotated[float, Field(gt=0)]
    momentum: Fraction = 0.9
    nesterov: bool = True
    weight_decay: Annotated[float, Field(ge=0)]
    head_lr_mult: Annotated[float, Field(gt=0)]
    schedule: Literal["step", "cosine"]
    step_epochs: Positive | None = None
    milestones: list[Positive] | None = None
    step_gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_iters: Annotated[int, Field(ge=0)] = 0
    amp: Literal["off", "bf16", "fp16"] = "off"
    channels_last: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> Track:
        if self.epochs == 0 and not self.backbone_args.get("keep_classifier"):
            raise ValueError("epochs: 0 trains no classifier; set backbone_args.keep_classifier, or train")
        steps = [name for name in ("step_epochs", "milestones") if getattr(self, name) is not None]
        if self.schedule == "step" and len(steps) != 1:
            raise ValueError("schedule 'step' needs either step_epochs or milestones")
        if self.schedule == "cosine" and steps:
            raise ValueError(f"{steps[0]} does nothing with schedule 'cosine'; remove it")
        if self.milestones is not None and self.milestones != sorted(set(self.milestones)):
            raise ValueError(f"milestones must ascend, not {self.milestones}")
        if self.crop > self.resize:
            raise ValueError(f"crop {self.crop} is larger than resize {self.resize}")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self


class MethodOnTrack(_Model):
    """What differs for a method on one track.

    Attributes:
        recipe: whose choice the differences are: printed with every row, and rows of different recipes are not ranked
            together.
        args: constructor arguments on top of the method's own.
        train: fields of the track's recipe that are overridden.
    """

    recipe: Literal["common", "published", "searched"] = "common"
    args: dict[str, Any] = {}
    train: dict[str, Any] = {}


class MethodBlock(_Model):
    """``methods.<key>``: constructor arguments, and what differs on a track."""

    args: dict[str, Any] = {}
    tracks: dict[str, MethodOnTrack] = {}


class RunSettings(_Model):
    """Which tracks, methods, baselines and seeds ``dvc repro`` executes."""

    tracks: list[str]
    methods: list[str]
    baselines: list[str] = []
    seeds: list[Annotated[int, Field(ge=0)]]

    @field_validator("methods", mode="before")
    @classmethod
    def _keys_of_a_mapping(cls, value: Any) -> Any:
        return list(value) if isinstance(value, Mapping) else value  # `*all_methods`, as DVC's matrix reads it


class RuntimeSettings(_Model):
    """How a run executes on this machine.

    Attributes:
        device: ``auto`` takes CUDA where there is one.
        threads: CPU threads of the network; bytes are promised for one setting only.
        workers: loader processes; any number gives the same bytes.
        deterministic: what to do about CUDA operations without a deterministic kernel.
        save_minutes: minutes between two saved states within an epoch; the end of an epoch has its own.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: Positive = 2
    workers: Annotated[int, Field(ge=0)] = 0
    deterministic: Literal["strict", "warn", "off"] = "warn"
    save_minutes: Annotated[float, Field(ge=0)] = 10


class EvaluateSettings(_Model):
    """How maps become numbers.

    Attributes:
        protocol: box protocol of the headline numbers.
        threshold_step: distance of the thresholds of a sweep over [0, 1).
        fixed_threshold: the threshold that is the same for all methods.
        published_threshold: thresholds that a source states, by method and track.
        gallery: number of test images in the gallery.
    """

    protocol: Literal["choe2020"] = "choe2020"
    threshold_step: Annotated[float, Field(gt=0, lt=1)] = 0.001
    fixed_threshold: Fraction = 0.2
    published_threshold: dict[str, dict[str, Fraction]] = {}
    gallery: Annotated[int, Field(ge=0)] = 8


class WeightsSettings(_Model):
    """Where pretrained weights lie; the variable ``WSOLBENCH_WEIGHTS`` takes precedence."""

    root: str | None = None


class Settings(_Model):
    """All of ``params.yaml``."""

    methods: dict[str, MethodBlock]
    datasets: dict[str, dict[str, Any]]
    tracks: dict[str, Track]
    run: RunSettings
    runtime: RuntimeSettings = RuntimeSettings()
    evaluate: EvaluateSettings = EvaluateSettings()
    weights: WeightsSettings = WeightsSettings()

    @model_validator(mode="after")
    def _names_exist(self) -> Settings:
        for chosen in self.run.tracks:
            _known("run.tracks", chosen, self.tracks)
        for method in self.run.methods:
            _known("run.methods", method, self.methods)
        for baseline in self.run.baselines:
            _known("run.baselines", baseline, registry.names("baseline"))
        for name, track in self.tracks.items():
            _known(f"tracks.{name}.dataset", track.dataset, self.datasets)
            _known(f"tracks.{name}.backbone", track.backbone, registry.names("backbone"))
        for name in self.datasets:
            _known("datasets", name, registry.names("dataset"))
        for name, block in self.methods.items():
            _known("methods", name, registry.names("method"))
            for track_name in block.tracks:
                _known(f"methods.{name}.tracks", track_name, self.tracks)
        for method, by_track in self.evaluate.published_threshold.items():
            _known("evaluate.published_threshold", method, self.methods)
            for track_name in by_track:
                _known(f"evaluate.published_threshold.{method}", track_name, self.tracks)
        return self

    def resolve(self, key: str) -> Run:
        """Return the run that ``<track>-<method or baseline>-<seed>`` names, with all overrides applied.

        Raises:
            SettingsError: the key does not name a track, a method or baseline, and a seed.
        """
        parts = key.rsplit("-", 2)
        if len(parts) != 3 or not parts[2].isdecimal():
            raise SettingsError(f"run '{key}' is not of the form <track>-<method>-<seed>")
        track_name, method, seed = parts
        where = f"run '{key}'"
        _known(where, track_name, self.tracks, error=SettingsError)
        if method in registry.names("baseline") and method not in self.methods:
            return Run(key, track_name, method, int(seed), self.tracks[track_name], MethodOnTrack())
        _known(where, method, self.methods, error=SettingsError)
        block = self.methods[method]
        on_track = block.tracks.get(track_name, MethodOnTrack())
        fields = self.tracks[track_name].model_dump() | on_track.train
        place = f"methods.{method}.tracks.{track_name}.train"
        track = _validated(Track, fields, place)
        merged = on_track.model_copy(update={"args": block.args | on_track.args})
        return Run(key, track_name, method, int(seed), track, merged)


@dataclass(frozen=True)
class Run:
    """One training (or baseline) with everything that defines it.

    Attributes:
        key: ``<track>-<method>-<seed>``, the stem of its result files.
        track_name: key of ``tracks``.
        method: key of ``methods``, or of a baseline.
        seed: of data order, augmentation, initialisation and dropout.
        track: the recipe with the method's overrides applied.
        on_track: the method's merged constructor arguments and whose recipe it is.
    """

    key: str
    track_name: str
    method: str
    seed: int
    track: Track
    on_track: MethodOnTrack

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``run.yaml`` and digests."""
        return {
            "key": self.key,
            "track": {"name": self.track_name, **self.track.model_dump()},
            "method": {"name": self.method, **self.on_track.model_dump(exclude={"train"})},
            "seed": self.seed,
        }


def read_settings(path: Path = PARAMS_FILE) -> Settings:
    """Read and check ``params.yaml``.

    Raises:
        SettingsError: the file is missing, is not YAML, or has unknown, missing or mistyped keys.
    """
    try:
        data = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SettingsError(f"{path} is not in {Path.cwd()}; run wsolbench from the repository's root") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not valid YAML: {error}") from None
    return _validated(Settings, data, "", str(path))


def validated_arguments(
    component: type[Any], arguments: Mapping[str, Any], where: str, given: int = 0
) -> dict[str, Any]:
    """Check keyword arguments against a constructor's signature.

    Args:
        component: class whose constructor is the schema.
        arguments: what ``params.yaml`` says.
        where: key in ``params.yaml``, for messages.
        given: leading parameters that the harness passes itself.

    Returns:
        The arguments, converted to the annotated types (lists to tuples, strings to paths).

    Raises:
        SettingsError: unknown or missing argument, or a wrong type.
    """
    hints = get_type_hints(component.__init__)
    parameters = list(inspect.signature(component).parameters.values())[given:]
    fields: dict[str, Any] = {
        p.name: (hints.get(p.name, Any), ... if p.default is p.empty else p.default) for p in parameters
    }
    model = create_model("Arguments", __base__=_Arguments, **fields)
    checked = _validated(model, dict(arguments), where)
    return {name: getattr(checked, name) for name in arguments}


class _Arguments(_Model):
    model_config = ConfigDict(extra="forbid", strict=False, frozen=True, arbitrary_types_allowed=True)


def _known(where: str, name: str, valid: Any, error: type[Exception] = ValueError) -> None:
    if name not in valid:
        raise error(f"{where}: unknown name '{name}'; {nearest(name, valid)}")


def _validated(model: type[M], data: Any, where: str, file: str = str(PARAMS_FILE)) -> M:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = []
        for problem in error.errors():
            key = ".".join([where, *map(str, problem["loc"])] if where else map(str, problem["loc"]))
            message = problem["msg"].removeprefix("Value error, ")
            shown = "" if problem["type"] in {"value_error", "missing"} else f" (found {problem['input']!r})"
            lines.append(f"{file}: {key}: {message}{shown}" if key else f"{file}: {message}{shown}")
        raise SettingsError("\n".join(lines)) from None
