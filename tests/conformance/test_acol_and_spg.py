"""ACoL's and SPG's masks and losses against slow, obvious references, and where gradients must not go."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from wsolbench.models.layers import min_max
from wsolbench.tools.small_networks import CLASSES, batch, build


def test_acol_erases_features_where_the_normalised_map_reaches_the_threshold():
    acol = build("acol", erase_threshold=0.6)
    features, normalised = torch.rand(2, 3, 4, 5), min_max(torch.rand(2, 4, 5))
    normalised[0, 0, 0] = 0.6
    expected = features.numpy().copy()
    for b in range(2):
        for y in range(4):
            for x in range(5):
                if normalised[b, y, x] >= torch.tensor(0.6):
                    expected[b, :, y, x] = 0
    np.testing.assert_array_equal(acol.erase(features, normalised).numpy(), expected)


def test_acol_map_is_the_larger_of_both_branches_normalised_maps_and_the_label_erases():
    acol = build("acol").eval()
    images, labels = batch()
    with torch.no_grad():
        found = acol.predict(images, labels)
        features = acol.backbone(images)
        a = acol.convs_a(features)
        for image, label in enumerate(labels.tolist()):
            maps_a = torch.stack([(w[:, None, None] * a[image]).sum(0) for w in acol.head_a.classifier.weight])
            map_a = (maps_a[label] - maps_a[label].min()) / (maps_a[label].max() - maps_a[label].min())
            b = acol.convs_b((features[image] * (map_a < 0.6))[None])[0]
            map_b = (acol.head_b.classifier.weight[label][:, None, None] * b).sum(0)
            map_b = (map_b - map_b.min()) / (map_b.max() - map_b.min())
            torch.testing.assert_close(found.maps[image], torch.maximum(map_a, map_b), rtol=0, atol=1e-5)
            logits = maps_a.mean((1, 2)) + acol.head_a.classifier.bias
            torch.testing.assert_close(found.logits[image], logits, rtol=0, atol=1e-5)


def test_acol_branch_b_sends_no_gradient_through_the_mask():
    acol = build("acol")
    acol.losses(*batch(), 0.0)["branch_b"].backward()
    assert acol.head_a.classifier.weight.grad is None
    assert all(p.grad is None for p in acol.convs_a.parameters())
    assert all(p.grad is not None for p in acol.backbone.parameters())


def test_acol_replaces_the_neck_and_widens_in_proportion():
    acol = build("acol")
    assert acol.backbone.stage_names == ["conv1", "conv2", "conv3"]
    assert acol.convs_a[0][0].weight.shape[:2] == (2 * acol.backbone.out_channels, acol.backbone.out_channels)
    assert build("acol", head_channels=7).head_a.classifier.in_features == 7


def guidance_by_loops(maps, high, low, fewest, fallback):
    """1 object, 0 background, 255 ignored, one image after the other."""
    mask = np.full(maps.shape, 255)
    for b, image in enumerate(maps):
        threshold = high if (image > np.float32(high)).sum() >= fewest else np.float32(fallback) * image.max()
        for y in range(image.shape[0]):
            for x in range(image.shape[1]):
                if image[y, x] > np.float32(threshold):
                    mask[b, y, x] = 1
                elif image[y, x] < np.float32(low):
                    mask[b, y, x] = 0
    return mask


def maps_of_all_kinds():
    """Random; weak (its maximum is below every threshold); strong in few pixels; all zero; all one."""
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(5, 9, 8, generator=generator)
    maps[1] *= 0.04
    maps[2] = maps[2] * 0.6
    maps[2, 0, :5] = 0.9
    maps[3], maps[4] = 0, 1
    return maps


@pytest.mark.parametrize("thresholds", [(0.7, 0.05), (0.5, 0.05), (0.7, 0.1)])
@pytest.mark.parametrize("fewest", [0, 6, 30])
def test_spg_guidance_equals_loops_with_a_fallback_per_image(thresholds, fewest):
    spg = build("spg", min_seed_pixels=fewest)
    maps = maps_of_all_kinds()
    foreground, background = spg.guidance(maps, thresholds)
    expected = guidance_by_loops(maps.numpy(), *thresholds, fewest, 0.7)
    np.testing.assert_array_equal(foreground.numpy(), expected == 1)
    np.testing.assert_array_equal(background.numpy(), expected == 0)


def test_spg_fallback_of_one_image_does_not_reach_the_next():
    spg = build("spg")
    maps = torch.rand(2, 20, 20)
    alone = spg.guidance(maps[1:], (0.7, 0.05))[0]
    maps[0] *= 0.01
    assert torch.equal(spg.guidance(maps, (0.7, 0.05))[0][1:], alone)


def test_spg_loss_is_the_mean_cross_entropy_over_sure_pixels():
    spg = build("spg")
    maps = maps_of_all_kinds()
    logits = torch.randn(maps.shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    loss = spg.guidance_loss(logits, maps, (0.7, 0.05))
    loss.backward()
    mask = guidance_by_loops(maps.numpy(), 0.7, 0.05, 30, 0.7)
    share = 1 / (1 + np.exp(-logits.detach().double().numpy()))
    terms = np.where(mask == 1, -np.log(share), np.where(mask == 0, -np.log(1 - share), 0.0))
    sure = mask != 255
    assert 0 < sure.mean() < 1
    assert float(loss.detach()) == pytest.approx(terms.sum() / sure.sum(), rel=1e-5)
    expected = np.where(sure, share - (mask == 1), 0.0) / sure.sum()
    np.testing.assert_allclose(logits.grad.numpy(), expected, rtol=1e-4, atol=1e-7)


def test_spg_loss_without_a_sure_pixel_is_zero_with_a_zero_gradient():
    spg = build("spg", min_seed_pixels=0)
    logits = torch.randn(1, 3, 3, requires_grad=True)
    loss = spg.guidance_loss(logits, torch.full((1, 3, 3), 0.3), (0.7, 0.05))
    loss.backward()
    assert float(loss.detach()) == 0
    assert torch.equal(logits.grad, torch.zeros(1, 3, 3))


def test_spg_branches_learn_from_the_published_sources_at_the_inputs_resolution():
    spg = build("spg", dropout=0.0)
    images, targets = batch()
    losses = spg.losses(images, targets, 0.0)
    last, taps = spg.backbone.forward_taps(images, spg.side_points)

    def at_input(maps):
        return interpolate(maps, images.shape[2:], mode="bilinear")[:, 0].detach()

    b1 = at_input(spg.shared_b(spg.branch_b1(taps["conv2"])))
    b2 = at_input(spg.shared_b(spg.branch_b2(taps["conv3"])))
    c = at_input(spg.branch_c(last))
    attention = at_input(min_max(torch.einsum("bkhw,bk->bhw", last, spg.head.classifier.weight[targets]))[:, None])
    expected = {
        "b2": (b2, attention, (0.7, 0.05)),
        "b1": (b1, b2.sigmoid(), (0.5, 0.05)),
        "c": (c, (b1.sigmoid() + b2.sigmoid()) / 2, (0.7, 0.1)),
    }
    for name, (logits, source, thresholds) in expected.items():
        torch.testing.assert_close(losses[name].detach(), spg.guidance_loss(logits, source, thresholds))


@pytest.mark.parametrize(("loss", "teacher"), [("b2", "head"), ("b1", "branch_b2"), ("c", "shared_b")])
def test_spg_sends_no_gradient_to_the_teacher(loss, teacher):
    spg = build("spg")
    spg.losses(*batch(), 0.0)[loss].backward()
    assert all(p.grad is None for p in spg.get_submodule(teacher).parameters())


def test_spg_dropout_acts_in_training_and_not_at_test():
    spg = build("spg", dropout=0.9)
    torch.manual_seed(0)
    first, second = (spg.losses(*batch(), 0.0)["classification"].detach() for _ in range(2))
    assert not torch.equal(first, second)
    assert torch.equal(spg.eval().predict(*batch()).logits, spg.predict(*batch()).logits)
    assert spg.predict(*batch()).logits.shape[1] == CLASSES
