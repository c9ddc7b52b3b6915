"""One model per stored file, for the stage that writes it and for the report that reads it.

A model keeps keys that it does not know: they are those of other versions. A key that the writer leaves out is not in
the file; one that a reader misses has its default. Numbers are checked on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

__all__ = ["Costs", "Provenance", "RunResult", "SkippedRun", "Stored", "checked_metrics", "parse_metrics"]

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Points = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]


class Stored(BaseModel):
    """A stored file, or a block of one."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow")

    def text(self) -> str:
        """Return the file's content, without what was not given."""
        return self.model_dump_json(indent=2, exclude_unset=True) + "\n"


class Classification(Stored):
    """Top-k accuracy; None for runs that do not classify."""

    top1: Percent | None
    top5: Percent | None


class AtThresholds(Stored):
    """An accuracy at the fixed, val, oracle and (where a source states one) published threshold."""

    fixed: Percent | None
    val: Percent | None
    oracle: Percent | None
    published: Percent | None = None


class Thresholds(Stored):
    """The thresholds themselves, as shares of the map's maximum."""

    fixed: Share | None
    val: Share | None
    oracle: Share | None
    published: Share | None = None


class PerIou(Stored):
    """An accuracy at IoU 0.3, 0.5 and 0.7, and their mean."""

    iou30: Percent | None
    iou50: Percent | None
    iou70: Percent | None
    mean: Percent | None


class Boxes(Stored):
    """The numbers of one box protocol; :mod:`wsolbench.results.metrics` says what they mean."""

    threshold: Thresholds
    gt_known: AtThresholds
    top1_loc: AtThresholds
    top5_loc: AtThresholds
    mean_iou: AtThresholds
    max_box_acc: Percent | None
    regret: Points | None
    peak_width: Percent | None
    max_box_acc_v2: PerIou
    max_box_acc_v2_val: PerIou


class Normalised(Stored):
    """Numbers under another normalisation of the maps than min-max."""

    gt_known: AtThresholds
    max_box_acc: Percent | None
    max_box_acc_v2: Percent | None
    px_ap: Percent | None


class Normalisations(Stored):
    """The normalisations that were evaluated next to min-max."""

    max: Normalised | None = None
    percentile: Normalised | None = None
    ivr: Normalised | None = None


class Size(Stored):
    """Accuracy on the objects of one size."""

    images: Count
    gt_known: AtThresholds
    p_iou: AtThresholds | None = None


class Sizes(Stored):
    """Accuracy by object size."""

    small: Size
    medium: Size
    large: Size


class Kinds(Stored):
    """Shares of the test images that are missed, by what is wrong with the box."""

    multi_instance: Percent
    part: Percent
    more: Percent
    background: Percent
    other: Percent


class Misses(Stored):
    """Kinds of miss at each threshold."""

    fixed: Kinds | None
    val: Kinds | None
    oracle: Kinds | None


class PixelKinds(Stored):
    """What an image's overlap with its mask lacks, percent of their union, mean over images."""

    missed: Percent
    context: Percent
    background: Percent


class PixelErrors(Stored):
    """What the overlap lacks at each threshold."""

    fixed: PixelKinds | None
    val: PixelKinds | None
    oracle: PixelKinds | None


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
        variant_of: the method that it differs from in a setting, for a table's order.
        reads: the method whose trained run it reads maps from, for what trains nothing itself.
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
    variant_of: str | None = None
    reads: str | None = None


class SkippedRun(Head):
    """The metrics file of a run that its method declared unsupported, and why."""

    status: Literal["skipped"]
    reason: str


class Measured(Head):
    """How a run was measured.

    Attributes:
        weights: pretrained weights, None for random initialisation.
        selection: which epoch's weights make the maps.
        protocol: box protocol.
        training: how it ended; None for what is not trained.
        data_digest: sha256 of the index of the data set.
        val_truth: whose truth ``val`` has.
        boxes_used: boxes of ``val`` that chose thresholds.
        masks_used: masks of ``val``, likewise.
    """

    weights: Weights | None
    selection: Literal["last", "val_boxes", "val_cls"]
    protocol: str
    training: Training | None = None
    data_digest: str | None = None
    val_truth: str
    boxes_used: Used
    masks_used: Used
    images: Images
    cls: Classification

    @property
    def learned_nothing(self) -> bool:
        """Whether the training ended at chance or with a loss that grew."""
        return self.training is not None and bool(self.training.at_chance or self.training.loss_grew)


class RunResult(Boxes, Measured):
    """The metrics file of a run: numbers in percent, None where one is not defined."""

    status: Literal["ok"]
    px_ap: Percent | None
    px_ap_per_class: Percent | None
    p_iou: AtThresholds
    p_iou_pooled: AtThresholds | None = None
    p_iou_threshold: Thresholds | None = None
    by_size: Sizes
    misses: Misses
    pixel_errors: PixelErrors | None = None
    pixel: Boxes
    normalisation: Normalisations


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
    """Wall time of a run."""

    loading: Seconds | None = None
    training: Seconds
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
    versions: dict[str, str | None] = {}
    platform: str | None = None
    device: str
    threads: Count
    wall_seconds: Phases
    peak_memory_mib: Memory


_METRICS: TypeAdapter[RunResult | SkippedRun] = TypeAdapter(
    Annotated[RunResult | SkippedRun, Field(discriminator="status")]
)


def checked_metrics(record: Mapping[str, Any]) -> RunResult | SkippedRun:
    """Return what an evaluation found as the model of its file.

    Raises:
        ValueError: a number is missing, mistyped or out of its range.
    """
    return _METRICS.validate_python(dict(record))


def parse_metrics(content: bytes) -> RunResult | SkippedRun:
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
