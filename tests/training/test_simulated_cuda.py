"""The engine on a device that is not the CPU: simulated, with real values, where no GPU is at hand."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from tests.training.conftest import TRACK
from tests.training.simulated_cuda import CUDA, simulated_cuda
from tests.training.test_resume import EVERY_ITERATION, killed
from tests.training.test_trainer import ADL, CAM, train_into, with_runtime, with_track
from wsolbench import read_predictions
from wsolbench.baselines.stage import run_baseline
from wsolbench.config.paths import Layout
from wsolbench.config.settings import RuntimeSettings, Settings
from wsolbench.data.cache import Reading
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import read_maps
from wsolbench.runs.device import set_up_device
from wsolbench.tools.predict import predict
from wsolbench.tools.small_networks import METHODS
from wsolbench.training import loop
from wsolbench.training.optim import Optimiser
from wsolbench.training.prediction import predict_split
from wsolbench.training.trained import load_trained, read_trained

# What page-locks memory for a device says so where torch sees none.
pytestmark = pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")

RECIPES: dict[str, dict[str, Any]] = {
    "float32": {"clip_grad_norm": 1.0, "warmup_iters": 2},
    "bf16": {"amp": "bf16", "channels_last": True},
    "fp16": {"amp": "fp16", "selection": "val_cls"},
}


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Iterator[torch.device]:
    with simulated_cuda(monkeypatch):
        yield CUDA


@pytest.fixture
def settings(tiny_settings: Settings) -> Settings:
    return with_runtime(tiny_settings, device="cuda", workers=0)


def test_the_simulated_device_does_not_mix_with_the_cpu(cuda: torch.device) -> None:
    here, there = torch.ones(2, requires_grad=True), torch.ones(2, device="cuda", requires_grad=True)
    for mixed in (
        lambda: here + there,
        lambda: torch.stack([here, there]),
        lambda: torch.stack([here.sum(), there.sum()]),
        lambda: torch.nn.functional.cross_entropy(there[None], torch.zeros(1, dtype=torch.int64)),
        lambda: torch._foreach_add([there], [here]),
    ):
        with pytest.raises(RuntimeError, match="on the same device"):
            mixed()
    with pytest.raises(TypeError, match="to numpy"):
        there.detach().numpy()
    with pytest.raises(RuntimeError, match="for generator"):
        torch.rand(2, device="cuda", generator=torch.Generator())
    (there * 2 + there.new_ones(()) + torch.tensor(1.0)).sum().backward()
    assert (there.grad.device, there.grad.tolist()) == (CUDA, [2, 2])
    assert there.device == there[1:].view(1).detach().device == torch.zeros_like(there).device == CUDA
    copied = there.detach().cpu()
    assert copied.device.type == "cpu"
    copied += 1
    assert there.tolist() == [1, 1]
    layer = torch.nn.BatchNorm2d(3).to(cuda)
    assert {value.device for value in layer.state_dict().values()} == {CUDA}


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_training_is_that_of_the_cpu(
    layout: Layout, settings: Settings, monkeypatch: pytest.MonkeyPatch, recipe: str
) -> None:
    settings = with_track(settings, **RECIPES[recipe])
    before = torch.get_rng_state()
    with simulated_cuda(monkeypatch):
        found = train_into(layout, settings, ADL)
    if recipe != "fp16":  # which a CPU refuses
        torch.set_rng_state(before)
        assert train_into(layout, with_runtime(settings, device="cpu"), ADL) == found
    assert len(found) == 4


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES)
def test_killed_within_an_epoch_a_training_ends_with_the_same_bytes(
    layout: Layout, settings: Settings, monkeypatch: pytest.MonkeyPatch, cuda: torch.device, recipe: str
) -> None:
    settings = with_runtime(with_track(settings, batch=6, **RECIPES[recipe]), save_minutes=EVERY_ITERATION)
    expected = train_into(layout, settings, ADL)
    for iterations in (2, 3):
        killed(monkeypatch, layout, settings, loop.TrainingModel, "train_step", iterations)
        assert train_into(layout, settings, ADL) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains_there(layout: Layout, settings: Settings, cuda: torch.device, name: str) -> None:
    settings = settings.model_copy(update={"methods": {name: settings.methods["cam"]}})
    train_into(layout, with_track(settings, epochs=1, amp="bf16"), f"{TRACK}-{name}-0")


def test_the_mask_supervised_bound_trains_there(layout: Layout, settings: Settings, cuda: torch.device) -> None:
    key = f"{TRACK}-mask_supervised-0"
    run_baseline(with_track(settings, epochs=1), key, layout, 1)
    assert layout.metrics(TRACK, key).is_file()


def test_a_trained_run_predicts_there_what_it_stored(layout: Layout, settings: Settings, cuda: torch.device) -> None:
    train_into(layout, settings, CAM)
    method = load_trained(read_trained(layout, CAM), layout, cuda)
    split = read_split(layout.prepared(TRACK), "test")
    found = predict_split(method, split, layout.prepared(TRACK), side=40, batch=3, device=cuda, reading=Reading())
    stored = read_maps(layout.run(CAM) / "maps.npz", "test")
    np.testing.assert_allclose(found.maps, stored.maps, rtol=1e-4, atol=1e-5)
    photographs = [layout.prepared(TRACK) / item.path for item in split.items]
    out = predict(settings, CAM, photographs, layout.root / "out", layout, threshold=0.5).folder
    listed = read_predictions(out / "classes.txt")
    for item, best, raw in zip(split.items, stored.top5, stored.maps, strict=True):
        (name,) = [each for each in listed if item.path.endswith(each)]
        assert listed[name] == best.tolist()
        if best[0] == item.label:
            np.testing.assert_allclose(np.load(out / "maps" / f"{name}.npy"), raw, rtol=1e-4, atol=1e-5)


def test_a_step_whose_scaled_gradient_overflows_is_left_out_and_the_scale_halved(cuda: torch.device) -> None:
    weight = torch.nn.Parameter(torch.tensor([1.0], device=cuda))
    sgd = torch.optim.SGD([weight], lr=0.5, fused=True)
    optimiser = Optimiser(sgd, cuda, torch.float16, None)
    optimiser.minimise(weight.sum() * 1e35)  # times 2^16, it is above what float32 holds
    assert weight.item() == 1
    saved = optimiser.state_dict()
    assert saved["scaler"]["scale"] == 2.0**15
    other = Optimiser(sgd, cuda, torch.float16, None)
    other.load_state_dict(saved)
    other.minimise(weight.sum() * 3)
    assert weight.item() == pytest.approx(1 - 0.5 * 3)
    assert other.state_dict()["scaler"]["scale"] == 2.0**15


@pytest.mark.parametrize(("deterministic", "expected"), [("strict", ":4096:8"), ("warn", ":4096:8"), ("off", None)])
def test_cublas_is_told_to_be_deterministic_before_the_first_product(
    cuda: torch.device, monkeypatch: pytest.MonkeyPatch, deterministic: str, expected: str | None
) -> None:
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"]  # of the tests themselves: warnings are errors here
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")
    set_up_device(RuntimeSettings(deterministic=deterministic))
    assert os.environ.get("CUBLAS_WORKSPACE_CONFIG") == expected
