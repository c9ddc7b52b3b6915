"""The contract between a localization method and the harness.

A method is one file in ``methods/`` with one subclass of :class:`Method`. It imports only ``torch``,
``wsolbench.models.method`` and ``wsolbench.models.layers``; it does no I/O, moves nothing between devices, sees no
boxes and draws random numbers only from torch's global generator (which the harness seeds before each
iteration) or from the generator that it is handed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from wsolbench.config import registry
from wsolbench.config.distributions import CHOE2020, Choice, Distribution, LogUniform, Uniform, space
from wsolbench.models.backbones.base import Backbone

__all__ = [
    "CHOE2020",
    "Backbone",
    "Choice",
    "Exempt",
    "Localizer",
    "LogUniform",
    "Method",
    "OptimRecipe",
    "ParamGroup",
    "Prediction",
    "ReadOut",
    "Uniform",
    "space",
]

ParamGroup = dict[str, Any]


@dataclass(frozen=True)
class Prediction:
    """What a method says about a batch at test time.

    Attributes:
        logits: class scores before the softmax, ``(B, C)`` float.
        maps: localization map of the asked-for label at native resolution, ``(B, h, w)`` float, any
            range, larger where the object is. The harness upsamples and normalises.
        boxes: instead of maps, where a method has none: ``(B, 4)`` float ``x0, y0, x1, y1`` as shares of the image's
            width and height, in [0, 1]. Such a method has no thresholds.

    Raises:
        ValueError: both are given, or neither.
    """

    logits: Tensor
    maps: Tensor | None = None
    boxes: Tensor | None = None

    def __post_init__(self) -> None:
        if (self.maps is None) == (self.boxes is None):
            raise ValueError("a prediction has either maps or boxes")


@dataclass(frozen=True)
class OptimRecipe:
    """The part of a track's recipe that decides parameter groups.

    Attributes:
        lr: learning rate of the pretrained (or, from scratch, all) layers.
        weight_decay: L2 factor.
        head_lr_mult: learning-rate factor of what the method adds to the backbone.
    """

    lr: float
    weight_decay: float
    head_lr_mult: float


@dataclass(frozen=True)
class Exempt:
    """Promises that a method keeps in part only, each with the reason; None is no exemption.

    Attributes:
        rounding: rounding may move what is compared with a threshold across it: maps then agree between memory formats
            within a hundredth of their range (else a ten-thousandth), and losses between precisions within a fifth
            (else a twentieth).
        deterministic_cuda: an operation has no deterministic kernel on CUDA, so that two trainings there may differ.
    """

    rounding: str | None = None
    deterministic_cuda: str | None = None

    def reasons(self) -> dict[str, str]:
        """Return the reasons that are given, by exemption."""
        return {name: reason for name, reason in vars(self).items() if reason}


class Localizer(nn.Module, ABC):
    """What classifies images and localizes a label in them: a method, or a read-out of a trained one.

    Attributes:
        title: name in tables and plots.
        reference: paper, venue, year and arXiv number.
        status: ``"published"``, or ``"reconstruction"`` where the paper's text was not available to us;
            printed wherever its numbers stand.
        class_agnostic: True if the map does not depend on the label; printed wherever its numbers stand.
        needs_tokens: True if it reads class tokens or attention, which only transformers have.
        refuses_tokens: why it cannot run on a transformer, if it cannot.
        exempt: what it does not promise; printed by ``wsolbench check`` and wherever its numbers stand.
        needs_grad: True if :meth:`predict` needs gradients (maps from gradients).
        search_space: what a search may try, by constructor argument; see :mod:`wsolbench.config.distributions`. Every
            combination must be valid; an argument that is valid with some values of another only stays out.
        backbone: the network whose stages it reads.
    """

    title: ClassVar[str]
    reference: ClassVar[str]
    status: ClassVar[Literal["published", "reconstruction"]] = "published"
    class_agnostic: ClassVar[bool] = False
    needs_tokens: ClassVar[bool] = False
    refuses_tokens: ClassVar[str | None] = None
    exempt: ClassVar[Exempt] = Exempt()
    needs_grad: ClassVar[bool] = False
    search_space: ClassVar[Mapping[str, Distribution]] = space()
    backbone: Backbone

    @abstractmethod
    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        """Classify a batch and localize the given labels in one forward pass.

        Args:
            images: ``(B, 3, H, W)`` float, normalised as the backbone wants them.
            labels: ``(B,)`` int64 class whose map is asked for.
        """

    @classmethod
    def unsupported(cls, backbone_name: str, dataset_traits: Iterable[str]) -> str | None:
        """Return why it cannot run on this backbone or data set, or None if it can."""
        if cls.needs_tokens and not registry.load("backbone", backbone_name).tokens:
            return "it reads a class token, which transformers have"
        if cls.refuses_tokens and registry.load("backbone", backbone_name).tokens:
            return cls.refuses_tokens
        return None

    @classmethod
    def describe(cls) -> Mapping[str, Any]:
        """Return what tables print about it: title, reference, status, whether its maps have no class, exemptions."""
        marks = {"class_agnostic": cls.class_agnostic, "exempt": cls.exempt.reasons()}
        known = {name: value for name, value in marks.items() if value}
        return {"title": cls.title, "reference": cls.reference, "status": cls.status, **known}


class Method(Localizer):
    """A weakly supervised localization method on a backbone.

    Subclasses take ``(backbone, num_classes, **hyperparameters)``; the signature of their constructor is
    the schema of ``methods.<key>.args`` in ``params.yaml``. Their docstring gives the paper, section and
    equation, says what is published and what is our choice, and why.

    State beyond the weights (memories of classes, a teacher) lies in buffers, or, where its shape changes, in one
    tensor that ``get_extra_state`` returns: it is then saved, resumed and loaded with them. A part that is not trained
    has ``requires_grad`` off, or is a stage that ``backbone.freeze`` names.

    Attributes:
        skips_parameters: True if in some steps a parameter takes no part in any loss (a loss may be a constant 0 at
            first); several processes that share a batch then look for such in each step, which takes time.
        bias_lr_mult: learning-rate factor of biases, for a constructor to set; Caffe's habit is 2.
    """

    skips_parameters: ClassVar[bool] = False
    bias_lr_mult: float = 1.0

    def __init__(self, backbone: Backbone, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.num_classes = num_classes

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load a state, from whatever device, to the one where the method is: its extra state, too."""
        device = next(self.parameters()).device
        return super().load_state_dict({name: each.to(device) for name, each in state_dict.items()}, strict, assign)

    @abstractmethod
    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        """Compute the training losses of a batch; the harness minimises their sum.

        Args:
            images: ``(B, 3, H, W)`` float, normalised as the backbone wants them.
            targets: ``(B,)`` int64 labels, or ``(B, C)`` float class probabilities where
                :meth:`batch_transform` made them.
            progress: share of the training that is done, in ``[0, 1]``.

        Returns:
            Scalars by name, of the same names in every step: 0 for one that has no part in it.
        """

    def batch_transform(self, images: Tensor, targets: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Change a training batch before the forward pass (identity unless overridden).

        Args:
            images: ``(B, 3, H, W)`` float, normalised.
            targets: ``(B,)`` int64.
            generator: the only source of randomness for the change; on the CPU.

        Returns:
            Images of the same shape, and ``(B,)`` int64 or ``(B, C)`` float targets.
        """
        return images, targets

    def on_epoch_start(self, epoch: int, images: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Bring the method's own state up to date before an epoch (nothing unless overridden).

        Called once per epoch, also in a training that was killed and goes on. The method is in evaluation mode and
        gradients are off; torch's generators are seeded from (seed, epoch).

        Args:
            epoch: from 0.
            images: batches of all training images without augmentation, ``(B, 3, H, W)`` normalised, with their labels
                ``(B,)``, in the order of the index; read only as far as it is iterated over.
        """

    def param_groups(self, recipe: OptimRecipe) -> list[ParamGroup]:
        """Return optimiser parameter groups; every trainable parameter stands in exactly one.

        The default trains the backbone at the recipe's rate and everything else ``head_lr_mult`` times
        faster. A backbone without pretrained weights has no reason for two rates: its track sets
        ``head_lr_mult: 1``. Layers that a backbone itself adds to the pretrained network (its neck,
        named in ``backbone.new_stages``) count as head, as in every published recipe. Where ``bias_lr_mult`` is not 1,
        both are split into weights and biases.
        """
        new = {id(p) for p in self.backbone.new_parameters()}
        old = [p for p in self.backbone.parameters() if id(p) not in new]
        seen = {id(p) for p in old}
        head = [p for p in self.parameters() if id(p) not in seen]
        groups: list[ParamGroup] = [
            {"params": [p for p in old if p.requires_grad], "lr": recipe.lr},
            {"params": [p for p in head if p.requires_grad], "lr": recipe.lr * recipe.head_lr_mult},
        ]
        return [group for group in self._with_bias_rate(groups) if group["params"]]

    def _with_bias_rate(self, groups: list[ParamGroup]) -> list[ParamGroup]:
        """Split every group into weights and biases: of convolutions, linear layers and normalisations alike.

        Weight decay is left as it is for both.
        """
        if self.bias_lr_mult == 1:
            return groups
        biases = {id(p) for name, p in self.named_parameters() if name.rpartition(".")[2] == "bias"}
        split: list[ParamGroup] = []
        for group in groups:
            weights = [p for p in group["params"] if id(p) not in biases]
            rest = [p for p in group["params"] if id(p) in biases]
            split += [group | {"params": weights}, group | {"params": rest, "lr": group["lr"] * self.bias_lr_mult}]
        return split


class ReadOut(Localizer):
    """Maps read out of a trained method, by whatever network that has; nothing is trained here.

    Subclasses take ``(method, **hyperparameters)``. They read the method's backbone and call its ``predict``, whose
    logits are functions of the features behind any stage; gradients come from
    :func:`wsolbench.models.layers.read_stages`. Parameters are constants, and randomness has no place.

    Args:
        method: the trained method, in evaluation mode.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = method.requires_grad_(False)
        self.backbone = method.backbone
