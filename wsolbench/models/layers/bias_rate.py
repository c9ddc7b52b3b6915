"""Caffe's habit of training biases at a multiple of the weights' rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from wsolbench.models.method import ParamGroup

__all__ = ["with_bias_rate"]


def with_bias_rate(module: nn.Module, groups: Sequence[ParamGroup], multiplier: float) -> list[ParamGroup]:
    """Split every parameter group into weights and biases and multiply the biases' learning rate.

    A bias is a parameter whose name ends in ``bias``: of convolutions, linear layers and normalisations alike. Weight
    decay is left as it is for both.
    """
    biases = {id(p) for name, p in module.named_parameters() if name.rpartition(".")[2] == "bias"}
    split: list[dict[str, Any]] = []
    for group in groups:
        weights = [p for p in group["params"] if id(p) not in biases]
        rest = [p for p in group["params"] if id(p) in biases]
        split += [group | {"params": weights}, group | {"params": rest, "lr": group["lr"] * multiplier}]
    return [group for group in split if group["params"]]
