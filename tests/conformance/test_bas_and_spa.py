"""BAS and SPA: losses and maps against loops, and where gradients may go."""

from __future__ import annotations

import itertools

import pytest
import torch

from wsolbench.methods.spa import self_correlation
from wsolbench.tools.small_networks import batch, build


def bas(**arguments):
    method = build("bas", head_channels=8, **arguments).double()
    images, labels = batch()
    return method, images.double(), labels


def test_suppression_reaches_the_mask_and_no_classifier_weight():
    method, images, labels = bas()
    method.train()
    method.losses(images, labels, 0.0)["suppression"].backward()
    reached = {name for name, each in method.named_parameters() if each.grad is not None and each.grad.any()}
    assert any(name.startswith("generator") for name in reached)
    assert not any(name.startswith("class_maps") for name in reached)
    later = method.backbone.stage_names[method.backbone.stage_names.index(method.after_mask) :]
    assert not any(name.startswith(f"backbone.stages.{stage}.") for name in reached for stage in later)


def test_the_erased_pass_leaves_no_trace_in_the_statistics():
    method, images, labels = bas()
    method.train()
    twin, _, _ = bas()
    twin.load_state_dict(method.state_dict())
    twin.train()
    method.losses(images, labels, 0.0)
    last = twin.backbone(images)
    twin.class_maps(last)
    for (name, found), (_, expected) in zip(method.named_buffers(), twin.named_buffers(), strict=True):
        assert torch.equal(found, expected), name


@pytest.mark.parametrize(("kept", "end"), [("area", 0.0), ("suppression", 1.0)])
def test_area_alone_empties_the_mask_and_suppression_alone_fills_it(kept, end):
    method, images, labels = bas()
    method.eval()
    with torch.no_grad():  # weights above 0: the score grows with what is seen, as a trained one is to
        for module in (method.backbone, method.class_maps):
            for each in module.parameters():
                each.abs_()
    optimiser = torch.optim.Adam(method.generator.parameters(), lr=0.3)
    for _ in range(60):
        optimiser.zero_grad()
        method.losses(images, labels, 0.0)[kept].backward()
        optimiser.step()
    masks = method.predict(images, labels).maps
    assert (masks - end).abs().mean() < 0.1


def test_suppression_is_the_mean_ratio_of_the_labels_scores():
    method, images, labels = bas()
    method.eval()
    with torch.no_grad():
        last, taps = method.backbone.forward_taps(images, (method.mask_point,))
        features, scores = taps[method.mask_point], method.class_maps(last).relu().mean((2, 3))
        mask = method.mask(features, labels)
        ratios = []
        for image, label in enumerate(labels.tolist()):
            seen = features[image : image + 1] * (1 - mask[image : image + 1])
            left = method.class_maps(method.backbone(seen, method.after_mask)).relu()[0, label].mean()
            ratios.append(float(left / (scores[image, label] + 1e-8)) if left < scores[image, label] else 0.0)
        found = float(method.suppression(features, mask, scores, labels))
    assert found == pytest.approx(sum(ratios) / len(ratios), rel=1e-9)


@pytest.mark.parametrize("factor", [1, 2])
@torch.no_grad()
def test_the_foreground_is_classified_by_maps_within_the_mask(monkeypatch, factor):
    """A mask of cells of its own, of which several make a cell of the class maps, by loops."""
    method, images, labels = bas(foreground_weight=0.3)
    method.eval()
    maps = method.class_maps(method.backbone(images)).relu()
    height = maps.shape[2]
    mask = torch.rand(len(labels), 1, factor * height, factor * height).double()
    monkeypatch.setattr(method, "mask", lambda features, targets: mask)
    monkeypatch.setattr(method, "suppression", lambda *_: torch.zeros(()))
    scores = torch.zeros(maps.shape[:2]).double()
    for image, label, y, x in itertools.product(*map(range, (*maps.shape[:2], height, height))):
        cells = [mask[image, 0, factor * y + dy, factor * x + dx] for dy in range(factor) for dx in range(factor)]
        scores[image, label] += maps[image, label, y, x] * sum(cells) / len(cells) / height**2
    chosen = [
        -torch.log(torch.exp(row[label]) / torch.exp(row).sum()) for row, label in zip(scores, labels, strict=True)
    ]
    found = method.losses(images, labels, 0.0)
    assert float(found["foreground"]) == pytest.approx(0.3 * float(sum(chosen)) / len(chosen), rel=1e-9)
    assert float(found["area"]) == pytest.approx(float(mask.mean()), rel=1e-9)


