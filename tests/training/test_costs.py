"""Counts of operations against arithmetic by hand, and the stage that writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.training.conftest import TRACK
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.errors import DataError, SettingsError
from wsolbench.models.method import Method
from wsolbench.training.building import build_method
from wsolbench.training.costs import count_costs, flops_of, write_costs


def method_of(settings: Settings, name: str) -> Method:
    return build_method(settings.resolve(f"{TRACK}-{name}-0"), 3, None)


def products_by_hand(method: Method, side: int) -> list[int]:
    """Operations of each convolution and linear layer for one image, in the order in which they run."""
    found: list[int] = []

    def note(layer: nn.Module, _: object, out: Tensor) -> None:
        if isinstance(layer, nn.Conv2d):
            inputs = layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
            found.append(2 * inputs * out[0].numel())
        elif isinstance(layer, nn.Linear):
            found.append(2 * layer.in_features * out[0].numel())

    hooks = [layer.register_forward_hook(note) for layer in method.modules()]
    with torch.no_grad():
        method.losses(torch.rand(2, 3, side, side), torch.tensor([0, 1]), 0.5)
    for hook in hooks:
        hook.remove()
    return found


def test_a_matrix_product_is_two_operations_per_multiplication() -> None:
    assert flops_of(lambda: torch.ones(3, 5) @ torch.ones(5, 7)) == 2 * 3 * 5 * 7
    assert flops_of(lambda: nn.functional.conv2d(torch.ones(1, 2, 6, 6), torch.ones(4, 2, 3, 3))) == 2 * 2 * 9 * 4 * 16


@pytest.mark.parametrize("layer", [nn.Conv2d, nn.ConvTranspose2d])
@pytest.mark.parametrize("groups", [1, 4, 64])
def test_both_gradients_of_a_convolution_cost_what_it_does_itself(layer: type[nn.Conv2d], groups: int) -> None:
    convolution = layer(64, 64, 3, padding=1, groups=groups, bias=False)
    images = torch.rand(2, 64, 16, 16, requires_grad=True)
    forward = 2 * 2 * 64 * 16 * 16 * 64 // groups * 9
    assert flops_of(lambda: convolution(images)) == forward
    features = convolution(images).sum()
    assert flops_of(features.backward) == 2 * forward
    features = convolution(images.detach()).sum()
    assert flops_of(features.backward) == forward


@pytest.mark.parametrize("trained", [True, False])
def test_counts_are_those_of_the_layers(tiny_settings: Settings, trained: bool) -> None:
    side = tiny_settings.tracks[TRACK].crop
    method = method_of(tiny_settings, "cam")
    layers = products_by_hand(method, side)
    shown = method.eval().predict(torch.rand(1, 3, side, side), torch.tensor([0])).maps
    channels = max(parameter.shape[0] for parameter in method.backbone.parameters())
    head = 2 * channels * 3  # one product of the pooled features with the weights of three classes
    counts = count_costs(method, side, side, trained=trained)
    # Backward takes a product for the weights and one for the inputs of each layer; images have no gradient.
    assert counts.train_flops_per_image == (3 * (sum(layers) + head) - layers[0] if trained else None)
    # A map is one product of the features of every cell with the weights of one class.
    assert counts.test_flops_per_image == sum(layers) + head + 2 * channels * shown[0].numel()
    assert counts.parameters == sum(parameter.numel() for parameter in method.parameters())
    assert count_costs(method, side, side, trained=trained) == counts


def test_larger_images_cost_more_and_no_more_parameters(tiny_settings: Settings) -> None:
    small, large = (count_costs(method_of(tiny_settings, "adl"), side, side, trained=True) for side in (32, 64))
    assert large.parameters == small.parameters
    assert large.test_flops_per_image == pytest.approx(4 * small.test_flops_per_image, rel=0.01)


def test_the_stage_writes_counts_and_what_they_hold_for(tiny_settings: Settings, layout: Layout) -> None:
    write_costs(tiny_settings, f"{TRACK}-cam", layout)
    path = layout.costs(TRACK, f"{TRACK}-cam")
    before = path.read_bytes()
    found = json.loads(before)
    counts = count_costs(method_of(tiny_settings, "cam"), 40, 40, trained=True)
    assert found["parameters"] == counts.parameters
    assert found["train_flops_per_image"] == counts.train_flops_per_image
    assert (found["train_images"], found["epochs"], found["classes"], found["side"]) == (22, 2, 3, 40)
    write_costs(tiny_settings, f"{TRACK}-cam", layout)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_a_variant_is_counted_with_its_own_arguments(tiny_settings: Settings, layout: Layout) -> None:
    plain = tiny_settings.model_dump()
    plain["methods"]["long"] = {"of": "cam", "title": "longer", "tracks": {TRACK: {"train": {"epochs": 5}}}}
    write_costs(Settings.model_validate(plain), f"{TRACK}-long", layout)
    assert json.loads(layout.costs(TRACK, f"{TRACK}-long").read_text())["epochs"] == 5


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (f"{TRACK}-random_box", "is a baseline"),
        (f"{TRACK}-cma", "did you mean 'cam'"),
        ("tyni-cam", "did you mean 'tiny'"),
    ],
)
def test_other_keys_are_refused(tiny_settings: Settings, layout: Layout, key: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        write_costs(tiny_settings, key, layout)


def test_data_that_are_not_prepared_are_named(tiny_settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"index\.parquet is missing"):
        write_costs(tiny_settings, f"{TRACK}-cam", Layout(tmp_path))
    assert not (tmp_path / "results").exists()
