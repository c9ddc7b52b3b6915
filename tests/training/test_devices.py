"""What is promised between devices, precisions, memory formats and numbers of threads, on all devices that are here.

The reference is always float32 on one thread of the CPU, in the contiguous memory format. On a machine with a GPU the
same tests run on it, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from tests.tiny import TINY_SHAPES, prepared_in
from tests.training.conftest import TRACK
from tests.training.test_trainer import ADL, train_into, with_runtime, with_track
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import read_maps
from wsolbench.training.building import build_method
from wsolbench.training.loop import TrainingModel
from wsolbench.training.optim import build_optimiser
from wsolbench.training.selection import box_accuracy_of_val, class_accuracy

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
# Without draws: two devices have different random numbers from one seed.
WITHOUT_DRAWS: dict[str, dict[str, Any]] = {
    "cam": {},
    "acol": {},
    "adl": {"drop_rate": 1.0},
    "spg": {"dropout": 0.0},
    "dgdm": {"keep_low": 0.0, "drop_rate": 1.0},
    "has": {},
    "cutmix": {},
}


@dataclass(frozen=True)
class Step:
    """One step of a training: the losses, and the gradient of all parameters in one vector."""

    losses: torch.Tensor
    gradient: torch.Tensor


def one_step(settings: Settings, name: str, device: str, threads: int = 1) -> Step:
    """Take the first step of a run on made-up images, which are the same on every device."""
    torch.set_num_threads(threads)
    run = settings.resolve(f"{TRACK}-{name}-0")
    method = build_method(run, 3, None)
    where = torch.device(device)
    model = TrainingModel(method, 0, 10, channels_last=run.track.channels_last).to(where).train()
    optimiser = build_optimiser(method, run.track, where)
    drawn = torch.Generator().manual_seed(7)
    images = torch.randint(0, 256, (12, 3, 40, 40), dtype=torch.uint8, generator=drawn)
    kept: list[torch.Tensor] = []
    step = optimiser.step

    def kept_step() -> None:
        gradients = [parameter.grad for parameter in method.parameters()]
        kept.append(torch.cat([gradient.double().cpu().flatten() / scale for gradient in gradients]))
        step()

    optimiser.step = kept_step  # type: ignore[method-assign]
    while not kept or not kept[-1].isfinite().all():  # float16: until the scale has come down, as in a training
        model.iteration, scale = 0, optimiser.state_dict()["scaler"].get("scale", 1.0)
        model.train_step((images, torch.arange(12) % 3, None), optimiser)
        assert len(kept) < 16
    return Step(model.losses.double().cpu(), kept[-1])


def settings_of(settings: Settings, name: str, **recipe: Any) -> Settings:
    block = settings.methods["cam"].model_copy(update={"args": WITHOUT_DRAWS[name]})
    return with_track(settings.model_copy(update={"methods": {name: block}}), **recipe)


# Device, threads, recipe, and the tolerance of losses and of the gradient, relative to their norms. Rounding may decide
# which of two neighbours is the larger one, or on which side of zero a ReLU is: one such flip among the activations of
# this small batch moves the gradient by half a percent.
VARIANTS = [
    *[(device, 1, {"channels_last": True}, 1e-5, 0.02) for device in DEVICES],
    ("cpu", 2, {}, 1e-5, 0.02),
    *[(device, 1, {"amp": "bf16", "channels_last": True}, 0.01, 0.35) for device in DEVICES],
    *[(device, 1, {"amp": "fp16", "channels_last": True}, 0.002, 0.15) for device in DEVICES if device == "cuda"],
]


@pytest.mark.parametrize("name", WITHOUT_DRAWS)
@pytest.mark.parametrize(("device", "threads", "recipe", "of_losses", "of_gradient"), VARIANTS)
def test_one_step_has_the_losses_and_the_gradient_of_float32_on_one_thread(
    tiny_settings: Settings,
    name: str,
    device: str,
    threads: int,
    recipe: dict[str, Any],
    of_losses: float,
    of_gradient: float,
) -> None:
    expected = one_step(settings_of(tiny_settings, name, channels_last=False), name, "cpu")
    found = one_step(settings_of(tiny_settings, name, **recipe), name, device, threads)
    assert (found.losses - expected.losses).norm() <= of_losses * expected.losses.norm()
    assert (found.gradient - expected.gradient).norm() <= of_gradient * expected.gradient.norm()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("recipe", [{"amp": "bf16"}, {"clip_grad_norm": 1.0}])
def test_strictly_deterministic_a_device_gives_the_same_bytes_for_any_number_of_workers(
    layout: Layout, tiny_settings: Settings, device: str, recipe: dict[str, Any]
) -> None:
    settings = with_runtime(with_track(tiny_settings, **recipe), device=device, deterministic="strict")
    first = train_into(layout, settings, ADL)
    assert train_into(layout, with_runtime(settings, workers=2), ADL) == first


@dataclass(frozen=True)
class Numbers:
    """Top-1 accuracy and box accuracy of ``test``, percent, one of each per seed."""

    top1: list[float]
    boxes: list[float]


def numbers_of(layout: Layout, settings: Settings) -> Numbers:
    split = read_split(layout.prepared(TRACK), "test")
    found = Numbers([], [])
    for seed in range(5):
        key = f"{TRACK}-cam-{seed}"
        train_into(layout, settings, key)
        stored = read_maps(layout.run(key) / "maps.npz", "test")
        found.top1.append(class_accuracy(stored))
        found.boxes.append(box_accuracy_of_val(stored, split))
    return found


@pytest.fixture(scope="module")
def larger(tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Layout, Settings]:
    """A data set and a recipe with which a network learns to classify and to localize."""
    shapes = TINY_SHAPES | {"train": 240, "val": 30, "test": 120}
    settings = tiny_settings.model_copy(update={"datasets": {"shapes": shapes}})
    settings = with_track(settings, epochs=8, batch=16, lr=0.1)
    return prepared_in(tmp_path_factory.mktemp("larger"), settings), settings


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
def test_final_numbers_agree_within_the_spread_of_the_seeds(larger: tuple[Layout, Settings], device: str) -> None:
    """Means over five seeds of bfloat16 (also on a GPU) and of float32 differ by less than the seeds of float32 do."""
    layout, settings = larger
    exact = numbers_of(layout, settings)
    other = numbers_of(layout, with_runtime(with_track(settings, amp="bf16"), device=device))
    assert np.mean(exact.top1) > 60  # it learns: a third would be chance
    for name in ("top1", "boxes"):
        one, two = getattr(exact, name), getattr(other, name)
        assert abs(np.mean(one) - np.mean(two)) <= np.ptp(one)
