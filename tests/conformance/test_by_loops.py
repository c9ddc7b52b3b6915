"""Whole losses and layers against loops over images, channels and cells, forward and backward."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from wsolbench.tools.small_networks import CLASSES, batch, build, first_drop_layer

B, C, H, W = 2, 6, 5, 4


def cross_entropy_by_loops(logits, labels):
    """Mean over images of log(sum of exp) minus the label's logit."""
    terms = []
    for image, label in enumerate(labels.tolist()):
        terms.append(torch.log(sum(torch.exp(each) for each in logits[image])) - logits[image, label])
    return sum(terms) / len(terms)


def class_scores(features, classifier):
    """Logits and all class maps of one image's ``(K, h, w)`` features, from 1x1 convolutions before the pooling."""
    maps = [sum(w * f for w, f in zip(weights, features, strict=True)) for weights in classifier.weight]
    cells = features.shape[1] * features.shape[2]
    logits = [each.sum() / cells + bias for each, bias in zip(maps, classifier.bias, strict=True)]
    return torch.stack(logits), maps


def acol_by_loops(acol, images, labels):
    features = acol.backbone(images)
    seen = acol.convs_a(features)
    logits_a = []
    erased = torch.ones(len(images), *features.shape[2:], dtype=features.dtype)
    for image, label in enumerate(labels.tolist()):
        logits, maps = class_scores(seen[image], acol.head_a.classifier)
        logits_a.append(logits)
        values = maps[label].detach()
        for y, x in itertools.product(range(values.shape[0]), range(values.shape[1])):
            if (values[y, x] - values.min()) / (values.max() - values.min()) >= acol.erase_threshold:
                erased[image, y, x] = 0
    assert 0 < erased.mean() < 1
    seen_b = acol.convs_b(torch.stack([features[i] * erased[i] for i in range(len(images))]))
    logits_b = [class_scores(image, acol.head_b.classifier)[0] for image in seen_b]
    return {
        "branch_a": cross_entropy_by_loops(torch.stack(logits_a), labels),
        "branch_b": cross_entropy_by_loops(torch.stack(logits_b), labels),
    }


def test_acol_losses_and_gradients():
    acol = build("acol", head_channels=8).double().eval()  # eval: the batch's statistics must not change in between
    images, labels = batch()
    images = images.double()
    found, expected = acol.losses(images, labels, 0.0), acol_by_loops(acol, images, labels)
    assert found.keys() == expected.keys()
    parameters = list(acol.parameters())
    for name, loss in found.items():
        torch.testing.assert_close(loss, expected[name], rtol=1e-10, atol=1e-12)
        assert_same_gradients(loss, expected[name], parameters)


def assert_same_gradients(one, other, parameters):
    gradients = [torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) for loss in (one, other)]
    for found, expected in zip(*gradients, strict=True):
        assert (found is None) == (expected is None)
        if found is not None:
            torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12)


def test_classification_loss_and_gradients_of_a_class_map_method():
    cam = build("cam").double().eval()
    images, labels = batch()
    images = images.double()
    features = cam.backbone(images)
    logits = torch.stack([class_scores(image, cam.head.classifier)[0] for image in features])
    found = cam.losses(images, labels, 0.0)["classification"]
    expected = cross_entropy_by_loops(logits, labels)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    assert_same_gradients(found, expected, list(cam.parameters()))


def strong_channels(features, b, keep_ratio):
    means = [features[b, c].mean().item() for c in range(C)]
    return sorted(range(C), key=lambda c: -means[c])[: math.ceil(keep_ratio * C)]


def hidden_cells(attention, chances, gamma, block_size, block_keep, background):
    """Cells of one image that the drop mask hides; ``attention`` and ``chances`` are by cell, chances may be None."""
    highest, reach = max(value.item() for value in attention.values()), block_size // 2
    hidden = set()
    for (y, x), value in attention.items():
        seed = value.item() >= gamma * highest
        if seed and chances is not None:
            area = (H - block_size + 1) * (W - block_size + 1)
            seed = chances[y, x].item() < (1 - block_keep) / block_size**2 * H * W / area
        if seed:
            hidden |= {(y + i, x + j) for i in range(-reach, reach + 1) for j in range(-reach, reach + 1)}
        if background is not None and value.item() < background * highest:
            hidden.add((y, x))
    return hidden


