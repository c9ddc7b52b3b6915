"""Parts of ``params.yaml``: what a track is, what differs for a method on it, what runs, and a search."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, Field, field_validator, model_validator

from wsolbench.config.ranges import Count, Factor, Fraction, Positive
from wsolbench.config.schema import StrictModel, check_fields, check_known
from wsolbench.errors import SettingsError

__all__ = ["MethodBlock", "MethodOnTrack", "Overrides", "Part", "RunSettings", "SearchSettings", "Track"]


class Track(StrictModel):
    """What a paper's table column is: data set, backbone, input size and recipe.

    Attributes:
        dataset: key of ``datasets``.
        backbone: stem of a file in ``wsolbench/models/backbones``.
        backbone_args: constructor arguments of the backbone.
        weights: name of pinned pretrained weights, or null for random initialisation.
        resize: side in pixels to which training images are resized before the random crop.
        crop: side in pixels of what the network sees in training.
        test_crop: side in pixels that test images are resized straight to; null for ``crop``.
        epochs: passes over the training split; 0 evaluates the pretrained network with its own classifier
            (``backbone_args.keep_classifier``).
        batch: images per optimiser step, all devices together.
        optimiser: ``sgd``, or ``adamw``, whose weight decay is apart from the gradient.
        lr: learning rate for the backbone.
        momentum: of SGD.
        nesterov: whether SGD looks ahead.
        betas: of AdamW: how much its running means of gradients and their squares keep.
        eps: of AdamW.
        weight_decay: factor of weight decay.
        no_decay_norm_bias: no weight decay on biases, normalisations and whatever else has one dimension.
        head_lr_mult: learning-rate factor of layers without pretrained weights.
        drop_path: highest rate at which a transformer's branches are left out for an image; 0 for other backbones.
        schedule: ``step`` (times ``step_gamma`` every ``step_epochs`` or at ``milestones``) or ``cosine`` (to zero).
        step_epochs: epochs between steps.
        milestones: epochs after which a step comes, ascending, instead of ``step_epochs``.
        step_gamma: factor of a step.
        warmup_iters: iterations of linear warm-up from 1 % of the rate.
        amp: ``off`` (float32), ``bf16`` or, on CUDA only, ``fp16`` autocast with a dynamic loss scale.
        channels_last: NHWC memory format.
        clip_grad_norm: largest norm of the gradient of all parameters together; longer ones are shortened to it.
        sync_bn: on several devices, take the statistics of batch normalisation over all of them; on one, nothing.
        selection: which epoch's weights make the maps: the ``last``, or the one with the best localization
            (``val_boxes``: BoxAcc at IoU 0.5 and its best threshold, ``choe2020``) or classification (``val_cls``:
            Top-1) on ``val``. The same for all methods of a track.
    """

    dataset: str
    backbone: str
    backbone_args: dict[str, Any] = {}
    weights: str | None
    resize: Positive
    crop: Annotated[int, Field(ge=32)]  # two cells of a backbone of stride 16
    test_crop: Annotated[int, Field(ge=32)] | None = None
    epochs: Count
    batch: Positive
    optimiser: Literal["sgd", "adamw"] = "sgd"
    lr: Annotated[float, Field(gt=0)]
    momentum: Fraction = 0.9
    nesterov: bool = True
    betas: Annotated[list[Annotated[float, Field(ge=0, lt=1)]], Field(min_length=2, max_length=2)] = [0.9, 0.999]
    eps: Annotated[float, Field(gt=0)] = 1e-8
    weight_decay: Factor
    no_decay_norm_bias: bool = False
    head_lr_mult: Annotated[float, Field(gt=0)]
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    schedule: Literal["step", "cosine"]
    step_epochs: Positive | None = None
    milestones: list[Positive] | None = None
    step_gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup_iters: Count = 0
    amp: Literal["off", "bf16", "fp16"] = "off"
    channels_last: bool = True
    clip_grad_norm: Annotated[float, Field(gt=0)] | None = None
    sync_bn: bool = False
    selection: Literal["last", "val_boxes", "val_cls"] = "last"

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
        if self.epochs == 0 and self.selection != "last":
            raise ValueError("epochs: 0 leaves nothing to select from; set selection: last")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs a momentum above 0")
        return self

    @property
    def test_side(self) -> int:
        """Side in pixels of the images that a trained network predicts."""
        return self.test_crop or self.crop


def _same_selection(train: dict[str, Any]) -> dict[str, Any]:
    if "selection" in train:
        raise ValueError("selection is the track's, the same for all methods; set tracks.<track>.selection")
    return train


Overrides = Annotated[dict[str, Any], AfterValidator(_same_selection)]
"""Fields of a track's recipe that a method overrides."""


