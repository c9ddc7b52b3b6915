"""One model per stored file, for the stage that writes it and for the report that reads it.

A model keeps keys that it does not know: they are those of other versions. A key that the writer leaves out is not in
the file; one that a reader misses has its default. Numbers are checked on both sides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model

from wsolbench.config.schema import StrictModel
from wsolbench.results.metrics import METRICS, Metric

__all__ = ["Costs", "Entry", "Measured", "Provenance", "RunResult", "SkippedRun", "Stored", "checked_metrics"]
__all__ += ["parse_metrics"]

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Told = Annotated[str, Field(min_length=1)]
_NUMBERS: dict[str, Any] = {
    "%": Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)],
    "points": Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)],
    "threshold": Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)],
    "images": Count,
}


class Stored(BaseModel):
    """A stored file, or a block of one."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    def text(self) -> str:
        """Return the file's content, without what was not given."""
        return self.model_dump_json(indent=2, exclude_unset=True) + "\n"


class Used(Stored):
    """How many of something were used of ``val``."""

    val: Count


class Images(Stored):
    """How many images a run was tuned (``val``) and measured (``test``) on."""

    val: Count
    test: Count


class Weights(Stored):
    """Pretrained weights that a run started from."""

    name: str
    sha256: str


class Training(Stored):
    """How a training ended; None where that cannot be told.

    Attributes:
        at_chance: whether Top-1 Cls on ``val`` is not above chance.
        loss_grew: whether the last epoch's loss is above the first one's.
    """

    at_chance: bool | None
    loss_grew: bool | None


class Head(Stored):
    """What identifies the run of a metrics file.

    Attributes:
        key: ``<track>-<method>-<seed>``.
        method: key of a method or baseline.
        title: its name for people.
        method_status: ``published``, ``baseline``, or what else its title has to say.
        recipe: whose hyper-parameters they are.
        class_agnostic: whether its maps are the same whatever class is asked for.
        exempt: promises of the conformance suite that it keeps in part only, with the reasons.
        variant_of: the method that it is a variant of.
        reads: the method whose trained run it reads maps from, for what trains nothing itself.
        protocol_version: under which it was measured; see :data:`~wsolbench.results.metrics.PROTOCOL_VERSION`.
    """

    status: Literal["ok", "skipped"]
    key: str
    track: str
    dataset: str = ""
    backbone: str = ""
    method: str
    title: str
    method_status: str = "published"
    recipe: str = ""
    seed: int
    class_agnostic: bool = False
    exempt: dict[str, str] = {}
    variant_of: str | None = None
    reads: str | None = None
    protocol_version: Annotated[str, Field(pattern=r"^\d+\.\d+$")] = "1.0"


class SkippedRun(Head):
    """The metrics file of a run that its method declared unsupported, and why."""

    status: Literal["skipped"]
    reason: str


class Measured(Head):
    """How a run was measured.

    Attributes:
        weights: pretrained weights, None for random initialisation.
        selection: which epoch's weights make the maps; None where they were not trained here.
        protocol: box protocol.
        training: how it ended; None for what is not trained.
        data_digest: sha256 of the index of the data set.
        truth_digest: sha256 of the truth of ``val`` and ``test``; None in files of versions that did not store it.
        val_truth: whose truth ``val`` has.
        boxes_used: boxes of ``val`` that chose thresholds; ``masks_used`` likewise.
    """

    status: Literal["ok"]
    weights: Weights | None
    selection: Literal["last", "val_boxes", "val_cls"] | None
    protocol: str
    training: Training | None = None
    data_digest: str | None = None
    truth_digest: str | None = None
    val_truth: str
    boxes_used: Used
    masks_used: Used
    images: Images

    @property
    def learned_nothing(self) -> bool:
        """Whether the training ended at chance or with a loss that grew."""
        return self.training is not None and bool(self.training.at_chance or self.training.loss_grew)


