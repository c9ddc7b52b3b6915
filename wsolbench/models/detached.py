"""Calls of a module that leave its parameters without gradient, or its running statistics as they are."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.func import functional_call

__all__ = ["call_apart"]


def call_apart(
    module: nn.Module, *arguments: Any, detached: bool = True, running_stats: bool = False, **named: Any
) -> Any:
    """Call a module in its present mode without leaving traces in it.

    Args:
        module: what is called; any number of times in one step.
        arguments: of the call; gradients reach them as ever.
        detached: take the present weights as constants: no gradient reaches the module's parameters.
        running_stats: whether batch normalisation in training counts what it sees here; without, all buffers stay.
        named: further arguments of the call.
    """
    parts = {name: parameter.detach() for name, parameter in module.named_parameters()} if detached else {}
    if not running_stats:
        parts |= {name: buffer.clone() for name, buffer in module.named_buffers()}
    return functional_call(module, parts, arguments, named)
