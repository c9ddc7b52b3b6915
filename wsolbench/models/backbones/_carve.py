"""Cut a classification network into stages without paying for the parts that are thrown away."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from wsolbench.errors import SettingsError
from wsolbench.models.backbones._strict_load import load_strictly
from wsolbench.models.backbones.base import Classifier
from wsolbench.models.layers.convolutions import he_init

__all__ = ["carve", "out_channels", "outline", "remove_strides"]

N = TypeVar("N", bound=nn.Module)


def outline(make: Callable[[], N]) -> N:
    """Build a network of which only names and shapes exist (on the ``meta`` device)."""
    with torch.device("meta"):
        return make()


def carve(
    network: nn.Module,
    kept: Iterable[nn.Module],
    weights: Path | None,
    *,
    classifier: str,
    keep_classifier: bool = False,
    hint: str = "",
    rename: Callable[[str], str | None] | None = None,
) -> Classifier | None:
    """Give the kept parts of an outlined network their weights; all keys of the file are checked, the rest is dropped.

    Args:
        network: all of the published network, as :func:`outline` returns it; changed in place.
        kept: its modules that become stages.
        weights: file with the network's keys, or None to initialise convolutions after He.
        classifier: name of its linear classifier on pooled features, which the file may leave out.
        keep_classifier: whether to return the classifier.
        hint: what to look at when shapes differ.
        rename: turns a key of the file into the network's, or into None where it is of no use.

    Returns:
        The classifier, if asked for.

    Raises:
        WeightsError: keys or shapes of the file are not the network's.
        SettingsError: a classifier is asked for and the file has none, or there is no file.
    """
    linear = network.get_submodule(classifier)
    for module in [*kept, *([linear] if keep_classifier else [])]:
        for layer in module.modules():
            _materialise(layer)
            if isinstance(layer, (nn.modules.batchnorm._BatchNorm, nn.Linear)):  # noqa: SLF001
                layer.reset_parameters()
        he_init(module)
    complete = weights is not None and load_strictly(
        network, weights, optional=f"{classifier}.", hint=hint, rename=rename
    )
    if not keep_classifier:
        return None
    if not complete:
        raise SettingsError("backbone_args.keep_classifier needs pretrained weights that have a classifier")
    tensors = linear.state_dict()
    return tensors["weight"].clone(), tensors["bias"].clone()


def remove_strides(
    stages: Mapping[str, nn.Module], strides: Mapping[str, int], output_stride: int, *, dilate: bool
) -> tuple[str, ...]:
    """Take away strides beyond ``output_stride``: set them to 1, or, to dilate what follows, say which to stitch.

    Args:
        stages: by name; convolutions are changed in place.
        strides: of the network up to and with each stage that has one.
        output_stride: pixels per cell of the last stage.
        dilate: leave the stages alone and return their names.
    """
    removed = tuple(name for name, stride in strides.items() if stride > output_stride)
    if dilate:
        return removed
    for layer in (layer for name in removed for layer in stages[name].modules()):
        if isinstance(layer, nn.Conv2d):
            layer.stride = (1, 1)
    return ()


def out_channels(stage: nn.Module) -> int:
    """Return the channels of a stage's last convolution."""
    return [layer for layer in stage.modules() if isinstance(layer, nn.Conv2d)][-1].out_channels


def _materialise(layer: nn.Module) -> None:
    """Give a layer's own parameters and buffers memory on the CPU."""
    for name, parameter in layer.named_parameters(recurse=False):
        setattr(layer, name, nn.Parameter(torch.empty(parameter.shape)))
    for name, buffer in layer.named_buffers(recurse=False):
        setattr(layer, name, torch.empty(buffer.shape, dtype=buffer.dtype))
