"""TS-CAM and TriLite against loops, and what their equations promise."""

from __future__ import annotations

import math

import pytest
import torch

from wsolbench.config import registry
from wsolbench.models.method import OptimRecipe
from wsolbench.tools.small_networks import CLASSES, batch, build


def built_on_tokens(method, **arguments):
    images, labels = batch()
    return build(method, "vit_embedded", **arguments).double().eval(), images.double(), labels


@torch.no_grad()
def test_ts_cam_is_the_class_tokens_attention_times_the_class_map():
    method, images, labels = built_on_tokens("ts_cam")
    names = [f"block{number}.attention" for number in (1, 2, 3)]
    patches, taps = method.backbone.forward_taps(images, names)
    found = method.predict(images, labels)
    for image, label in enumerate(labels.tolist()):
        attention = torch.zeros(16, 16, dtype=torch.float64)
        for name in names:
            for head in taps[name][image]:
                attention += head / len(taps[name][image])
        classes = torch.nn.functional.conv2d(patches[image], method.classes.weight, method.classes.bias, padding=1)
        torch.testing.assert_close(found.maps[image], attention * classes[label])
        for c in range(CLASSES):
            assert float(found.logits[image, c]) == pytest.approx(float(classes[c].sum()) / 256)


@torch.no_grad()
def test_ts_cams_two_factors_are_apart():
    method, images, labels = built_on_tokens("ts_cam")
    attention, semantic = method.factors(images)
    assert ((attention > 0) & (attention < 3)).all()  # three blocks
    method.classes.weight.mul_(2), method.classes.bias.mul_(2)
    twice = method.factors(images)
    assert torch.equal(twice[0], attention)
    torch.testing.assert_close(twice[1], 2 * semantic)
    method.classes.weight.zero_(), method.classes.bias.fill_(1)
    torch.testing.assert_close(method.predict(images, labels).maps, attention)  # no class map: attention alone


def test_methods_of_tokens_are_refused_where_there_are_none():
    for name in ("ts_cam", "trilite"):
        method = registry.load("method", name)
        assert "class token" in method.unsupported("convnet", ())
        assert method.unsupported("vit_embedded", ()) is None


def trilite(**arguments):
    return built_on_tokens("trilite", token_dropout=0.0, region_dropout=0.0, **arguments)


@torch.no_grad()
def test_trilites_losses_are_those_of_loops():
    method, images, labels = trilite(background_weight=3.0)
    patches, token = method.tokens(images)
    channels = method.channels(patches)
    sums = {"token": 0.0, "object": 0.0, "background": 0.0}
    for image, label in enumerate(labels.tolist()):
        sums["token"] -= method.token_classifier(token[image]).log_softmax(0)[label] / len(labels)
        for index, name in enumerate(("object", "background")):
            mean, mass = torch.zeros(patches.shape[1], dtype=torch.float64), 1e-6
            for y in range(16):
                for x in range(16):
                    mean = mean + channels[image, index, y, x] * patches[image, :, y, x]
                    mass = mass + channels[image, index, y, x]
            probability = method.region_classifier(mean / mass).softmax(0)[label]
            term = -3 * math.log(1 - float(probability) + 1e-7) if index else -math.log(float(probability))
            sums[name] += term / len(labels)
    found = method.losses(images, labels, 0.0)
    assert {name: float(loss) for name, loss in found.items()} == pytest.approx(
        {name: float(value) for name, value in sums.items()}, rel=1e-9
    )


def test_trilites_channels_sum_to_one_and_nothing_acts_on_the_third():
    method, images, labels = trilite()
    patches, _ = method.tokens(images)
    channels = method.channels(patches).detach().requires_grad_()
    torch.testing.assert_close(channels.sum(1), torch.ones_like(channels[:, 0]))
    losses = method.region_losses(patches, channels, labels)
    for name, acted_on in (("object", 0), ("background", 1)):
        (gradient,) = torch.autograd.grad(losses[name], channels, retain_graph=True)
        reached = [index for index in range(3) if gradient[:, index].abs().sum() > 0]
        assert reached == [acted_on]


def test_trilites_token_loss_trains_the_tokens_classifier_alone():
    method, images, labels = trilite()
    method.losses(images, labels, 0.0)["token"].backward()
    reached = {name for name, p in method.named_parameters() if p.grad is not None}
    assert reached == {"token_classifier.weight", "token_classifier.bias"}


def test_trilite_trains_its_heads_only_and_the_tokens_classifier_faster():
    method, _, _ = trilite()
    rest, classifier = method.param_groups(OptimRecipe(lr=0.1, weight_decay=0.0, head_lr_mult=10.0))
    assert (rest["lr"], classifier["lr"]) == (0.1, 1.0)
    assert {id(p) for p in classifier["params"]} == {id(p) for p in method.token_classifier.parameters()}
    assert not [p for p in method.backbone.parameters() if p.requires_grad]
    assert not method.train().backbone.stages.block1.training
