"""What a run's metrics file holds, checked as it is read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter, ValidationError

__all__ = [
    "AtThresholds",
    "Classification",
    "Images",
    "Kinds",
    "Misses",
    "Normalisations",
    "Normalised",
    "PerIou",
    "Pixel",
    "PixelErrors",
    "PixelKinds",
    "RunResult",
    "Size",
    "Sizes",
    "SkippedRun",
    "Thresholds",
    "Training",
    "Used",
    "Weights",
    "parse_metrics",
]

Percent = Annotated[float, Field(ge=0, le=100, allow_inf_nan=False)]
Points = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


@dataclass(frozen=True)
class Classification:
    """Top-k accuracy in percent; None for runs that do not classify."""

    top1: Percent | None
    top5: Percent | None


@dataclass(frozen=True)
class AtThresholds:
    """An accuracy in percent at the fixed, val, oracle and (where a source states one) published threshold."""

    fixed: Percent | None
    val: Percent | None
    oracle: Percent | None
    published: Percent | None = None


@dataclass(frozen=True)
class Thresholds:
    """The thresholds themselves, as shares of the map's maximum."""

    fixed: Share | None
    val: Share | None
    oracle: Share | None
    published: Share | None = None


@dataclass(frozen=True)
class PerIou:
    """An accuracy in percent at IoU 0.3, 0.5 and 0.7, and their mean."""

    iou30: Percent | None
    iou50: Percent | None
    iou70: Percent | None
    mean: Percent | None


@dataclass(frozen=True)
class Pixel:
    """The same numbers under the box protocol ``pixel``; see :class:`RunResult`."""

    threshold: Thresholds
    gt_known: AtThresholds
    top1_loc: AtThresholds
    mean_iou: AtThresholds
    max_box_acc: Percent | None
    regret: Points | None
    max_box_acc_v2: PerIou
    max_box_acc_v2_val: PerIou


@dataclass(frozen=True)
class Normalised:
    """Numbers under another normalisation than min-max."""

    gt_known: AtThresholds
    max_box_acc: Percent | None
    max_box_acc_v2: Percent | None
    px_ap: Percent | None


@dataclass(frozen=True)
class Normalisations:
    """The normalisations that were evaluated next to min-max."""

    max: Normalised | None = None
    percentile: Normalised | None = None
    ivr: Normalised | None = None


@dataclass(frozen=True)
class Size:
    """Accuracy on the objects of one size; ``p_iou`` is None in files of versions that did not store it."""

    images: int
    gt_known: AtThresholds
    p_iou: AtThresholds | None = None


@dataclass(frozen=True)
class Sizes:
    """Accuracy by object size."""

    small: Size
    medium: Size
    large: Size


@dataclass(frozen=True)
class Kinds:
    """Shares of the test images that are missed, by what is wrong with the box."""

    multi_instance: Percent
    part: Percent
    more: Percent
    background: Percent
    other: Percent


@dataclass(frozen=True)
class Misses:
    """Kinds of miss at each threshold."""

    fixed: Kinds | None
    val: Kinds | None
    oracle: Kinds | None


@dataclass(frozen=True)
class PixelKinds:
    """What an image's overlap with its mask lacks, percent of their union, mean over images."""

    missed: Percent
    context: Percent
    background: Percent


@dataclass(frozen=True)
class PixelErrors:
    """What the overlap lacks at each threshold."""

    fixed: PixelKinds | None
    val: PixelKinds | None
    oracle: PixelKinds | None


@dataclass(frozen=True)
class Used:
    """How many of something were used of ``val``."""

    val: int


@dataclass(frozen=True)
class Images:
    """How many images a run was tuned (``val``) and measured (``test``) on."""

    val: int
    test: int


