"""What every backbone must do."""

from __future__ import annotations

import inspect
from functools import cache
from itertools import pairwise
from typing import Any, get_args, get_type_hints

import pytest
import torch
from torch import nn

from wsolbench.config import registry
from wsolbench.config.settings import validated_arguments
from wsolbench.models.backbones.base import PointsSource
from wsolbench.tools.small_networks import PIXELS, side, small_backbone

BACKBONES = registry.names("backbone")
of_every_backbone = pytest.mark.parametrize("name", BACKBONES)


@cache
def network(name):
    """Return a backbone made with seed 0, which tests share and leave as it is."""
    torch.manual_seed(0)
    return small_backbone(name).eval()


STRIDES = [
    (name, stride)
    for name in BACKBONES
    for stride in get_args(get_type_hints(registry.load("backbone", name).__init__).get("output_stride", Any))
    or (None,)
]
PADLESS = {"squeezenet1_1": {16: 3, 8: 7}}  # cells at 64 pixels: 64, 31, 15, 7, 3


@pytest.mark.parametrize(("name", "stride"), STRIDES)
def test_output_has_the_stated_channels_and_stride(name, stride):
    backbone = small_backbone(name, **({} if stride is None else {"output_stride": stride})).eval()
    assert stride in {None, backbone.stride}
    pixels = side(name)
    cells = PADLESS.get(name, {}).get(stride, pixels // backbone.stride)
    with torch.no_grad():
        assert backbone(torch.randn(1, 3, pixels, pixels)).shape == (1, backbone.out_channels, cells, cells)


@pytest.mark.parametrize("name", sorted({name for name, stride in STRIDES if stride}))
def test_output_stride_and_dilation_change_no_parameter_name_or_shape(name):
    strides = [stride for other, stride in STRIDES if other == name]
    variants = [{"output_stride": stride, "dilate": dilate} for stride in strides for dilate in (False, True)]
    with torch.device("meta"):
        networks = [small_backbone(name, **arguments) for arguments in variants]
    shapes = [{key: value.shape for key, value in network.state_dict().items()} for network in networks]
    assert all(found == shapes[0] for found in shapes)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({name for name, stride in STRIDES if stride}))
def test_a_dilated_map_sampled_at_the_old_stride_is_the_old_map_away_from_borders(name):
    strides = sorted((stride for other, stride in STRIDES if other == name), reverse=True)
    images = torch.randn(1, 3, 160, 160, dtype=torch.float64)
    networks = [small_backbone(name, output_stride=stride, dilate=True).eval().double() for stride in strides]
    maps = []
    for backbone in networks:
        backbone.load_state_dict(networks[0].state_dict())
        with torch.no_grad():
            maps.append(backbone(images))
    for coarse, fine in pairwise(maps):
        sampled = fine[:, :, ::2, ::2]
        assert sampled.shape == coarse.shape
        border = coarse.shape[-1] // 4
        inner = (..., slice(border, -border), slice(border, -border))
        scale = float(coarse.abs().max())
        assert scale > 0
        torch.testing.assert_close(sampled[inner], coarse[inner], rtol=0, atol=1e-12 * scale)
        assert not torch.allclose(fine[:, :, 1::2, 1::2][inner], coarse[inner], rtol=0, atol=1e-2 * scale)


@of_every_backbone
def test_every_stage_has_the_stated_channels(name):
    backbone = network(name)
    last, taps = backbone.forward_taps(torch.randn(1, 3, side(name), side(name)), backbone.stage_names)
    assert {stage: tap.shape[1] for stage, tap in taps.items()} == backbone.channels
    assert torch.equal(last, taps[backbone.stage_names[-1]])


@of_every_backbone
def test_a_network_runs_from_any_stage_on_and_its_statistics_stay(name):
    backbone, images = network(name).train(), torch.randn(2, 3, side(name), side(name))
    before = {key: value.clone() for key, value in backbone.state_dict().items()}
    with torch.no_grad():
        stages = backbone.stage_names
        whole = backbone.eval()(images)
        for earlier, stage in list(pairwise(stages))[:: max(1, len(stages) // 4)]:
            names = [earlier, f"{earlier}.class_token"] if backbone.tokens else [earlier]
            _, taps = backbone.eval().forward_taps(images, names)
            token = {"class_token": taps[names[1]]} if backbone.tokens else {}
            assert torch.equal(backbone.forward_from(stage, taps[earlier], **token), whole)
            backbone.train().forward_from(stage, taps[earlier], **token)
    assert all(torch.equal(before[key], value) for key, value in backbone.eval().state_dict().items())
    with pytest.raises(KeyError):
        backbone.forward_from("nowhere", images)


@of_every_backbone
def test_points_are_stages_from_shallow_to_deep(name):
    backbone = network(name)
    for points in (backbone.erase_points, backbone.side_points):
        assert points
        assert sorted(points, key=backbone.stage_names.index) == list(points)
    assert {backbone.erase_source, backbone.side_source} <= set(get_args(PointsSource))


@of_every_backbone
def test_without_weights_every_parameter_counts_as_new(name):
    backbone = network(name)
    assert len(list(backbone.new_parameters())) == len(list(backbone.parameters()))


@of_every_backbone
def test_initialisation_follows_torchs_seed(name):
    states = [next(network(name).parameters()).detach()]
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append(next(small_backbone(name).parameters()).detach())
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


@of_every_backbone
def test_taps_do_not_change_when_later_stages_run(name):
    # An activation that works in place would overwrite what a side branch reads.
    backbone = small_backbone(name).eval()
    seen = []
    for stage in backbone.stage_names[:-1]:
        backbone.insert_after(stage, _Copy(seen))
    _, taps = backbone.forward_taps(torch.randn(1, 3, side(name), side(name)), backbone.stage_names)
    for stage, copy in zip(backbone.stage_names, seen, strict=False):
        assert torch.equal(taps[stage], copy)


@of_every_backbone
def test_constructor_is_a_schema_that_accepts_its_own_defaults(name):
    backbone_class = registry.load("backbone", name)
    parameters = list(inspect.signature(backbone_class).parameters.values())
    assert (parameters[0].name, parameters[0].default) == ("weights", None)
    defaults = {parameter.name: parameter.default for parameter in parameters[1:]}
    assert validated_arguments(backbone_class, defaults, "tracks.t.backbone_args", given=1) == defaults


def test_removing_the_neck_keeps_the_names_of_the_other_stages():
    backbone = small_backbone("convnet")
    before = [key for key in backbone.state_dict() if ".neck." not in key]
    backbone.remove_neck()
    assert list(backbone.state_dict()) == before
    assert backbone.stage_names == ["conv1", "conv2", "conv3"]
    assert backbone(torch.randn(2, 3, PIXELS, PIXELS)).shape[1] == backbone.out_channels == backbone.channels["conv3"]
    backbone.remove_neck()
    assert backbone.stage_names[-1] == "conv3"


def test_receptive_field_of_convnet_is_22_pixels_and_its_map_16_cells():
    backbone = small_backbone("convnet").eval()
    images = torch.randn(1, 3, 64, 64, requires_grad=True)
    features = backbone(images)
    assert features.shape[2:] == (16, 16)
    (gradient,) = torch.autograd.grad(features[0, :, 8, 8].sum(), images)
    rows = gradient.abs().sum((0, 1, 3)).nonzero()
    assert 16 < int(rows.max() - rows.min()) + 1 <= 22


class _Copy(nn.Module):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x):
        self.seen.append(x.clone())
        return x