_ARGUMENTS = " (arguments of its constructor stand under `args`)"


class MethodOnTrack(StrictModel):
    """What differs for a method on one track.

    Attributes:
        recipe: whose choice the differences are: printed with every row, and rows of different recipes are not ranked
            together. Null is that of the method that it is a variant of, and ``common`` otherwise.
        args: constructor arguments on top of the method's own.
        train: fields of the track's recipe that are overridden.
    """

    other_keys = _ARGUMENTS

    recipe: Literal["common", "published", "searched"] | None = None
    args: dict[str, Any] = {}
    train: Overrides = {}


class MethodBlock(StrictModel):
    """``methods.<key>``: constructor arguments, and what differs on a track.

    A variant, such as an ablation or a published recipe, says ``of``: the block of that method applies first.

    Attributes:
        of: key of the method that it is a variant of; null for the method in ``methods/<key>.py``, or where ``from``
            says.
        title: what tables add to that method's title.
        args: constructor arguments.
        tracks: what differs on a track.
        only: keys of the tracks on which it runs; null for all. On others its runs are skipped, with that reason.
    """

    other_keys = _ARGUMENTS

    of: str | None = None
    title: str | None = None
    args: dict[str, Any] = {}
    tracks: dict[str, MethodOnTrack] = {}
    only: list[str] | None = None

    @model_validator(mode="after")
    def _variant_has_title(self) -> MethodBlock:
        if (self.of is None) != (self.title is None):
            raise ValueError("`of` and `title` belong together: they make a variant of another method")
        if self.only is not None and (lost := [track for track in self.tracks if track not in self.only]):
            raise ValueError(f"tracks.{lost[0]} has no effect: `only` does not name that track")
        return self


Factors = Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)]
"""Lowest and highest multiple of a track's own value."""

Searched = Literal["lr", "weight_decay", "head_lr_mult"]


class SearchSettings(StrictModel):
    """The budget of ``wsolbench search``, the same for all methods.

    Attributes:
        trials: trainings per method and track, failed ones included.
        epochs: of a trial; null takes the track's. What a method's ``train`` says of epochs does not count here.
        seed: of what is tried, and of every trial's training.
        objective: what is maximal on ``val``: ``max_box_acc_v2``, ``px_ap``, ``p_iou``, or ``top1_cls``, which looks
            at no box and no mask; ``auto`` takes the first, and the second where ``val`` has no boxes.
        recipe: fields of the track's recipe that are searched for every method beside its own arguments, log-uniformly
            between two multiples of what the track says. A method's own arguments are in its ``search_space``.
    """

    trials: Positive = 30
    epochs: Positive | None = None
    seed: Count = 0
    objective: Literal["auto", "max_box_acc_v2", "px_ap", "p_iou", "top1_cls"] = "auto"
    recipe: dict[Searched, Factors] = {"lr": [0.1, 10.0]}

    @field_validator("recipe", mode="before")
    @classmethod
    def _searchable(cls, value: Any) -> Any:
        if isinstance(value, dict):
            check_fields(value, get_args(Searched))
        return value

    @field_validator("recipe")
    @classmethod
    def _ascending(cls, value: dict[str, list[float]]) -> dict[str, list[float]]:
        for name, (low, high) in value.items():
            if low >= high:
                raise ValueError(f"{name}: {low:g} is not below {high:g}")
        return value