def test_restricted_activation_by_loops():
    method = build("spa", head_channels=8)
    maps, labels = torch.randn(2, 5, 4, 3).double(), torch.tensor([1, 4])
    terms = []
    for image, label in enumerate(labels.tolist()):
        spread = {}
        for y, x in itertools.product(range(4), range(3)):
            shares = torch.exp(maps[image, :, y, x]) / torch.exp(maps[image, :, y, x]).sum()
            spread[y, x] = float(sum((share - shares.mean()) ** 2 for share in shares) / 4)
        low, high = min(spread.values()), max(spread.values())
        for (y, x), value in spread.items():
            normalised, inside = (value - low) / (high - low), float(torch.sigmoid(maps[image, label, y, x]))
            terms.append(inside if normalised < 0.1 else 1 - inside if normalised > 0.1 + 0.2 else 0.0)
    assert float(method.restricted_activation(maps, labels)) == pytest.approx(sum(terms) / len(terms), rel=1e-6)


def test_restricted_activation_counts_from_its_start_on():
    method = build("spa", head_channels=8, start=0.5)
    images, labels = batch()
    assert method.losses(images, labels, 0.49)["restricted_activation"].item() == 0
    assert method.losses(images, labels, 0.5)["restricted_activation"].item() > 0


def test_self_correlation_by_loops():
    features = torch.randn(1, 6, 2, 3).double()
    cells = features[0].flatten(1).T
    n = len(cells)
    first = [[0.0] * n for _ in range(n)]
    for i, j in itertools.product(range(n), range(n)):
        cosine = float(cells[i] @ cells[j] / (cells[i].norm() * cells[j].norm()))
        first[i][j] = cosine if cosine >= 0.1 else 0.0

    def by_columns(matrix):
        sums = [sum(row[j] for row in matrix) + 1e-5 for j in range(n)]
        return [[row[j] / sums[j] for j in range(n)] for row in matrix]

    apart = by_columns([[0.0 if i == j else first[i][j] for j in range(n)] for i in range(n)])
    second = by_columns([[sum(apart[i][k] * apart[k][j] for k in range(n)) for j in range(n)] for i in range(n)])
    second = [[value if value >= 0.5 / n else 0.0 for value in row] for row in second]
    whole = by_columns(first)
    expected = [[max(whole[i][j], 2 * second[i][j]) for j in range(n)] for i in range(n)]
    assert torch.allclose(self_correlation(features, 0.1, 0.5, 2.0)[0], torch.tensor(expected).double(), atol=1e-9)


def test_a_map_is_spread_from_its_seeds_by_loops():
    method = build("spa", head_channels=8, object_from=0.6, background_to=0.2)
    own, features = torch.rand(2, 3, 4), [torch.randn(2, 5, 3, 4), torch.randn(2, 7, 3, 4)]
    own[:, 0, 0], own[:, 2, 3] = 0.9, 0.1
    found = method.spread(own, features)
    for image in range(2):
        pairs = sum(self_correlation(each[image : image + 1], 0.1, 0.5, 2.0)[0] for each in features)
        cells = own[image].flatten().tolist()
        thing = [k for k, value in enumerate(cells) if value >= 0.6]
        ground = [k for k, value in enumerate(cells) if value <= 0.2]
        scores = []
        for cell in range(len(cells)):
            near = sum(float(pairs[cell, k]) for k in thing) / len(thing)
            far = sum(float(pairs[cell, k]) for k in ground) / len(ground)
            scores.append(max(near - far, 0.0))
        low, high = min(scores), max(scores)
        expected = torch.tensor([(score - low) / (high - low) for score in scores]).view(3, 4)
        torch.testing.assert_close(found[image], expected, rtol=1e-4, atol=1e-5)


def test_a_map_without_a_background_seed_is_kept():
    method = build("spa", head_channels=8)
    own = torch.full((1, 3, 3), 0.5)
    assert torch.equal(method.spread(own, [torch.randn(1, 4, 3, 3)]), own)
