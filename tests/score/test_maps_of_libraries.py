"""What torchcam and pytorch-grad-cam return goes in as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torchcam import methods as torchcam

import wsolbench
from wsolbench.errors import DataError

BOX = (10, 5, 40, 30)
LABELS = [0, 2]


@pytest.fixture
def network() -> nn.Sequential:
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 4, 3, stride=2), nn.Conv2d(4, 6, 3, stride=2)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(2, 3, 48, 64, generator=torch.Generator().manual_seed(0))


def of_torchcam(network: nn.Sequential, images: torch.Tensor, layers: list[nn.Module]) -> list[torch.Tensor]:
    with torchcam.GradCAM(network, layers, input_shape=tuple(images.shape[1:])) as extractor:
        found: list[torch.Tensor] = extractor(LABELS[: len(images)], network(images))
    return found


def of_grad_cam(network: nn.Sequential, images: torch.Tensor) -> Any:
    with GradCAM(network, [network[2]]) as extractor:
        return extractor(images, [ClassifierOutputTarget(label) for label in LABELS[: len(images)]])


def test_a_tensor_of_torchcam_is_scored_in_its_list_and_out_of_it(network: nn.Sequential, images: torch.Tensor) -> None:
    found = of_torchcam(network, images[:1], [network[2]])
    assert (type(found), len(found), found[0].ndim) == (list, 1, 3)
    scored, alone = (wsolbench.score(heat, BOX, size=(64, 48)) for heat in (found, found[0][0]))
    assert np.array_equal(scored.single, alone.single)
    assert scored.multi.max() > 0


def test_maps_of_several_layers_are_to_be_fused(network: nn.Sequential, images: torch.Tensor) -> None:
    found = of_torchcam(network, images[:1], [network[0], network[2]])
    with pytest.raises(DataError, match=r"list of 2 arrays.*fuse them first"):
        wsolbench.score(found, BOX, size=(64, 48))
    fused = torchcam.GradCAM.fuse_cams(found)
    assert wsolbench.score(fused, BOX, size=(64, 48)).multi.max() > 0


def test_an_array_of_grad_cam_is_scored(network: nn.Sequential, images: torch.Tensor) -> None:
    found = of_grad_cam(network, images[:1])
    assert (found.dtype, found.shape) == (np.float32, (1, 48, 64))
    scored, alone = wsolbench.score(found, BOX), wsolbench.score(found[0].astype(np.float64), BOX)
    assert np.array_equal(scored.single, alone.single)
    assert scored.multi.max() > 0


@pytest.mark.parametrize("make", [of_grad_cam, lambda net, images: of_torchcam(net, images, [net[2]])])
def test_maps_of_several_images_are_a_set_and_no_map(
    make: Callable[..., Any], network: nn.Sequential, images: torch.Tensor
) -> None:
    found = make(network, images)
    with pytest.raises(DataError, match=r"not of shape \(2, .*evaluate_maps"):
        wsolbench.score(found, BOX, size=(64, 48))
    numbers = wsolbench.evaluate_maps(found, [BOX, BOX], sizes=(64, 48))
    each = found if isinstance(found, np.ndarray) else found[0]
    assert numbers["mean_iou"] == wsolbench.evaluate_maps(list(each), [BOX, BOX], sizes=(64, 48))["mean_iou"]