class Part(StrictModel):
    """Some tracks and methods of those that ``run`` names.

    Attributes:
        tracks: some of ``run.tracks``.
        methods: some of ``run.methods``.
    """

    tracks: list[str] = []
    methods: list[str] = []


class RunSettings(StrictModel):
    """What ``dvc repro`` executes.

    Attributes:
        tracks: keys of ``tracks``.
        methods: keys of ``methods``; each runs with every seed on every track.
        readouts: keys of ``methods`` that are read-outs; each reads every run of the methods in ``read``.
        read: some of ``methods``.
        baselines: baselines that do not depend on a seed; each runs once on every track.
        seeded_baselines: baselines that do; each runs with every seed on every track.
        seeds: of the runs.
        only: by keys of ``tracks``, the methods and read-outs that run there; on tracks not among them, all do.
        full_only: what of it ``make benchmark`` leaves to ``make full``, because it needs downloads or hours.
        suite: tracks of which ``make suite`` runs those in ``tracks``, with the methods that ``make benchmark`` runs.
    """

    tracks: list[str]
    methods: list[str]
    readouts: list[str] = []
    read: list[str] = []
    baselines: list[str] = []
    seeded_baselines: list[str] = []
    seeds: list[Annotated[int, Field(ge=0, lt=10**18)]]
    only: dict[str, list[str]] = {}
    full_only: Part = Part()
    suite: list[str] = []

    @property
    def readings(self) -> list[str]:
        """Names of the rows that read-outs make, ``<readout>_of_<method>``, as they stand in the keys of their runs."""
        return [f"{readout}_of_{read}" for read in self.read for readout in self.readouts]

    @property
    def ranked(self) -> list[str]:
        """The tracks over which methods are ranked: ``only`` leaves out none of ``methods`` there."""
        return [name for name in self.tracks if set(self.methods) <= {*self.only.get(name, self.methods)}]

    def keys(self, track: str) -> dict[str, list[str]]:
        """Return the keys of all runs on a track, by the stage of ``dvc.yaml`` that makes them."""
        names = {"train": self.methods, "readout": self.readings, "baseline_seeded": self.seeded_baselines}
        keys = {stage: [f"{track}-{name}-{seed}" for name in of for seed in self.seeds] for stage, of in names.items()}
        return keys | {"baseline": [f"{track}-{name}-0" for name in self.baselines]}

    def part(
        self, tracks: Sequence[str] = (), methods: Sequence[str] = (), *, benchmark: bool = False, suite: bool = False
    ) -> Part:
        """Return the tracks and methods to run.

        Args:
            tracks: keep to these; empty for all.
            methods: likewise.
            benchmark: leave out what is for the full benchmark only, and read-outs.
            suite: take the tracks of ``suite`` that are among ``run.tracks``, and leave out what ``benchmark`` does.

        Raises:
            SettingsError: one of them is not in ``run``, or no track of the suite is.
        """
        chosen, benchmark = {}, benchmark or suite
        tracks = tracks or [each for each in self.suite if suite and each in self.tracks]
        if suite and not tracks:
            raise SettingsError("run.suite names none of run.tracks; add to it what `make suite` is to run")
        for name, given in (("tracks", tracks), ("methods", methods)):
            readings = self.readings if name == "methods" else []
            named, full_only = getattr(self, name) + readings, getattr(self.full_only, name) + readings
            for each in given:
                check_known(f"--{name[:-1]}, of run.{name}", each, named, error=SettingsError)
            chosen[name] = [*(given or [each for each in named if not (benchmark and each in full_only)])]
        return Part(**chosen)
