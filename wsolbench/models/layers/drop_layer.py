"""Layers that hide part of a feature map while training, and the coins that decide for a whole batch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from wsolbench.models.backbones.base import Backbone
from wsolbench.models.layers.points import chosen_points

__all__ = ["DropLayer", "coin", "coins_from", "insert_drop_layers"]

_generators: list[torch.Generator] = []  # of the batch in training; empty outside of one


class DropLayer(nn.Module, ABC):
    """Base of layers without parameters that change features in training and are the identity in evaluation."""

    def forward(self, features: Tensor) -> Tensor:
        """Map ``(B, C, H, W)`` to the same shape and type."""
        return self.drop(features) if self.training else features

    @abstractmethod
    def drop(self, features: Tensor) -> Tensor:
        """Do what the layer does in training.

        It draws what it uses and no more: for single images from torch's global generator, for the batch by
        :func:`coin`.
        """


def coin(probability: float, device: torch.device) -> Tensor:
    """Draw one scalar bool that is True with the given probability, without waiting for the device.

    It decides for a whole batch. In a training, it falls alike in all processes that share the batch, whatever they
    have drawn for their own images; elsewhere it comes from torch's global generator.
    """
    generator = _generators[-1] if _generators else None
    return torch.rand((), device=device, generator=generator) < probability


@contextmanager
def coins_from(generator: torch.Generator) -> Iterator[None]:
    """Decide the coins of one batch by numbers of this generator, while the context is open.

    Args:
        generator: on the device of the network.
    """
    _generators.append(generator)
    try:
        yield
    finally:
        _generators.pop()


def insert_drop_layers(backbone: Backbone, points: Sequence[str] | None, make: Callable[[], DropLayer]) -> None:
    """Insert a new layer behind each of the named stages, or of the backbone's ``erase_points``.

    Raises:
        SettingsError: ``erase_points`` names an unknown stage, or one twice.
    """
    for stage in chosen_points(backbone, "erase_points", points, backbone.erase_points):
        backbone.insert_after(stage, make())