def _block(name: str, metrics: Iterable[tuple[list[str], Metric]], base: type[Stored] = Stored) -> Any:
    """Return the model of a block of numbers, with a block within it per level of the metrics' names."""
    parts: dict[str, list[tuple[list[str], Metric]]] = {}
    for (first, *rest), metric in metrics:
        parts.setdefault(first, []).append((rest, metric))
    fields: dict[str, Any] = {}
    for key, found in parts.items():
        (rest, metric), may_lack = found[0], all(each.may_lack for _, each in found)
        kind = _block(f"{name}.{key}", found) if rest else _NUMBERS[metric.unit]
        fields[key] = (kind | None, None if may_lack else ...)
    return create_model(name, __base__=base, **fields)


RunResult: type[Measured] = _block(
    "RunResult", [(name.split("."), metric) for name, metric in METRICS.items()], Measured
)
"""The metrics file of a run: :class:`Measured`, and all of :data:`~wsolbench.results.metrics.METRICS`."""


class Entry(StrictModel):
    """What an ``entry.yaml`` says of results that were not trained here, in words for people.

    Attributes:
        title: name in tables.
        reference: authors, title, venue and year.
        licence: of code and weights.
        network: that makes the maps.
        pretraining: data and weights that its training began with.
        epoch: what chose the epoch whose weights make the maps.
        threshold: what chose the threshold that its authors report.
        code: where the code is.
        class_agnostic: whether its maps are the same whatever class is asked for.
    """

    title: Told
    reference: Told
    licence: Told
    network: Told
    pretraining: Told
    epoch: Told
    threshold: Told
    code: Told
    class_agnostic: bool = False


class Costs(Stored):
    """What a method costs on a track; floating-point operations are those of one image.

    Attributes:
        key: ``<track>-<method>``.
        data_digest: sha256 of the index of the data set.
        side: of the square images, pixels.
        parameters: numbers that training may change, all branches together.
        train_flops_per_image: forward and backward; None where nothing is trained.
        test_flops_per_image: class and map together.
        skipped: why the method was not built.
    """

    key: str
    data_digest: str
    train_images: Count
    epochs: Count
    side: Count
    classes: Count
    parameters: Count | None = None
    train_flops_per_image: Count | None = None
    test_flops_per_image: Count | None = None
    skipped: str | None = None


class Memory(Stored):
    """Largest memory of a run's process, MiB; of the device only where that is a GPU."""

    host: Count
    device: Count | None = None


class Phases(Stored):
    """Wall time of a run; a read-out has no training. The prediction is of all images of ``val`` and ``test``."""

    loading: Seconds | None = None
    training: Seconds | None = None
    prediction: Seconds | None = None


class Provenance(Stored):
    """Who made a run: commit, versions, device, times."""

    key: str
    seed: int = 0
    params_digest: str | None = None
    amp: str
    index_digest: str
    weights: Weights | None = None
    processes: Count = 1
    deterministic: str | None = None
    tf32: bool | None = None
    commit: str | None = None
    versions: dict[str, str | int | None] = {}  # cuDNN numbers its own
    platform: str | None = None
    device: str
    threads: Count
    wall_seconds: Phases
    peak_memory_mib: Memory


_FILE: Any = Annotated[RunResult | SkippedRun, Field(discriminator="status")]
_METRICS: TypeAdapter[Measured | SkippedRun] = TypeAdapter(_FILE)


def checked_metrics(record: Mapping[str, Any]) -> Measured | SkippedRun:
    """Return what an evaluation found as the model of its file.

    Raises:
        ValueError: a number is missing, mistyped or out of its range.
    """
    return _METRICS.validate_python(dict(record))


def parse_metrics(content: bytes) -> Measured | SkippedRun:
    """Read a metrics file.

    Raises:
        ValueError: it is not JSON, or a number is missing, mistyped or out of its range; the message names the first.
    """
    try:
        return _METRICS.validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part not in {"ok", "skipped"})
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
