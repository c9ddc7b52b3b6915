"""What HaS and CutMix do to a batch, against slow, obvious references that draw from the same generator."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from wsolbench.methods.cutmix import _draw_beta
from wsolbench.tools.small_networks import CLASSES, batch, build

B, H, W = 6, 11, 13


def pictures():
    """Images without a zero, and labels; not square, so that height and width cannot be confused."""
    images = torch.rand(B, 3, H, W, generator=torch.Generator().manual_seed(3)) + 0.1
    return images, torch.arange(B) % CLASSES


def generator(seed=4):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("sizes", [(4,), (0, 3, 5), (1,), (50,)])
@pytest.mark.parametrize("rate", [0.3, 1.0])
def test_has_hides_squares_of_a_size_that_each_image_draws(sizes, rate):
    images, targets = pictures()
    found, labels = build("has", patch_sizes=sizes, hide_rate=rate).batch_transform(images, targets, generator())
    draws, expected = generator(), images.numpy().copy()
    for image in range(B):
        size = sizes[int(torch.randint(len(sizes), (), generator=draws))]
        if size == 0:
            continue
        rows, columns = math.ceil(H / size), math.ceil(W / size)
        chances = torch.rand(rows, columns, generator=draws)
        for row in range(rows):
            for column in range(columns):
                if chances[row, column] < rate:
                    for y in range(row * size, min(H, row * size + size)):
                        for x in range(column * size, min(W, column * size + size)):
                            expected[image, :, y, x] = 0
    np.testing.assert_array_equal(found.numpy(), expected)
    assert labels is targets


def test_has_hides_a_square_as_often_as_asked():
    images = torch.ones(500, 3, 8, 8)
    found, _ = build("has", patch_sizes=(4,), hide_rate=0.3).batch_transform(images, torch.zeros(500), generator())
    shown = found[:, 0, ::4, ::4].mean()
    assert abs(float(shown) - 0.7) < 4 * (0.3 * 0.7 / 2000) ** 0.5


def rectangle_of(found, images):
    """Rows and columns where the pasted image differs from the original."""
    differs = (found != images).any(0)
    return differs.any(1).nonzero().flatten().tolist(), differs.any(0).nonzero().flatten().tolist()


@pytest.mark.parametrize("alpha", [0.3, 1.0, 4.0])
@pytest.mark.parametrize("seed", range(8))
def test_cutmix_pastes_one_rectangle_of_a_partner_and_mixes_labels_by_its_area(alpha, seed):
    images, targets = pictures()
    found, mixed = build("cutmix", alpha=alpha).batch_transform(images, targets, generator(seed))
    lows, highs = [], []
    for image in range(B):
        rows, columns = rectangle_of(found[image], images[image])
        if not rows:  # met itself, or the rectangle is empty
            continue
        assert rows == list(range(rows[0], rows[-1] + 1))
        assert columns == list(range(columns[0], columns[-1] + 1))
        lows.append((rows[0], columns[0]))
        highs.append((rows[-1], columns[-1]))
    assert len(set(lows)) <= 1
    assert len(set(highs)) <= 1
    for image in range(B):
        probabilities = mixed[image].tolist()
        assert sum(probabilities) == pytest.approx(1)
        if not lows:
            continue
        (top, left), (bottom, right) = lows[0], highs[0]
        partners = [other for other in range(B) if torch.equal(found[image, :, top, left], images[other, :, top, left])]
        assert len(partners) == 1
        expected = images[image].clone()
        for y in range(top, bottom + 1):
            for x in range(left, right + 1):
                expected[:, y, x] = images[partners[0], :, y, x]
        assert torch.equal(found[image], expected)
        share = (bottom - top + 1) * (right - left + 1) / (H * W)
        wanted = [0.0] * CLASSES
        wanted[int(targets[image])] += 1 - share
        wanted[int(targets[partners[0]])] += share
        assert probabilities == pytest.approx(wanted, abs=1e-6)


def test_cutmix_draws_the_rectangle_as_the_formulas_say():
    images, targets = pictures()
    cutmix = build("cutmix")
    for seed in range(20):
        found, _ = cutmix.batch_transform(images, targets, generator(seed))
        draws = generator(seed)
        torch.rand((), generator=draws)  # whether the batch is mixed
        torch.manual_seed(int(torch.randint(2**62, (), generator=draws)))
        ratio = math.sqrt(1 - float(torch.distributions.Beta(1.0, 1.0).sample()))
        half_height, half_width = int(H * ratio) // 2, int(W * ratio) // 2
        y, x = (int(torch.randint(side, (), generator=draws)) for side in (H, W))
        partner = torch.randperm(B, generator=draws).tolist()
        expected = images.clone()
        for image in range(B):
            for row in range(max(0, y - half_height), min(H, y + half_height)):
                for column in range(max(0, x - half_width), min(W, x + half_width)):
                    expected[image, :, row, column] = images[partner[image], :, row, column]
        assert torch.equal(found, expected)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.4, 1.0, 3.0])
def test_cutmix_lambda_has_the_beta_distributions_mean_and_variance(alpha):
    draws = generator()
    lambdas = torch.tensor([_draw_beta(alpha, draws) for _ in range(4000)])
    deviation = (1 / (4 * (2 * alpha + 1))) ** 0.5
    assert float(lambdas.mean()) == pytest.approx(0.5, abs=4 * deviation / 4000**0.5)
    assert float(lambdas.std()) == pytest.approx(deviation, rel=0.05)


def test_cutmix_mixes_a_batch_as_often_as_asked():
    images, targets = pictures()
    cutmix, draws = build("cutmix", probability=0.3), generator()
    mixed = sum(cutmix.batch_transform(images, targets, draws)[1].ndim == 2 for _ in range(1000))
    assert abs(mixed / 1000 - 0.3) < 4 * (0.3 * 0.7 / 1000) ** 0.5


def test_cutmix_loss_is_both_labels_cross_entropies_by_area_and_so_is_its_gradient():
    images, targets = batch()
    cutmix = build("cutmix").eval()
    mixed, soft = cutmix.batch_transform(images, targets, generator(5))
    own = [float(soft[i, targets[i]]) for i in range(len(images))]
    others = [int((soft[i] - own[i] * torch.eye(CLASSES)[targets[i]]).argmax()) for i in range(len(images))]
    assert any(0 < share < 1 for share in own)
    losses = []
    for i in range(len(images)):
        logits = cutmix.head(cutmix.backbone(mixed[i : i + 1]))
        first = cross_entropy(logits, targets[i : i + 1])
        second = cross_entropy(logits, torch.tensor([others[i]]))
        losses.append(own[i] * first + (1 - own[i]) * second)
    expected = torch.stack(losses).mean()
    found = cutmix.losses(mixed, soft, 0.0)["classification"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    parameters = list(cutmix.parameters())
    for one, other in zip(
        torch.autograd.grad(found, parameters), torch.autograd.grad(expected, parameters), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-5)
