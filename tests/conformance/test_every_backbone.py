"""What every backbone must do."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from tests.conformance.building import PIXELS, small_backbone
from wsolbench import registry
from wsolbench.settings import validated_arguments

BACKBONES = registry.names("backbone")
of_every_backbone = pytest.mark.parametrize("name", BACKBONES)


@of_every_backbone
def test_output_has_the_stated_channels_and_stride(name):
    backbone = small_backbone(name).eval()
    expected = (1, backbone.out_channels, PIXELS // backbone.stride, PIXELS // backbone.stride)
    assert backbone(torch.randn(1, 3, PIXELS, PIXELS)).shape == expected


@of_every_backbone
def test_every_stage_has_the_stated_channels(name):
    backbone = small_backbone(name).eval()
    last, taps = backbone.forward_taps(torch.randn(1, 3, PIXELS, PIXELS), backbone.stage_names)
    assert {stage: tap.shape[1] for stage, tap in taps.items()} == backbone.channels
    assert last is taps[backbone.stage_names[-1]]


@of_every_backbone
def test_points_are_stages_from_shallow_to_deep(name):
    backbone = small_backbone(name)
    for points in (backbone.erase_points, backbone.side_points):
        assert points
        assert sorted(points, key=backbone.stage_names.index) == list(points)
    assert backbone.points_source in {"published", "ours"}


@of_every_backbone
def test_without_weights_every_parameter_counts_as_new(name):
    backbone = small_backbone(name)
    assert len(list(backbone.new_parameters())) == len(list(backbone.parameters()))


@of_every_backbone
def test_initialisation_follows_torchs_seed(name):
    states = []
    for seed in (0, 0, 1):
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
    _, taps = backbone.forward_taps(torch.randn(1, 3, PIXELS, PIXELS), backbone.stage_names)
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


def test_receptive_field_of_convnet_is_30_pixels_and_its_map_24_cells():
    backbone = small_backbone("convnet").eval()
    images = torch.randn(1, 3, 96, 96, requires_grad=True)
    features = backbone(images)
    assert features.shape[2:] == (24, 24)
    (gradient,) = torch.autograd.grad(features[0, :, 12, 12].sum(), images)
    rows = gradient.abs().sum((0, 1, 3)).nonzero()
    assert 24 < int(rows.max() - rows.min()) + 1 <= 30


class _Copy(nn.Module):
    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def forward(self, x):
        self.seen.append(x.clone())
        return x
