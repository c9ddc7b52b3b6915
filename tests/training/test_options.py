"""Settings of the trainer that are off by default."""

from __future__ import annotations

import copy
import os
import subprocess
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tests.training.conftest import TRACK
from tests.training.test_trainer import ADL, CAM, train_into, with_runtime, with_track
from wsolbench.config.paths import Layout
from wsolbench.config.settings import RuntimeSettings, Settings
from wsolbench.data.cache import Reading, pictures_of
from wsolbench.data.index import read_split
from wsolbench.data.loader import TrainingSet
from wsolbench.errors import SettingsError, TrainingError
from wsolbench.models.backbones.convnet import ConvNet
from wsolbench.models.layers import ClassMapHead
from wsolbench.models.method import Method, Prediction
from wsolbench.runs.device import loader_workers
from wsolbench.training import loop
from wsolbench.training.history import History
from wsolbench.training.optim import Optimiser


def record_steps(monkeypatch: pytest.MonkeyPatch, seen: list[dict[str, torch.Tensor]]) -> None:
    original = loop.TrainingModel.train_step

    def recorded(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        seen.append(copy.deepcopy(self.method.state_dict()))
        return found

    monkeypatch.setattr(loop.TrainingModel, "train_step", recorded)


def test_long_gradients_are_shortened(layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[dict[str, torch.Tensor]] = []
    record_steps(monkeypatch, steps)
    plain = with_track(tiny_settings, nesterov=False, momentum=0.0, weight_decay=0.0, schedule="step", step_epochs=9)
    train_into(layout, with_track(plain, clip_grad_norm=0.01), CAM)
    parameters = [name for name in steps[0] if name.endswith(("weight", "bias"))]
    for before, after in pairwise(steps):
        moved = torch.cat([(after[name] - before[name]).flatten() for name in parameters]).norm()
        assert float(moved) == pytest.approx(0.05 * 0.01, rel=1e-2)  # the rate times the norm


@pytest.mark.parametrize("name", ["subprocess.getoutput", "os.system", "mmengine.LocalVisBackend", "Visualizer", ""])
def test_a_visualiser_that_is_none_is_refused_before_anything_is_read(
    tmp_path: Path, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Mmengine would import and call whatever it names."""
    called: list[object] = []
    monkeypatch.setattr(subprocess, "getoutput", lambda *arguments, **options: called.append(arguments))
    monkeypatch.setattr(os, "system", lambda *arguments, **options: called.append(arguments))
    settings = with_runtime(tiny_settings, visualisers=["TensorboardVisBackend", name])
    with pytest.raises(SettingsError, match=rf"runtime\.visualisers: unknown name '{name}'"):
        train_into(Layout(tmp_path), settings, CAM)
    assert (called, list(tmp_path.iterdir())) == ([], [])


def test_float16_on_a_cpu_is_refused_before_anything_is_read(tmp_path: Path, tiny_settings: Settings) -> None:
    settings = with_track(tiny_settings, amp="fp16")
    with pytest.raises(SettingsError, match=rf"{CAM}.*fp16 .*CUDA.*tracks\.{TRACK}\.amp"):
        train_into(Layout(tmp_path), settings, CAM)


def test_a_clipped_gradient_is_not_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.nn.Parameter(torch.ones(4))
    wrapper = Optimiser(torch.optim.SGD([weight], lr=0.5), torch.device("cpu"), None, 1.0)
    with monkeypatch.context() as patched:
        for name in ("item", "tolist", "__float__", "__bool__"):
            patched.setattr(torch.Tensor, name, lambda *_: pytest.fail("waits for the device"))
        wrapper.minimise(weight.sum() * 3)
    assert torch.allclose(1 - weight, torch.full((4,), 0.25))


def test_memory_that_runs_out_is_explained(
    layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 99 bytes")

    monkeypatch.setattr(loop.TrainingModel, "train_step", full)
    message = rf"{ADL}: cpu has not enough memory for method 'adl' .* batch 8 at 40 pixels, amp off\. Lower tracks"
    with pytest.raises(TrainingError, match=message):
        train_into(layout, tiny_settings, ADL)


def test_another_error_is_left_as_it_is(
    layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("shapes differ")

    monkeypatch.setattr(loop.TrainingModel, "train_step", broken)
    with pytest.raises(RuntimeError, match="shapes differ"):
        train_into(layout, tiny_settings, ADL)


def test_tensorboard_has_every_epoch(layout: Layout, tiny_settings: Settings) -> None:
    train_into(layout, with_runtime(tiny_settings, visualisers=["TensorboardVisBackend"]), CAM)
    (events,) = (layout.root / ".wsolbench" / "visual" / CAM).rglob("events.*")
    read = EventAccumulator(str(events)).Reload()
    losses = read.Scalars("loss_classification")
    rows = layout.run(CAM).joinpath("history.csv").read_text().splitlines()[1:]
    assert [event.step for event in losses] == [int(row.split(",")[1]) for row in rows]
    assert [event.value for event in losses] == pytest.approx([float(row.split(",")[3]) for row in rows], rel=1e-6)
    assert {"lr", "images_per_second"} <= set(read.Tags()["scalars"])


def test_no_visualiser_writes_nothing(layout: Layout, tiny_settings: Settings, tmp_path: Path) -> None:
    train_into(layout, with_runtime(tiny_settings, visualisers=[]), CAM)
    assert not list((layout.root / ".wsolbench").rglob("events.*"))


def test_loader_processes_are_chosen_by_device_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsolbench.runs.device.cpu_count", lambda: 6)
    cpu, cuda = torch.device("cpu"), torch.device("cuda")
    assert loader_workers(RuntimeSettings(), cpu) == 0
    assert loader_workers(RuntimeSettings(workers=3), cpu) == 3
    assert loader_workers(RuntimeSettings(workers=0), cuda) == 0
    assert loader_workers(RuntimeSettings(), cuda) == 5
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert loader_workers(RuntimeSettings(), cuda) == 2
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "6")
    assert loader_workers(RuntimeSettings(), cuda) == 1
    monkeypatch.setattr("wsolbench.runs.device.cpu_count", lambda: 256)
    assert loader_workers(RuntimeSettings(), cuda) == 8


class Late(Method):
    """Trains its second head from the second iteration on."""

    def __init__(self, names: Callable[[bool], tuple[str, str]] = lambda late: ("first", "second")) -> None:
        super().__init__(ConvNet(None, width=8), 3)
        self.heads = nn.ModuleList(ClassMapHead(self.backbone.out_channels, 3) for _ in range(2))
        self._names = names

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        features = self.backbone(images)
        first, second = (cross_entropy(head(features), targets) for head in self.heads)
        return dict(zip(self._names(progress > 0), (first, second if progress > 0 else second.detach()), strict=True))

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        features = self.backbone(images)
        return Prediction(self.heads[0](features), self.heads[0].maps(features, labels))


def fitted(method: Method, settings: Settings, layout: Layout, work: Path) -> History:
    split = read_split(layout.prepared(TRACK), "train")
    run = settings.resolve(CAM)
    data = TrainingSet(split, pictures_of(split, layout.prepared(TRACK), 48, Reading()), run.track.crop, 0)
    return loop.fit(method, data, run, settings.runtime, torch.device("cpu"), work / "a" / "b", {})


def test_a_first_gradient_may_come_after_the_first_step(
    layout: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    method = Late()
    before = [parameter.detach().clone() for parameter in method.heads[1].parameters()]
    history = fitted(method, tiny_settings, layout, tmp_path)
    assert set(history.rows[-1]) == {"epoch", "iteration", "lr", "loss_first", "loss_second"}
    assert all(not torch.equal(one, now) for one, now in zip(before, method.heads[1].parameters(), strict=True))


@pytest.mark.parametrize("late", [("first", "third"), ("second", "first")])
def test_losses_keep_their_names(
    layout: Layout, tiny_settings: Settings, tmp_path: Path, late: tuple[str, str]
) -> None:
    method = Late(lambda changed: late if changed else ("first", "second"))
    with pytest.raises(TrainingError) as error:
        fitted(method, tiny_settings, layout, tmp_path)
    for named in (CAM, "Late", "iteration 2 of 6", str(list(late)), "['first', 'second']"):
        assert named in str(error.value)