@dataclass(frozen=True)
class Weights:
    """Pretrained weights that a run started from."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Training:
    """How a run's training ended; None where that cannot be told.

    Attributes:
        at_chance: whether Top-1 Cls on ``val`` is not above chance.
        loss_grew: whether the last epoch's loss is above the first one's.
    """

    at_chance: bool | None
    loss_grew: bool | None


@dataclass(frozen=True)
class RunResult:
    """The metrics file of a run; accuracies in percent, None where a number is not defined.

    Attributes:
        status: always ``ok``.
        key: ``<track>-<method>-<seed>``.
        track: name of the track.
        dataset: name of the data set.
        backbone: name of the backbone.
        method: name of the method or baseline.
        data_digest: sha256 of the index of the data set; None in files of versions that did not store it.
        variant_of: the method that this one is a variant of.
        title: its name for people.
        method_status: ``published``, or what else the title has to say about it.
        recipe: whose hyper-parameters they are.
        seed: of the run.
        weights: pretrained weights, None for random initialisation.
        val_truth: whose truth ``val`` has.
        boxes_used: boxes of ``val`` that chose thresholds.
        masks_used: masks of ``val``, likewise.
        selection: which epoch's weights make the maps.
        protocol: box protocol.
        images: sizes of the splits.
        cls: classification.
        threshold: the thresholds of the single-contour box.
        gt_known: GT-known localization.
        top1_loc: Top-1 localization.
        top5_loc: Top-5 localization.
        max_box_acc: MaxBoxAcc.
        regret: points between the oracle's and val's threshold.
        max_box_acc_v2: MaxBoxAccV2 with oracle thresholds.
        max_box_acc_v2_val: the same with thresholds from ``val``.
        px_ap: pixel average precision.
        px_ap_per_class: its mean over classes.
        mean_iou: mean overlap of the single-contour box.
        peak_width: share of the thresholds at which BoxAcc is at least 95 % of its peak.
        p_iou: mean overlap of the pixels above the threshold with the mask.
        by_size: accuracy by object size.
        misses: what is wrong with wrong boxes.
        pixel_errors: what overlaps with masks lack; None in files of versions that did not store it.
        pixel: box protocol ``pixel``.
        normalisation: other normalisations.
        training: how it ended; None for what is not trained, and in files of versions that did not store it.
    """

    status: Literal["ok"]
    key: str
    track: str
    dataset: str
    backbone: str
    method: str
    title: str
    method_status: str
    recipe: str
    seed: int
    weights: Weights | None
    val_truth: str
    boxes_used: Used
    masks_used: Used
    selection: Literal["last", "val_boxes", "val_cls"]
    protocol: str
    images: Images
    cls: Classification
    threshold: Thresholds
    gt_known: AtThresholds
    top1_loc: AtThresholds
    top5_loc: AtThresholds
    max_box_acc: Percent | None
    regret: Points | None
    max_box_acc_v2: PerIou
    max_box_acc_v2_val: PerIou
    px_ap: Percent | None
    px_ap_per_class: Percent | None
    mean_iou: AtThresholds
    peak_width: Percent | None
    p_iou: AtThresholds
    by_size: Sizes
    misses: Misses
    pixel: Pixel
    normalisation: Normalisations
    variant_of: str | None = None
    data_digest: str | None = None
    training: Training | None = None
    pixel_errors: PixelErrors | None = None

    @property
    def learned_nothing(self) -> bool:
        """Whether its training ended at chance or with a loss that grew."""
        return self.training is not None and bool(self.training.at_chance or self.training.loss_grew)


@dataclass(frozen=True)
class SkippedRun:
    """The metrics file of a run that its method declared unsupported.

    Attributes:
        status: always ``skipped``.
        key: ``<track>-<method>-<seed>``.
        reason: why, in the method's words.
        title: the method's name for people, where the file has it.
    """

    status: Literal["skipped"]
    key: str
    reason: str
    title: str | None = None


_FILE: TypeAdapter[RunResult | SkippedRun] = TypeAdapter(
    Annotated[RunResult | SkippedRun, Field(discriminator="status")]
)


def parse_metrics(content: bytes) -> RunResult | SkippedRun:
    """Read the bytes of a metrics file; unknown keys are left to later versions.

    Raises:
        ValueError: it is not JSON, or a number is missing, mistyped or out of its range; the message names the first.
    """
    try:
        return _FILE.validate_json(content, strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"] if part not in {"ok", "skipped"})
        raise ValueError(f"{place}: {first['msg']}" if place else first["msg"]) from None
