"""Read-outs: what all of them promise, and equality with public implementations on the same network."""

from __future__ import annotations

import copy
from functools import cache

import cv2
import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torch.nn.functional import interpolate
from torchcam import methods as torchcam

from wsolbench.config import registry
from wsolbench.errors import SettingsError
from wsolbench.models.backbones.weights import PINNED
from wsolbench.models.layers import read_stages, stage_name
from wsolbench.tools.promises_of_readouts import read
from wsolbench.tools.small_networks import READOUTS, batch, build


def test_a_readout_is_no_method_and_a_method_no_readout():
    with pytest.raises(SettingsError, match=r"grad_cam.*run\.readouts"):
        registry.load("method", "grad_cam")
    with pytest.raises(SettingsError, match="cam"):
        registry.load("readout", "cam")
    assert (registry.kind_of("grad_cam"), registry.kind_of("cam")) == ("readout", "method")


@pytest.mark.parametrize("stage", ["conv3", -2, 2])
def test_a_stage_is_named_or_counted(stage):
    assert stage_name(build("cam"), stage) == "conv3"


@pytest.mark.parametrize("stage", ["conv9", 4, -5])
def test_a_stage_that_is_not_there_is_named(stage):
    with pytest.raises(SettingsError, match=str(stage)):
        stage_name(build("cam"), stage)


@pytest.mark.parametrize("variant", ["plain", "xgrad", "hires"])
@pytest.mark.parametrize("backbone", ["convnet", "mobilenet_v1"])
def test_grad_cam_on_the_last_stage_of_a_gap_network_is_the_positive_part_of_cam(backbone, variant):
    method, (images, labels) = build("cam", backbone).eval(), batch()
    found, cam = (
        read("grad_cam", method, variant=variant).predict(images, labels).maps,
        method.predict(images, labels).maps.detach(),
    )
    torch.testing.assert_close(found * cam.shape[1] * cam.shape[2], cam.relu(), rtol=1e-4, atol=1e-5)
    assert found.max() > 0


@pytest.mark.parametrize("backbone", ["convnet", "vit_embedded"])
@pytest.mark.parametrize("name", READOUTS)
def test_every_method_can_be_read_but_those_whose_maps_know_no_class(name, backbone):
    read_of = []
    for method in registry.names("method", own=True):
        component = registry.load("method", method) if registry.kind_of(method) == "method" else None
        if component is None or component.class_agnostic or component.unsupported(backbone, ()):
            continue
        found = read(name, build(method, backbone).eval()).predict(*batch(images=2)).maps
        assert torch.isfinite(found).all(), method
        assert found.max() > 0, method
        read_of.append(method)
    assert {"cam", "acol", "adl", "spg", "dgdm", "has", "cutmix", "calm", "spa"} <= {*read_of}


# Public implementations, on the same network


class Scores(nn.Module):
    """A method as the networks that public implementations take: images to logits."""

    def __init__(self, method):
        super().__init__()
        self.method = copy.deepcopy(method).eval()

    def forward(self, images):
        return self.method.predict(images, torch.zeros(len(images), dtype=torch.int64, device=images.device)).logits

    def layer(self, stage):
        return self.method.backbone.stages.get_submodule(stage)


def of_torchcam(kind, method, images, labels, stage):
    network = Scores(method)
    with kind(network, network.layer(stage), input_shape=tuple(images.shape[1:])) as extractor:
        (found,) = extractor(labels.tolist(), network(images), normalized=False)
    return found.detach()


def of_pytorch_grad_cam(kind, method, images, labels, stage):
    """Its maps before it scales them to [0, 1] and to the size of the image."""
    network, targets = Scores(method), [ClassifierOutputTarget(label) for label in labels.tolist()]
    with kind(network, [network.layer(stage)]) as extractor:
        if extractor.uses_gradients:
            extractor(images, targets)
        else:
            extractor.activations_and_grads(images)
        features = extractor.activations_and_grads.activations[0].detach().numpy()
        gradients = [each.detach().numpy() for each in extractor.activations_and_grads.gradients] or [None]
        found = extractor.get_cam_image(images, network.layer(stage), targets, features, gradients[0], False)
    return torch.from_numpy(np.maximum(found, 0))


PUBLIC = [
    ("grad_cam", {}, of_torchcam, torchcam.GradCAM),
    ("grad_cam", {}, of_pytorch_grad_cam, pytorch_grad_cam.GradCAM),
    # torch-cam leaves its alpha as it is where the gradient is positive: an assignment to a copy
    ("grad_cam", {"variant": "++"}, of_pytorch_grad_cam, pytorch_grad_cam.GradCAMPlusPlus),
    ("grad_cam", {"variant": "xgrad"}, of_torchcam, torchcam.XGradCAM),
    ("grad_cam", {"variant": "xgrad"}, of_pytorch_grad_cam, pytorch_grad_cam.XGradCAM),
    ("grad_cam", {"variant": "hires"}, of_pytorch_grad_cam, pytorch_grad_cam.HiResCAM),
    ("layer_cam", {}, of_torchcam, torchcam.LayerCAM),
    ("layer_cam", {}, of_pytorch_grad_cam, pytorch_grad_cam.LayerCAM),
    ("score_cam", {"scaled": "before"}, of_torchcam, torchcam.ScoreCAM),
    ("score_cam", {}, of_pytorch_grad_cam, pytorch_grad_cam.ScoreCAM),
]
of_every_public_one = pytest.mark.parametrize(
    ("name", "arguments", "public", "kind"), PUBLIC, ids=[f"{name}-{kind.__module__}" for name, _, _, kind in PUBLIC]
)


