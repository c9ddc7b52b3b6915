"""Copies from the CPU to the device of a network."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["to_device"]


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a CPU tensor on ``device`` without waiting for what the device is still doing.

    CUDA copies from ordinary memory only after everything that was asked of it before; from page-locked memory it
    copies in its turn. On a CPU this is the tensor itself.
    """
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
