"""Layers that hide part of a feature map while training."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from wsolbench.backbones.base import Backbone
from wsolbench.layers.points import chosen_points

__all__ = ["DropLayer", "coin", "insert_drop_layers"]


class DropLayer(nn.Module, ABC):
    """Base of layers without parameters that change features in training and are the identity in evaluation."""

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape and type."""
        return self.drop(features) if self.training else features

    @abstractmethod
    def drop(self, features: Tensor) -> Tensor:
        """Do what the layer does in training; draws from torch's global generator only, and only what it uses."""


def coin(probability: float, device: torch.device) -> Tensor:
    """Draw one scalar bool that is True with the given probability, without waiting for the device."""
    return torch.rand((), device=device) < probability


def insert_drop_layers(backbone: Backbone, points: Sequence[str] | None, make: Callable[[], DropLayer]) -> None:
    """Insert a new layer behind each of the named stages.

    Args:
        backbone: changed in place.
        points: names of stages, or None for the backbone's ``erase_points``.
        make: returns a new layer.

    Raises:
        SettingsError: ``erase_points`` names an unknown stage, or one twice.
    """
    for stage in chosen_points(backbone, "erase_points", points, backbone.erase_points):
        backbone.insert_after(stage, make())
