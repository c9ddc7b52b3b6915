"""CALM against loops, and what its equations promise."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from wsolbench.tools.small_networks import CLASSES, batch, build, same

LABELS = range(CLASSES)


def calm(objective="em"):
    built = build("calm", objective=objective).double().eval()  # eval: batch statistics must not change in between
    images, labels = batch()
    return built, images.double(), labels


def joint_by_loops(built, features):
    """p(y, x) of one image's ``(K, h, w)`` features, by class and cell."""
    cells = list(itertools.product(range(features.shape[1]), range(features.shape[2])))
    weight, bias = built.attention.weight[0, :, 0, 0], built.attention.bias[0]
    raw = {cell: max(float(weight @ features[:, *cell] + bias), 0.0) + 1e-6 for cell in cells}
    joint = torch.zeros(CLASSES, *features.shape[1:], dtype=torch.float64)
    for cell in cells:
        scores = [
            float(built.classes.weight[c, :, 0, 0] @ features[:, *cell] + built.classes.bias[c]) for c in range(CLASSES)
        ]
        total = sum(math.exp(score) for score in scores)
        for c, score in enumerate(scores):
            joint[c, *cell] = raw[cell] / sum(raw.values()) * math.exp(score) / total
    return joint


@torch.no_grad()
def test_joint_losses_and_maps_are_those_of_loops():
    built, images, labels = calm()
    joint = torch.stack([joint_by_loops(built, features) for features in built.backbone(images)])
    torch.testing.assert_close(built.log_joint(images).exp(), joint, rtol=1e-9, atol=1e-12)
    own = torch.stack([joint[image, label] for image, label in enumerate(labels.tolist())])
    found = built.predict(images, labels)
    torch.testing.assert_close(found.maps, own, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(found.logits.exp(), joint.sum((2, 3)), rtol=1e-9, atol=1e-12)
    posterior = own / own.sum((1, 2), keepdim=True)
    expected = -(posterior * own.log()).sum((1, 2)).mean()
    torch.testing.assert_close(built.losses(images, labels, 0.0)["likelihood"], expected, rtol=1e-9, atol=0)
    built.objective = "ml"
    expected = -own.sum((1, 2)).log().mean()
    torch.testing.assert_close(built.losses(images, labels, 0.0)["likelihood"], expected, rtol=1e-9, atol=0)


@torch.no_grad()
def test_cells_and_classes_sum_to_one():
    built, images, _ = calm()
    built.attention.bias.fill_(-10.0)  # in most images no cell is above zero
    torch.testing.assert_close(
        built.log_joint(images).exp().sum((1, 2, 3)), torch.ones(len(images), dtype=torch.float64)
    )


def test_both_objectives_have_the_same_gradient():
    gradients = []
    for objective in ("em", "ml"):
        built, images, labels = calm(objective)
        built.losses(images, labels, 0.0)["likelihood"].backward()
        gradients.append({name: p.grad for name, p in built.named_parameters()})
    for name, found in gradients[0].items():
        torch.testing.assert_close(found, gradients[1][name], rtol=1e-8, atol=1e-12)


def test_no_gradient_passes_through_the_sum_of_the_attention():
    # With it, adding to all cells alike would lower some; without, each cell pulls upwards only.
    built, images, labels = calm()
    built.attention.weight.data.zero_()  # all cells alike: 1 + 1e-6 by the bias
    built.losses(images, labels, 0.0)["likelihood"].backward()
    assert float(built.attention.bias.grad) == pytest.approx(-1 / (1 + 1e-6))


def test_rounding_of_exp_does_not_reach_the_loss():
    built, images, labels = calm()
    with torch.no_grad():
        built.classes.bias[:] = torch.linspace(0, 2000, CLASSES)  # probabilities below the smallest number
    found = built.losses(images, labels, 0.0)
    assert torch.isfinite(found["likelihood"])
    assert not same(found, {"likelihood": torch.zeros(())})
