"""Shared layers against slow, obvious references."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from wsolbench.config import registry
from wsolbench.config.schema import validated_arguments
from wsolbench.errors import SettingsError
from wsolbench.models.layers import ClassMapHead, chosen_points, coin, coins_from, min_max, upsample
from wsolbench.models.method import OptimRecipe
from wsolbench.tools.small_networks import build


def test_min_max_scales_each_map_to_its_own_range():
    maps = torch.randn(3, 4, 5) * torch.tensor([1.0, 1e-3, 1e3])[:, None, None]
    scaled = min_max(maps)
    for before, after in zip(maps.numpy(), scaled.numpy(), strict=True):
        expected = (before - before.min()) / (before.max() - before.min())
        np.testing.assert_allclose(after, expected, rtol=1e-6)


@pytest.mark.parametrize("value", [0.0, -3.5, 1e30])
def test_min_max_of_a_constant_map_is_zero(value):
    assert torch.equal(min_max(torch.full((1, 3, 3), value)), torch.zeros(1, 3, 3))


def test_min_max_of_bfloat16_maps_is_float32():
    assert min_max(torch.randn(1, 3, 3).bfloat16()).dtype == torch.float32


def test_class_map_head_equals_a_1x1_convolution_before_pooling():
    head = ClassMapHead(6, 4).double()
    features = torch.randn(3, 6, 5, 7, dtype=torch.float64)
    labels = torch.tensor([2, 0, 3])
    weight, bias = head.classifier.weight.detach().numpy(), head.classifier.bias.detach().numpy()
    maps = np.zeros((3, 4, 5, 7))
    for image in range(3):
        for label in range(4):
            for channel in range(6):
                maps[image, label] += weight[label, channel] * features[image, channel].numpy()
    np.testing.assert_allclose(head(features).detach(), maps.mean((2, 3)) + bias, rtol=1e-12)
    found = head.maps(features, labels).detach()
    np.testing.assert_allclose(found, maps[np.arange(3), labels.numpy()], rtol=1e-10, atol=1e-12)


def test_class_map_head_stays_in_float32_under_autocast():
    head, features, labels = ClassMapHead(64, 3), torch.randn(2, 64, 4, 4), torch.tensor([0, 1])
    expected = head(features), head.maps(features, labels)
    with torch.autocast("cpu", torch.bfloat16):
        found = head(features), head.maps(features, labels)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("old", [(7, 7), (5, 3), (1, 4)])
@pytest.mark.parametrize("new", [(224, 224), (8, 12), (3, 2)])
def test_upsampling_is_bilinear_interpolation_with_its_gradient(old, new):
    maps = torch.randn(3, *old, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, *new, dtype=torch.float64)
    expected = interpolate(maps[:, None], new, mode="bilinear", align_corners=False)[:, 0]
    found = upsample(maps, new)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad(output, maps, upstream)[0] for output in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(upsample(maps.float(), new), expected.float())


def test_upsampling_keeps_a_constant_and_makes_no_plateaus_under_autocast():
    assert torch.equal(upsample(torch.full((1, 7, 7), 3.0), (96, 96)), torch.full((1, 96, 96), 3.0))
    ramp = torch.arange(8.0).expand(1, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = upsample(ramp, (224, 224))
    assert found.dtype == torch.float32
    assert (found[0, 0, 14:-14].diff() > 0).all()


def test_coin_falls_as_often_as_asked():
    torch.manual_seed(0)
    heads = sum(bool(coin(0.3, torch.device("cpu"))) for _ in range(4000))
    assert abs(heads / 4000 - 0.3) < 4 * (0.3 * 0.7 / 4000) ** 0.5


def tossed(seed, count, between=lambda: None):
    generator = torch.Generator().manual_seed(seed)
    found = []
    with coins_from(generator):
        for _ in range(count):
            between()
            found.append(bool(coin(0.5, torch.device("cpu"))))
    return found


def test_a_batchs_coins_do_not_depend_on_what_is_drawn_for_its_images():
    alone = tossed(3, 200)  # more than are drawn at once
    assert tossed(3, 200, between=lambda: torch.rand(5)) == alone
    assert tossed(4, 200) != alone
    assert 60 < sum(alone) < 140
    assert len({tuple(alone[k : k + 20]) for k in range(0, 200, 20)}) == 10


def test_tossing_a_batchs_coins_draws_nothing_for_its_images():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    tossed(3, 5)
    assert torch.equal(torch.rand(3), expected)


def test_outside_of_a_training_coins_follow_torchs_seed():
    tossed(3, 5)
    torch.manual_seed(1)
    expected = [float(torch.rand(())) < 0.5 for _ in range(9)]
    torch.manual_seed(1)
    assert [bool(coin(0.5, torch.device("cpu"))) for _ in range(9)] == expected


@pytest.mark.parametrize("method", ["acol", "bas", "spa", "spg"])
def test_rates_are_one_two_ten_and_twenty_on_a_pretrained_backbone(method):
    built = build(method)
    built.backbone.new_stages = ()
    rates = {}
    for group in built.param_groups(OptimRecipe(lr=1.0, weight_decay=0.0, head_lr_mult=10.0)):
        rates |= {id(p): group["lr"] for p in group["params"]}
    for name, parameter in built.named_parameters():
        expected = (1 if name.startswith("backbone.") else 10) * (2 if name.endswith("bias") else 1)
        assert rates[id(parameter)] == expected, name


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (("conv9",), r"erase_points: the backbone has no stage 'conv9'; did you mean 'conv\d'\?"),
        (("conv2", "conv2"), "erase_points: a stage is named twice"),
        (("conv2",), "erase_points: 2 stages are needed, not 1"),
    ],
)
def test_wrong_points_are_named(points, message):
    with pytest.raises(SettingsError, match=message):
        chosen_points(build("cam").backbone, "erase_points", points, (), count=2)


@pytest.mark.parametrize(
    ("method", "argument", "value"),
    [
        ("adl", "drop_rate", 1.5),
        ("adl", "gamma", -0.1),
        ("acol", "erase_threshold", float("nan")),
        ("acol", "head_channels", 0),
        ("dgdm", "block_size", 2),
        ("dgdm", "keep_ratio", 2),
        ("has", "patch_sizes", ()),
        ("has", "patch_sizes", (16, -1)),
        ("has", "hide_rate", 1.1),
        ("cutmix", "alpha", 0.0),
        ("cutmix", "probability", -0.5),
    ],
)
def test_arguments_out_of_range_are_named_by_the_schema(method, argument, value):
    with pytest.raises(SettingsError, match=rf"methods\.{method}\.args\.{argument}"):
        validated_arguments(registry.load("method", method), {argument: value}, f"methods.{method}.args", given=2)


@pytest.mark.parametrize(
    ("method", "arguments", "named"),
    [
        ("dgdm", {"sagd_seed": "sampled"}, "block_keep"),
        ("dgdm", {"block_keep": 0.9}, "block_keep"),
        ("spg", {"thresholds_c": (0.1, 0.7)}, "thresholds_c"),
        ("spg", {"side_points": ("conv3",)}, "side_points: 2 stages are needed, not 1"),
    ],
)
def test_arguments_that_do_not_go_together_are_named(method, arguments, named):
    with pytest.raises(SettingsError, match=named):
        build(method, **arguments)


def test_a_side_point_may_be_chosen_and_is_what_the_branch_reads():
    spg = build("spg", side_points=("conv1", "conv2"))
    assert spg.branch_b1[0].in_channels == spg.backbone.channels["conv1"]
    assert spg.branch_b2[0].in_channels == spg.backbone.channels["conv2"]
