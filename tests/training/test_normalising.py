"""A batch on a CPU is normalised by looking its values up."""

from __future__ import annotations

import pytest
import torch

from wsolbench.config import registry
from wsolbench.training.normalising import NormalisationTable


@pytest.mark.parametrize("memory_format", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("name", ["convnet", "mobilenet_v1"])  # the two normalisations there are
def test_the_table_gives_the_bytes_of_the_backbones_own_normalisation(
    name: str, memory_format: torch.memory_format
) -> None:
    backbone = registry.load("backbone", name)(None)
    drawn = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (5, 3, 7, 11), dtype=torch.uint8, generator=drawn)
    images = images.contiguous(memory_format=memory_format)
    before = images.clone()
    found = NormalisationTable(backbone)(images)
    assert torch.equal(found, backbone.normalise(images))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.dtype == torch.float32
    assert torch.equal(images, before)