def dgdm_by_loops(features, *, keep_ratio, keep_low, drop_rate, gamma, block_size, order, block_keep, background):
    """The layer's definition, drawing what it draws in its order: channels, seeds, coin."""
    chances = torch.rand(B, C)
    left = torch.zeros_like(features)
    for b, c in itertools.product(range(B), range(C)):
        if c in strong_channels(features, b, keep_ratio) or chances[b, c] < keep_low:
            left[b, c] = features[b, c]
    attended = features if order == "parallel" else left
    seed_chances = None if block_keep is None else torch.rand(B, 1, H, W)[:, 0]
    dropped = torch.rand(()).item() < drop_rate
    output = torch.zeros_like(features)
    for b in range(B):
        attention = {(y, x): sum(attended[b, :, y, x]) / C for y in range(H) for x in range(W)}
        of_image = None if seed_chances is None else seed_chances[b]
        hidden = hidden_cells(attention, of_image, gamma, block_size, block_keep, background)
        for (y, x), value in attention.items():
            shown = float((y, x) not in hidden)
            output[b, :, y, x] = left[b, :, y, x] * (shown if dropped else 1 / (1 + torch.exp(-value)))
    return output, dropped


@pytest.mark.parametrize("order", ["channel_spatial", "parallel"])
@pytest.mark.parametrize("block_keep", [None, 0.5])
@pytest.mark.parametrize("background", [None, 0.7])
def test_dgdm_layer_with_both_halves(order, block_keep, background):
    shared = {"keep_ratio": 0.34, "keep_low": 0.5, "drop_rate": 0.5, "gamma": 0.9, "block_size": 3, "order": order}
    shared |= {"block_keep": block_keep}
    kind = "threshold" if block_keep is None else "sampled"
    layer = first_drop_layer(build("dgdm", **shared, sagd_seed=kind, sagd_background=background)).train()
    sides = set()
    for seed in range(6):
        generator = torch.Generator().manual_seed(11 + seed)
        features = torch.rand(B, C, H, W, generator=generator, dtype=torch.float64).requires_grad_()
        upstream = torch.randn(B, C, H, W, generator=generator, dtype=torch.float64)
        torch.manual_seed(seed)
        found, state = layer(features), torch.get_rng_state()
        torch.manual_seed(seed)
        expected, dropped = dgdm_by_loops(features, **shared, background=background)
        sides.add(dropped)
        assert torch.equal(torch.get_rng_state(), state)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
        gradients = [torch.autograd.grad(output, features, upstream)[0] for output in (found, expected)]
        torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)
    assert sides == {True, False}


class Recorder(TorchDispatchMode):
    """Notes the shape of everything that any operation returns, forward and backward."""

    def __init__(self):
        super().__init__()
        self.made = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else [result]:
            if isinstance(value, torch.Tensor):
                self.made.append((str(operation), tuple(value.shape)))
        return result

    def largest(self, images):
        """Most channels that any map of the images has."""
        return max(shape[1] for _, shape in self.made if len(shape) == 4 and shape[0] == images)


def test_spg_at_1000_classes_makes_no_map_of_every_class():
    torch.manual_seed(0)
    few = build("spg")
    many = type(few)(build("cam").backbone, 1000)
    images, labels = batch()
    shapes = {}
    for name, method in (("few", few), ("many", many)):
        with Recorder() as recorder:
            torch.stack(list(method.losses(images, labels, 0.0).values())).sum().backward()
        shapes[name] = recorder.made
        assert recorder.largest(len(images)) < 1000
    small, large = ({shape for _, shape in made if len(shape) >= 3} for made in shapes.values())
    assert small == large  # nothing that has cells depends on the number of classes


def test_the_recorder_would_see_all_class_maps():
    with Recorder() as recorder:
        torch.einsum("bkhw,ck->bchw", torch.rand(2, 4, 3, 3), torch.rand(1000, 4))
    assert recorder.largest(2) == 1000
    assert CLASSES < 1000
