"""Small networks and batches for the conformance tests."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from wsolbench.config import registry
from wsolbench.models.backbones.base import Backbone
from wsolbench.models.layers import DropLayer
from wsolbench.models.method import Method

METHODS = [name for name in registry.names("method", own=True) if registry.kind_of(name) == "method"]
READOUTS = [name for name in registry.names("method", own=True) if registry.kind_of(name) == "readout"]
CLASSES = 5
PIXELS = 64


def has_width(name: str) -> bool:
    """Whether a backbone can be made narrow."""
    return "width" in inspect.signature(registry.load("backbone", name)).parameters


def small_backbone(name: str, **arguments: Any) -> Backbone:
    """A quarter of the default width where the backbone has one."""
    backbone_class = registry.load("backbone", name)
    if has_width(name) and "width" not in arguments:
        width = inspect.signature(backbone_class).parameters["width"]
        arguments["width"] = type(width.default)(width.default / 4)
    backbone: Backbone = backbone_class(**arguments)
    return backbone


def side(name: str, least: int = PIXELS) -> int:
    """The smallest side of an image, from ``least`` on, that is a whole number of patches of a transformer."""
    patch = {"dinov2_small": 14}.get(name, 1)
    return -(-least // patch) * patch


def build(method: str, backbone: str = "convnet", seed: int = 0, **arguments: Any) -> Method:
    torch.manual_seed(seed)
    built: Method = registry.load("method", method)(small_backbone(backbone), CLASSES, **arguments)
    return built


def batch(seed: int = 1, images: int = 4, pixels: int = PIXELS) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(images, 3, pixels, pixels, generator=generator), torch.arange(images) % CLASSES


def losses_and_gradients(
    method: Method, seed: int = 2, progress: float = 0.0
) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
    """Losses, gradients by parameter name, and torch's generator state after one training step's worth of work."""
    torch.manual_seed(seed)
    method.train().zero_grad()
    losses = method.losses(*batch(), progress)
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: p.grad.clone() for name, p in method.named_parameters() if p.grad is not None}
    return {name: loss.detach() for name, loss in losses.items()}, gradients, torch.get_rng_state()


def first_drop_layer(module: nn.Module) -> DropLayer:
    return next(layer for layer in module.modules() if isinstance(layer, DropLayer))


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Whether two mappings have the same keys and, bit for bit, the same tensors."""
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)
