"""Methods that must be each other exactly when switched off or down."""

from __future__ import annotations

import pytest
import torch

from wsolbench.models.method import OptimRecipe
from wsolbench.tools.small_networks import batch, build, first_drop_layer, losses_and_gradients, same
from wsolbench.training.loop import TrainingModel
from wsolbench.training.optim import Optimiser

POINTS = {"convnet": ("conv2", "conv3"), "mobilenet_v1": ("block6", "block12", "block13")}


@pytest.mark.parametrize("backbone", POINTS)
@pytest.mark.parametrize("drop_rate", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("gamma", [0.5, 0.9])
def test_dgdm_with_all_channels_and_single_cells_is_adl_bit_for_bit(backbone, drop_rate, gamma):
    shared = {"drop_rate": drop_rate, "gamma": gamma, "erase_points": POINTS[backbone]}
    adl = build("adl", backbone, **shared)
    dgdm = build("dgdm", backbone, **shared, keep_ratio=1.0, block_size=1)
    assert same(adl.state_dict(), dgdm.state_dict())
    for seed in range(4):  # both sides of the coin
        one, other = losses_and_gradients(adl, seed), losses_and_gradients(dgdm, seed)
        assert same(one[0], other[0])
        assert same(one[1], other[1])
        assert torch.equal(one[2], other[2])  # neither drew more than the other
    assert same(adl.state_dict(), dgdm.state_dict())


@pytest.mark.parametrize("drop_rate", [0.0, 0.5])
def test_dgdm_differs_from_adl_by_default(drop_rate):
    adl, dgdm = build("adl", drop_rate=drop_rate), build("dgdm", drop_rate=drop_rate)
    assert not same(losses_and_gradients(adl)[0], losses_and_gradients(dgdm)[0])


@pytest.mark.parametrize("backbone", POINTS)
def test_adl_switched_off_is_cam_exactly(backbone):
    cam, adl = build("cam", backbone), build("adl", backbone, drop_rate=0.0, importance=False)
    assert same(cam.state_dict(), adl.state_dict())
    one, other = losses_and_gradients(cam), losses_and_gradients(adl)
    assert same(one[0], other[0])
    assert same(one[1], other[1])
    assert torch.equal(one[2], other[2])
    assert torch.equal(cam.eval().predict(*batch()).maps, adl.eval().predict(*batch()).maps)
    recipe = OptimRecipe(lr=0.1, weight_decay=1e-4, head_lr_mult=10.0)
    assert [len(g["params"]) for g in cam.param_groups(recipe)] == [len(g["params"]) for g in adl.param_groups(recipe)]


@pytest.mark.parametrize("backbone", POINTS)
@pytest.mark.parametrize(("method", "off"), [("has", {"hide_rate": 0.0}), ("cutmix", {"probability": 0.0})])
def test_has_and_cutmix_switched_off_are_cam_bit_for_bit(backbone, method, off):
    """Over two optimiser steps of the harness itself, whose generator the transformation is handed."""
    cam, other = build("cam", backbone), build(method, backbone, **off)
    assert same(cam.state_dict(), other.state_dict())
    trained = [trained_for_two_steps(built) for built in (cam, other)]
    assert same(*trained)
    assert not same(trained[0], build("cam", backbone).state_dict())
    switched_on = trained_for_two_steps(build(method, backbone))
    assert not same(trained[0], switched_on)
    assert torch.equal(cam.eval().predict(*batch()).maps, other.eval().predict(*batch()).maps)


def trained_for_two_steps(method):
    model = TrainingModel(method, seed=3, iterations=2, channels_last=True)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    optimiser = Optimiser(sgd, torch.device("cpu"), None, None)
    images = torch.randint(256, (4, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        model.train_step((images, torch.arange(4), torch.arange(4)), optimiser)
    return method.state_dict()


@pytest.mark.parametrize("backbone", POINTS)
@pytest.mark.parametrize("method", ["has", "adl", "cutmix", "dgdm"])
def test_what_a_method_hides_or_mixes_in_training_is_gone_at_test(method, backbone):
    cam, other = build("cam", backbone), build(method, backbone)
    one, same_weights = cam.eval().predict(*batch()), other.eval().predict(*batch())
    assert torch.equal(one.maps, same_weights.maps)
    assert torch.equal(one.logits, same_weights.logits)


@pytest.mark.parametrize("method", ["adl", "dgdm"])
def test_drop_layers_are_the_identity_at_test(method):
    dropping = build(method).eval()
    features = torch.randn(2, 3, 4, 4)
    assert first_drop_layer(dropping)(features) is features


@pytest.mark.parametrize(("threshold", "equal"), [(1.01, True), (0.6, False)])
def test_acol_above_one_shows_branch_b_the_whole_feature(threshold, equal):
    acol = build("acol", erase_threshold=threshold)
    acol.convs_b.load_state_dict(acol.convs_a.state_dict())
    acol.head_b.load_state_dict(acol.head_a.state_dict())
    losses, _, _ = losses_and_gradients(acol)
    assert torch.equal(losses["branch_a"], losses["branch_b"]) is equal


def test_spg_classifies_and_localizes_as_cam_does():
    cam, spg = build("cam"), build("spg", dropout=0.0)
    spg.load_state_dict(cam.state_dict(), strict=False)
    torch.testing.assert_close(
        losses_and_gradients(cam)[0]["classification"], losses_and_gradients(spg)[0]["classification"], rtol=0, atol=0
    )
    assert torch.equal(cam.eval().predict(*batch()).maps, spg.eval().predict(*batch()).maps)
