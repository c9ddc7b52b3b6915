"""What the contract allows a method beyond a network and its losses: state, frozen parts, late losses, boxes."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from tests.training.conftest import TRACK
from tests.training.simulated_cuda import simulated_cuda
from tests.training.test_killed import killed_in
from tests.training.test_resume import EVERY_ITERATION, Killed, dying_after
from tests.training.test_trainer import CAM, train_into, with_runtime, with_track
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import StoredBoxes, read_maps
from wsolbench.errors import SettingsError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.models.backbones.convnet import ConvNet
from wsolbench.models.detached import call_apart
from wsolbench.models.layers import ClassMapHead, ClassMapMethod
from wsolbench.models.method import Prediction
from wsolbench.runs.run_folder import read_record
from wsolbench.training import loop
from wsolbench.training.optim import build_optimiser


class Stateful(ClassMapMethod):
    """A memory of classes, centres of an unfrozen stage, and a second head that begins late."""

    title, reference = "Stateful", "ours"
    class_agnostic, skips_parameters = True, True

    def __init__(self, backbone: Any, num_classes: int) -> None:
        super().__init__(backbone, num_classes)
        backbone.freeze(["conv1"])
        self.late = ClassMapHead(backbone.out_channels, num_classes)
        self.register_buffer("memory", torch.zeros(num_classes, backbone.out_channels))
        self.seen = torch.zeros(0)

    def get_extra_state(self) -> Tensor:
        return self.seen

    def set_extra_state(self, state: Tensor) -> None:
        self.seen = state

    def on_epoch_start(self, epoch: int, images: Iterable[tuple[Tensor, Tensor]]) -> None:
        assert not self.training
        means = [self.backbone(batch).mean((2, 3)).mean() for batch, _ in images]
        noise = torch.rand((), device=means[0].device)
        self.seen = torch.cat([self.seen.to(noise.device), torch.stack([*means, noise])])

    def losses(self, images: Tensor, targets: Tensor, progress: float) -> dict[str, Tensor]:
        features = self.backbone(images)
        pooled = features.mean((2, 3))
        recalled = mse_loss(pooled, self.memory[targets]) + self.seen.sum() * pooled.mean()
        with torch.no_grad():
            self.memory[targets] = 0.9 * self.memory[targets] + 0.1 * pooled.detach()
        late = cross_entropy(self.late(features), targets) if progress >= 0.5 else images.new_zeros(())
        return {"classification": cross_entropy(self.head(features), targets), "late": late, "recalled": recalled}

    def predict(self, images: Tensor, labels: Tensor) -> Prediction:
        features = self.backbone(images)
        low = features.mean((1, 2, 3)).sigmoid() / 2
        return Prediction(self.head(features), boxes=torch.stack([low, low, low + 0.5, low + 0.5], 1))


@pytest.fixture(autouse=True)
def _stateful_is_cam(monkeypatch: pytest.MonkeyPatch) -> None:
    original = registry.load
    monkeypatch.setattr(registry, "load", lambda kind, name: Stateful if name == "cam" else original(kind, name))


@pytest.fixture
def settings(tiny_settings: Settings) -> Settings:
    return with_track(tiny_settings, epochs=3, selection="val_cls")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "recipe"), [("cpu", {}), ("cuda", {"optimiser": "adamw", "lr": 0.001, "no_decay_norm_bias": True})]
)
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")
def test_a_method_with_state_that_is_killed_ends_with_the_same_bytes(
    layout: Layout, settings: Settings, monkeypatch: pytest.MonkeyPatch, device: str, recipe: dict[str, Any]
) -> None:
    settings = with_runtime(with_track(settings, **recipe), save_minutes=EVERY_ITERATION, device=device, workers=0)

    def end_of(iterations: int | None) -> dict[str, bytes]:
        with monkeypatch.context() as patch:
            if iterations is not None:
                dying_after(patch, loop.TrainingModel, "train_step", iterations, Killed())
            if device == "cpu":
                return train_into(layout, settings, CAM)
            with simulated_cuda(patch):
                return train_into(layout, settings, CAM)

    expected = end_of(None)
    for iterations in (2, 3):  # within an epoch, and at its end
        with pytest.raises(Killed):
            end_of(iterations)
        assert end_of(None) == expected


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["training", "saving", "validation", "putting in place"])
def test_a_method_with_state_that_the_system_kills_ends_with_the_same_bytes(
    layout: Layout, settings: Settings, phase: str
) -> None:
    settings = with_runtime(settings, save_minutes=EVERY_ITERATION, workers=0)

    def train() -> dict[str, bytes]:
        return train_into(layout, settings, CAM)

    expected = train()
    draw = random.Random(phase)
    for _ in range(3):
        killed_in(train, phase, 1 if phase == "putting in place" else draw.randint(1, 3), draw.uniform(0, 0.02))
    assert train() == expected


def test_boxes_are_stored_in_pixels_of_the_image_and_scored(layout: Layout, settings: Settings) -> None:
    train_into(layout, settings, CAM)
    stored = read_maps(layout.run(CAM) / "maps.npz", "test")
    assert isinstance(stored, StoredBoxes)
    sizes = np.array([[item.width, item.height] for item in read_split(layout.prepared(TRACK), "test").items])
    np.testing.assert_allclose(stored.boxes[:, 2:] - stored.boxes[:, :2], sizes / 2, rtol=1e-6)
    assert stored.top5.shape == (len(stored.ids), 3)
    assert read_record(layout, CAM)["method"]["class_agnostic"] is True
    evaluate_key(settings, CAM, layout, 1)
    assert '"class_agnostic": true' in layout.metrics(TRACK, CAM).read_text()


def test_an_epoch_can_be_selected_by_boxes(layout: Layout, settings: Settings) -> None:
    from wsolbench.training.selection import box_accuracy_of_val

    val = read_split(layout.prepared(TRACK), "val")
    ids, labels = np.array([item.id for item in val.items]), np.array([item.label for item in val.items])
    truths = np.stack([val.truth(item.id).boxes[0] for item in val.items])
    assert box_accuracy_of_val(StoredBoxes(ids, labels, truths), val) == 100
    assert box_accuracy_of_val(StoredBoxes(ids, labels, truths / 50), val) == 0


@pytest.mark.parametrize("optimiser", ["sgd", "adamw"])
def test_frozen_parts_are_not_optimised_and_vectors_do_not_decay(settings: Settings, optimiser: str) -> None:
    method = Stateful(ConvNet(), 3)
    track = settings.tracks[TRACK].model_copy(
        update={"no_decay_norm_bias": True, "optimiser": optimiser, "betas": [0.8, 0.95], "eps": 1e-6}
    )
    inner = build_optimiser(method, track, torch.device("cpu")).inner
    groups = inner.param_groups
    grouped = {id(p) for group in groups for p in group["params"]}
    assert grouped == {id(p) for p in method.parameters()} - {id(p) for p in method.backbone.stages.conv1.parameters()}
    for group in groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    if optimiser == "adamw":
        assert {(*group["betas"], group["eps"]) for group in groups} == {(0.8, 0.95, 1e-6)}


def test_groups_that_hold_a_frozen_parameter_are_refused(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stateful, "param_groups", lambda self, recipe: [{"params": list(self.parameters())}])
    with pytest.raises(SettingsError, match="Stateful"):
        build_optimiser(Stateful(ConvNet(), 3), settings.tracks[TRACK], torch.device("cpu"))


def test_test_images_may_have_another_size_than_the_crop(layout: Layout, tiny_settings: Settings) -> None:
    monkey = with_track(tiny_settings, test_crop=64, epochs=1)
    train_into(layout, monkey, f"{TRACK}-adl-0")
    stored = read_maps(layout.run(f"{TRACK}-adl-0") / "maps.npz", "test")
    assert stored.maps.shape[1:] == (16, 16)  # 10 x 10 at the crop of 40


def test_a_drop_path_reaches_the_backbone(layout: Layout, tiny_settings: Settings) -> None:
    with pytest.raises(SettingsError, match="drop_path"):  # which this one does not have
        train_into(layout, with_track(tiny_settings, drop_path=0.1), CAM)


@pytest.mark.parametrize("given", [{}, {"maps": torch.zeros(1, 2, 2), "boxes": torch.zeros(1, 4)}])
def test_a_prediction_has_either_maps_or_boxes(given: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match="either"):
        Prediction(torch.zeros(1, 3), **given)


@pytest.mark.parametrize("detached", [True, False])
@pytest.mark.parametrize("running_stats", [True, False])
def test_a_call_apart_leaves_no_trace_that_was_not_asked_for(detached: bool, running_stats: bool) -> None:
    block = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2))
    before = {name: value.clone() for name, value in block.state_dict().items()}
    features = torch.randn(2, 2, 3, 3, requires_grad=True)
    found = call_apart(block, features, detached=detached, running_stats=running_stats)
    found.square().sum().backward()
    assert features.grad.abs().sum() > 0
    assert all((parameter.grad is None) == detached for parameter in block.parameters())
    same = all(torch.equal(before[name], value) for name, value in block.state_dict().items())
    assert same is not running_stats
