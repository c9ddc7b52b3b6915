"""ADL's and DGDM's layers against slow, obvious references, forward and backward."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from wsolbench.tools.small_networks import build, first_drop_layer

B, C, H, W = 3, 8, 6, 5


def features_and_gradient():
    generator = torch.Generator().manual_seed(5)
    features = torch.rand(B, C, H, W, generator=generator, dtype=torch.float64)
    return features.requires_grad_(), torch.randn(B, C, H, W, generator=generator, dtype=torch.float64)


def run(layer, seed=0):
    """Output and input gradient of a layer in training, as numpy arrays, with what went in and came back."""
    features, upstream = features_and_gradient()
    torch.manual_seed(seed)
    output = layer.train()(features)
    (gradient,) = torch.autograd.grad(output, features, upstream)
    return features.detach().numpy(), upstream.numpy(), output.detach().numpy(), gradient.numpy()


def attention_of(features):
    attention = np.zeros((B, H, W))
    for b in range(B):
        for y in range(H):
            for x in range(W):
                attention[b, y, x] = sum(features[b, c, y, x] for c in range(C)) / C
    return attention


def kept_cells(attention, gamma, block=1, background=None):
    """1 where the drop mask leaves a cell alone."""
    kept = np.ones_like(attention)
    for b in range(B):
        highest = attention[b].max()
        for y in range(H):
            for x in range(W):
                if attention[b, y, x] >= gamma * highest:
                    reach = block // 2
                    kept[b, max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = 0
        if background is not None:
            kept[b][attention[b] < background * highest] = 0
    return kept


def kept_channels(features, ratio, low, draws):
    """1 for the ceil(ratio C) channels of largest mean, and for the others where the draw is below ``low``."""
    kept = np.zeros((B, C))
    for b in range(B):
        means = [features[b, c].mean() for c in range(C)]
        best = sorted(range(C), key=lambda c: -means[c])[: math.ceil(ratio * C)]
        for c in range(C):
            kept[b, c] = 1.0 if c in best or draws[b, c] < low else 0.0
    return kept


def test_adl_drop_mask_hides_cells_from_gamma_times_the_maximum():
    features, upstream, output, gradient = run(first_drop_layer(build("adl", drop_rate=1.0, gamma=0.9)))
    kept = kept_cells(attention_of(features), 0.9)[:, None]
    assert 0 < kept.mean() < 1
    np.testing.assert_array_equal(output, features * kept)
    np.testing.assert_array_equal(gradient, upstream * kept)


def test_adl_importance_map_is_the_sigmoid_of_the_attention_and_has_a_gradient():
    features, upstream, output, gradient = run(first_drop_layer(build("adl", drop_rate=0.0)))
    importance = 1 / (1 + np.exp(-attention_of(features)))[:, None]
    np.testing.assert_allclose(output, features * importance, rtol=1e-12)
    through_gate = (upstream * features).sum(1, keepdims=True) * importance * (1 - importance) / C
    np.testing.assert_allclose(gradient, upstream * importance + through_gate, rtol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_adl_tosses_one_coin_for_the_whole_batch(seed):
    features, _, output, _ = run(first_drop_layer(build("adl", drop_rate=0.5, gamma=0.9)), seed)
    torch.manual_seed(seed)
    attention = attention_of(features)
    dropped = float(torch.rand(())) < 0.5
    gate = kept_cells(attention, 0.9) if dropped else 1 / (1 + np.exp(-attention))
    np.testing.assert_allclose(output, features * gate[:, None], rtol=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_adl_without_importance_leaves_features_alone_unless_it_drops(seed):
    features, _, output, _ = run(first_drop_layer(build("adl", drop_rate=0.5, gamma=0.9, importance=False)), seed)
    torch.manual_seed(seed)
    dropped = float(torch.rand(())) < 0.5
    expected = features * kept_cells(attention_of(features), 0.9)[:, None] if dropped else features
    np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("drop_rate", [0.0, 1.0])
def test_adl_draws_nothing_where_there_is_no_choice(drop_rate):
    layer = first_drop_layer(build("adl", drop_rate=drop_rate))
    features, before = torch.rand(2, 3, 4, 4), torch.get_rng_state()
    layer.train()(features)
    assert torch.equal(before, torch.get_rng_state())


def test_adl_of_all_zero_features_is_zero_and_has_a_finite_gradient():
    features = torch.zeros(1, 3, 4, 4, requires_grad=True)
    output = first_drop_layer(build("adl", drop_rate=1.0)).train()(features)
    output.sum().backward()
    assert torch.equal(output, torch.zeros_like(output))
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize(("ratio", "low"), [(0.5, 0.5), (0.3, 0.0), (0.0, 0.7)])
def test_dgdm_keeps_the_strongest_channels_and_some_of_the_weak(ratio, low):
    layer = first_drop_layer(build("dgdm", keep_ratio=ratio, keep_low=low, drop_rate=0.0, importance=False))
    features, upstream, output, gradient = run(layer, seed=3)
    torch.manual_seed(3)
    kept = kept_channels(features, ratio, low, torch.rand(B, C).numpy())[:, :, None, None]
    np.testing.assert_array_equal(output, features * kept)
    np.testing.assert_array_equal(gradient, upstream * kept)


def test_dgdm_keeps_exactly_55_of_100_channels_at_ratio_0_55():
    assert math.ceil(0.55 * 100) == 56  # what floating point makes of it
    layer = first_drop_layer(build("dgdm", keep_ratio=0.55, keep_low=0.0, drop_rate=0.0, importance=False))
    output = layer.train()(torch.rand(1, 100, 2, 2) + 0.1)
    assert int((output.amax((2, 3)) > 0).sum()) == 55


@pytest.mark.parametrize("arguments", [{"keep_ratio": 1.0}, {"keep_low": 1.0}])
def test_dgdm_channel_half_draws_nothing_where_it_keeps_everything(arguments):
    layer = first_drop_layer(build("dgdm", **arguments, drop_rate=0.0, importance=False))
    features, before = torch.rand(2, 8, 4, 4), torch.get_rng_state()
    assert layer.train()(features) is features
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("block", [1, 3, 5])
@pytest.mark.parametrize("background", [None, 0.6])
def test_dgdm_hides_squares_around_the_most_active_cells_and_background(block, background):
    layer = first_drop_layer(
        build("dgdm", keep_ratio=1.0, drop_rate=1.0, gamma=0.98, block_size=block, sagd_background=background)
    )
    features, upstream, output, gradient = run(layer)
    kept = kept_cells(attention_of(features), 0.98, block, background)[:, None]
    np.testing.assert_array_equal(output, features * kept)
    np.testing.assert_array_equal(gradient, upstream * kept)


def test_dgdm_sampled_seeds_lie_inside_the_threshold_and_have_dropblocks_rate():
    keep, block, size = 0.6, 3, 12
    layer = first_drop_layer(
        build(
            "dgdm",
            keep_ratio=1.0,
            drop_rate=1.0,
            gamma=0.0,
            block_size=block,
            sagd_seed="sampled",
            block_keep=keep,
        )
    )
    torch.manual_seed(0)
    hidden = layer.train()(torch.ones(64, 2, size, size)) == 0
    torch.manual_seed(0)
    rate = (1 - keep) / block**2 * size**2 / (size - block + 1) ** 2
    seeds = torch.rand(64, 1, size, size) < rate
    expected = torch.zeros(64, size, size, dtype=torch.bool)
    for b, _, y, x in seeds.nonzero().tolist():
        expected[b, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2] = True
    assert torch.equal(hidden[:, 0], expected)


def test_dgdm_sampled_seeds_respect_gamma():
    layer = first_drop_layer(
        build("dgdm", keep_ratio=1.0, drop_rate=1.0, gamma=0.9, block_size=1, sagd_seed="sampled", block_keep=0.0)
    )
    features, _, output, _ = run(layer)
    np.testing.assert_array_equal(output, features * kept_cells(attention_of(features), 0.9)[:, None])


@pytest.mark.parametrize("order", ["channel_spatial", "parallel"])
def test_dgdm_order_decides_whose_attention_the_spatial_half_reads(order):
    layer = first_drop_layer(
        build("dgdm", keep_ratio=0.25, keep_low=0.5, drop_rate=1.0, gamma=0.9, block_size=1, order=order)
    )
    features, _, output, _ = run(layer, seed=9)
    torch.manual_seed(9)
    left = features * kept_channels(features, 0.25, 0.5, torch.rand(B, C).numpy())[:, :, None, None]
    attended = features if order == "parallel" else left
    np.testing.assert_allclose(output, left * kept_cells(attention_of(attended), 0.9)[:, None], rtol=1e-12)


def test_gates_are_computed_in_float32_for_bfloat16_features():
    layer = first_drop_layer(build("adl", drop_rate=1.0, gamma=0.9)).train()
    features = torch.rand(2, 64, 8, 8).bfloat16()
    attention = features.float().mean(1, keepdim=True)
    kept = attention < 0.9 * attention.amax((2, 3), keepdim=True)
    output = layer(features)
    assert output.dtype == torch.bfloat16
    assert torch.equal(output, features * kept)