def assert_equal_to_public(name, arguments, public, kind, method, images, labels, stage, monkeypatch):
    def upsampling(size):  # which pytorch-grad-cam's Score-CAM does with aligned corners
        return lambda maps: interpolate(maps, size, mode="bilinear", align_corners=False)

    monkeypatch.setattr(nn, "UpsamplingBilinear2d", upsampling)
    where = {"stages": (stage,)} if name == "layer_cam" else {"stage": stage}
    ours = read(name, method, **where, **arguments).predict(images, labels).maps
    theirs = public(kind, method, images, labels, stage)
    assert theirs.max() > 0
    torch.testing.assert_close(ours / ours.max(), (theirs / theirs.max()).to(ours.dtype), rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.max(), theirs.max().to(ours.dtype), rtol=1e-4, atol=0)


@of_every_public_one
@pytest.mark.parametrize("stage", ["conv2", "conv3"])
def test_maps_of_a_small_network_are_those_of_public_implementations(name, arguments, public, kind, stage, monkeypatch):
    assert_equal_to_public(name, arguments, public, kind, build("cam").eval(), *batch(), stage, monkeypatch)


@cache
def photographed(folder):
    """A network with ImageNet weights, three photographs, and the classes that it takes them for."""
    pinned = PINNED["mobilenet_v2"]["imagenet_tf"]
    component = registry.load("backbone", "mobilenet_v2")
    network = component(folder / "weights" / pinned.file, keep_classifier=True, **pinned.backbone_args)
    method = registry.load("method", "cam")(network, len(network.pretrained_classifier[0])).eval()
    files = sorted((folder / "data" / "cub20" / "CUB_200_2011" / "images").rglob("*.jpg"))[::150][:3]
    pictures = [cv2.resize(cv2.imread(str(file))[:, :, ::-1], (160, 160)).transpose(2, 0, 1) for file in files]
    images = network.normalise(torch.from_numpy(np.stack(pictures)))
    return method, images, method.predict(images, torch.zeros(3, dtype=torch.int64)).logits.argmax(1)


@pytest.mark.slow
@of_every_public_one
def test_maps_of_photographs_by_an_imagenet_network_are_those_of_public_implementations(
    test_data, name, arguments, public, kind, monkeypatch
):
    method, images, labels = photographed(test_data)
    # Grad-CAM++ divides by what is nearly zero somewhere in such a network: float32 rounds it by more than 1e-5.
    method, images = copy.deepcopy(method).double(), images.double()
    names = method.backbone.stage_names
    stages = (names[-1], names[-4])
    if name == "score_cam":  # a pass per channel: a stage of few, and one photograph
        stages, images, labels = names[2:3], images[:1], labels[:1]
    for stage in stages:
        assert_equal_to_public(name, arguments, public, kind, method, images, labels, stage, monkeypatch)


# Without a public implementation


def test_layer_cam_fuses_stages_by_the_largest_of_scaled_maps():
    method, (images, labels) = build("cam").eval(), batch()
    fused = read("layer_cam", method, stages=("conv1", "conv3"), scale=3.0).predict(images, labels).maps
    apart = (read("layer_cam", method, stages=(stage,)) for stage in ("conv1", "conv3"))
    shallow, deep = (readout.predict(images, labels).maps for readout in apart)
    for found, low, high in zip(fused, shallow, deep, strict=True):
        scaled = torch.tanh(3 * low / low.max())
        larger = interpolate((high / high.max())[None, None], tuple(low.shape), mode="bilinear")[0, 0]
        torch.testing.assert_close(found, torch.maximum(scaled, larger), rtol=1e-5, atol=1e-6)


def test_bag_cams_sums_what_the_bag_of_each_channel_agrees_on():
    method, (images, labels) = build("cam").eval(), batch()
    found = read("bag_cams", method, stage="conv3", guided=False).predict(images, labels).maps
    logits, readings = read_stages(method.requires_grad_(False), images, labels, ("conv3",))
    features, gradients = readings["conv3"]
    for image, label in enumerate(labels.tolist()):
        expected = torch.zeros(features.shape[2:])
        for feature, gradient in zip(features[image], gradients[image], strict=True):
            cells = gradient * feature / (logits[image, label].abs() + 1e-8)
            expected += ((cells + 1).mean() * cells).relu()
        torch.testing.assert_close(found[image], expected, rtol=1e-4, atol=1e-6)


def test_guided_relus_stop_negative_gradients_of_functions_and_modules():
    from wsolbench.methods.bag_cams import _GuidedReLUs

    features, gradient = torch.tensor([-1.0, 2, 3, 4]), torch.tensor([5.0, -1, 6, -2])
    for relu in (nn.ReLU(inplace=True), nn.ReLU(), torch.relu, nn.functional.relu):
        leaf = features.clone().requires_grad_()
        with _GuidedReLUs():
            (back,) = torch.autograd.grad(relu(leaf * 1), leaf, gradient)
        assert back.tolist() == [0, 0, 6, 0]
    method = build("cam").eval()
    guided, plain = (read("bag_cams", method, guided=each).predict(*batch()).maps for each in (True, False))
    assert not torch.allclose(guided, plain)
