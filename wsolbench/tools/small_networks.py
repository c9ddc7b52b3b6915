"""Small networks and batches: what the promises of methods and read-outs are tried on."""

from __future__ import annotations

import inspect
import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from wsolbench.config import registry
from wsolbench.models.backbones.base import Backbone
from wsolbench.models.layers import DropLayer
from wsolbench.models.method import Method
from wsolbench.tools.check import CHECKED

_NAMES = [os.environ[CHECKED]] if CHECKED in os.environ else registry.names("method", own=True)
METHODS = [name for name in _NAMES if registry.kind_of(name) == "method"]
READOUTS = [name for name in _NAMES if registry.kind_of(name) == "readout"]
CLASSES = 5
PIXELS = 64


def has_width(name: str) -> bool:
    """Whether a backbone can be made narrow."""
    return "width" in inspect.signature(registry.load("backbone", name)).parameters


def small_backbone(name: str, **arguments: Any) -> Backbone:
    """Return a quarter of the default width where the backbone has one."""
    backbone_class = registry.load("backbone", name)
    if has_width(name) and "width" not in arguments:
        width = inspect.signature(backbone_class).parameters["width"]
        arguments["width"] = type(width.default)(width.default / 4)
    backbone: Backbone = backbone_class(**arguments)
    return backbone


def side(name: str, least: int = PIXELS) -> int:
    """Return the smallest side of an image, from ``least`` on, that is a whole number of patches of a transformer."""
    patch = {"dinov2_small": 14}.get(name, 1)
    return -(-least // patch) * patch


def build(method: str, backbone: str = "convnet", seed: int = 0, **arguments: Any) -> Method:
    """Return a method on a small backbone, initialised from a seed."""
    torch.manual_seed(seed)
    built: Method = registry.load("method", method)(small_backbone(backbone), CLASSES, **arguments)
    return built


def batch(seed: int = 1, images: int = 4, pixels: int = PIXELS) -> tuple[Tensor, Tensor]:
    """Return normalised images of noise and their labels."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, 3, pixels, pixels, generator=generator), torch.arange(images) % CLASSES


def losses_and_gradients(
    method: Method, seed: int = 2, progress: float = 0.0
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Return losses, gradients by parameter name, and torch's generator state after a step's work."""
    torch.manual_seed(seed)
    method.train().zero_grad()
    losses = method.losses(*batch(), progress)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    return {name: loss.detach() for name, loss in losses.items()}, gradients, torch.get_rng_state()


def first_drop_layer(module: nn.Module) -> DropLayer:
    """Return the first layer of a network that drops parts of features."""
    return next(layer for layer in module.modules() if isinstance(layer, DropLayer))


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two mappings have the same keys and, bit for bit, the same tensors."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


WITHOUT_DETERMINISTIC_KERNEL = {
    *("_adaptive_avg_pool2d_backward", "adaptive_max_pool2d_backward", "fractional_max_pool2d_backward"),
    *("upsample_linear1d_backward", "upsample_bilinear2d", "upsample_bilinear2d_backward"),
    *("upsample_bicubic2d_backward", "grid_sampler_2d_backward", "reflection_pad2d_backward", "nll_loss2d_backward"),
    *("replication_pad2d_backward", "scatter_reduce"),
    *("avg_pool3d_backward", "max_pool3d_with_indices_backward", "_adaptive_avg_pool3d_backward", "max_unpool2d"),
    *("_ctc_loss_backward", "_embedding_bag_backward", "histc", "bincount", "kthvalue", "median", "cumsum", "put"),
}
"""Operations on CUDA."""


class Operations(TorchDispatchMode):
    """While it is entered, remembers the names of all operations."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))
