"""A training that is killed or stopped goes on and ends with the same bytes."""

from __future__ import annotations

import io
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.utils import apply_to

from tests.training.conftest import TRACK
from tests.training.test_trainer import ADL, train_into, with_runtime, with_track
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.errors import InterruptedTrainingError, TrainingError
from wsolbench.files import bytes_sha256
from wsolbench.runs.scratch import stop_requests
from wsolbench.runs.state import StateKeeper, run_digest
from wsolbench.training import building, loop, trainer

EVERY_ITERATION = 1e-9  # minutes


@pytest.fixture(scope="module")
def settings(tiny_settings: Settings) -> Settings:
    """Two epochs of three iterations each, the last one smaller."""
    return with_runtime(with_track(tiny_settings, warmup_iters=2), save_minutes=EVERY_ITERATION)


@pytest.fixture(scope="module")
def expected(settings: Settings, prepared: Layout, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the files of a training with these settings that nothing disturbs."""
    root = tmp_path_factory.mktemp("undisturbed")
    (root / "data").symlink_to(prepared.root / "data")
    return train_into(Layout(root), settings, ADL)


class Killed(BaseException):
    """Stands for a SIGKILL: nothing in the package may catch it."""


def dying_after(monkeypatch: pytest.MonkeyPatch, target: Any, name: str, calls: int, error: BaseException) -> None:
    """Let a method raise once it has been called so often."""
    original, count = getattr(target, name), iter(range(calls))

    def counted(*args: Any, **kwargs: Any) -> Any:
        found = original(*args, **kwargs)
        if next(count, None) is None:
            raise error
        return found

    monkeypatch.setattr(target, name, counted)


def recorded_steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list to which every step adds how many were done before it."""
    steps: list[int] = []
    original = loop.TrainingModel.train_step

    def recorded(self: Any, *arguments: Any) -> None:
        steps.append(self.iteration)
        original(self, *arguments)

    monkeypatch.setattr(loop.TrainingModel, "train_step", recorded)
    return steps


def killed(patcher: pytest.MonkeyPatch, layout: Layout, settings: Settings, target: Any, name: str, calls: int) -> None:
    """Train until a method has been called so often, and no further."""
    with patcher.context() as patched:
        dying_after(patched, target, name, calls, Killed())
        with pytest.raises(Killed):
            train_into(layout, settings, ADL)


@pytest.mark.parametrize("iterations", range(6))
def test_killed_after_any_iteration_it_ends_with_the_same_bytes(
    layout: Layout, settings: Settings, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, iterations: int
) -> None:
    killed(monkeypatch, layout, settings, loop.TrainingModel, "train_step", iterations)
    steps = recorded_steps(monkeypatch)
    assert train_into(layout, settings, ADL) == expected
    assert steps == list(range(iterations, 6))  # nothing twice but the step whose state was not saved yet


@pytest.mark.slow
@pytest.mark.parametrize("calls", range(8))
def test_killed_while_saving_it_ends_with_the_same_bytes(
    layout: Layout, settings: Settings, expected: dict[str, bytes], monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    killed(monkeypatch, layout, settings, os, "fsync", calls)  # written, not yet renamed
    assert train_into(layout, settings, ADL) == expected


def test_an_epoch_shorter_than_the_time_between_states_has_none(
    layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StateKeeper, "save", lambda *_: pytest.fail("a state was written"))
    train_into(layout, with_runtime(tiny_settings, save_minutes=5), ADL)


@pytest.mark.slow
def test_workers_and_memory_format_do_not_matter_to_a_resumed_run(
    layout: Layout, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for changes in (
        {"channels_last": True, "amp": "bf16"},
        {"channels_last": False, "clip_grad_norm": 1.0},
    ):
        varied = with_track(settings, **changes)
        expected = train_into(layout, varied, ADL)
        killed(monkeypatch, layout, varied, loop.TrainingModel, "train_step", 4)
        assert train_into(layout, with_runtime(varied, workers=2), ADL) == expected


@pytest.mark.parametrize("change", ["lr", "seed", "threads", "code"])
def test_a_changed_run_never_resumes_an_old_state(
    layout: Layout, settings: Settings, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    killed(monkeypatch, layout, settings, loop.TrainingModel, "train_step", 4)
    changed, key = settings, ADL
    if change == "lr":
        changed = with_track(settings, lr=0.01)
    elif change == "threads":
        changed = with_runtime(settings, threads=2)
    elif change == "seed":
        key = f"{TRACK}-adl-1"
        layout.work(ADL).rename(layout.work(key))
    else:
        code = run_digest({}, Path(trainer.__file__))
        assert code != run_digest({}, Path(building.__file__))
        monkeypatch.setattr(loop, "run_digest", lambda *_: code)
    steps = recorded_steps(monkeypatch)
    train_into(layout, changed, key)
    assert steps == list(range(6))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def forge(path: Path, written: bytes) -> None:
    """Write what is no state with the digest that belongs to it."""
    path.write_bytes(bytes_sha256(written).encode() + written)


class Hostile:
    """Ends the process that unpickles it."""

    def __reduce__(self) -> tuple[Callable[[int], Any], tuple[int]]:
        return os._exit, (3,)


def saved(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "damage",
    [
        flip,
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:64]),
        lambda path: path.write_bytes(b""),
        lambda path: forge(path, b""),
        lambda path: forge(path, b"no state"),
        lambda path: forge(path, saved({"iteration": Hostile()})),
        lambda path: forge(path, path.read_bytes()[64:-100]),
    ],
)
def test_a_damaged_state_is_named_and_the_one_before_it_used(
    layout: Layout,
    settings: Settings,
    expected: dict[str, bytes],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
) -> None:
    killed(monkeypatch, layout, settings, loop.TrainingModel, "train_step", 4)
    states = sorted((layout.work(ADL) / "state").rglob("*.pt"))
    assert len(states) == 2
    damage(states[-1])
    with caplog.at_level(logging.INFO, logger="wsolbench"):
        assert train_into(layout, settings, ADL) == expected
    assert f"state {states[-1].with_suffix('')}." in caplog.text
    assert "goes on after iteration 3" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_leaves(
    layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    expected = train_into(layout, tiny_settings, ADL)
    former = signal.getsignal(number)
    original = loop.TrainingModel.train_step

    def warned(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.iteration == 1:
            os.kill(os.getpid(), number)
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(loop.TrainingModel, "train_step", warned)
        message = f"{ADL}: stopped by {number.name} after iteration 2 of 6"
        with pytest.raises(InterruptedTrainingError, match=message) as caught:
            train_into(layout, tiny_settings, ADL)
    assert caught.value.exit_status == 128 + number
    assert signal.getsignal(number) is former
    assert not layout.run(ADL).joinpath("checkpoint.safetensors.tmp").exists()
    assert train_into(layout, tiny_settings, ADL) == expected


def test_a_second_signal_acts_as_ever() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
    try:
        with stop_requests() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.number == signal.SIGINT
            with pytest.raises(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def saved_tensors(layout: Layout) -> list[torch.Tensor]:
    found: list[torch.Tensor] = []
    for path in (layout.work(ADL) / "state").rglob("*.pt"):
        state = torch.load(io.BytesIO(path.read_bytes()[64:]), weights_only=True)
        apply_to(state, lambda value: isinstance(value, torch.Tensor), found.append)
    return found


def spoiling(monkeypatch: pytest.MonkeyPatch, iteration: int, what: str) -> None:
    """Let one iteration (from 1) end with a loss, or a weight, that is no number."""
    original = loop.TrainingModel.train_step

    def spoiled(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = original(self, *args, **kwargs)
        if self.iteration == iteration:
            with torch.no_grad():
                (self.losses if what == "loss" else next(self.method.parameters())).fill_(torch.nan)
        return found

    monkeypatch.setattr(loop.TrainingModel, "train_step", spoiled)


@pytest.mark.parametrize("iteration", [1, 4, 10, 11, 18])
def test_a_loss_that_is_not_finite_is_told_with_its_iteration_and_the_recipe(
    layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch, iteration: int
) -> None:
    """At any place in the blocks of ten in which losses are looked at."""
    spoiling(monkeypatch, iteration, "loss")
    settings = with_track(tiny_settings, batch=2, amp="bf16")  # eleven iterations per epoch
    epoch = 1 + (iteration - 1) // 11
    message = (
        rf"{ADL}: loss 'classification' of ADL is not finite at iteration {iteration} of 22 "
        rf"\(epoch {epoch}, batch 2, amp bf16, lr 0\.05\)\. Lower the learning rate .*set amp: off; the last state"
    )
    with pytest.raises(TrainingError, match=message):
        train_into(layout, settings, ADL)
    assert all(torch.isfinite(value).all() for value in saved_tensors(layout))


@pytest.mark.parametrize("what", ["loss", "weight"])
@pytest.mark.parametrize("iteration", [2, 3])  # within an epoch, and at its end
def test_a_state_that_is_not_finite_is_never_saved(
    layout: Layout, settings: Settings, monkeypatch: pytest.MonkeyPatch, iteration: int, what: str
) -> None:
    spoiling(monkeypatch, iteration, what)
    where = {"loss": "loss 'classification' of ADL is not finite at", "weight": "'backbone.* is not finite after"}[what]
    with pytest.raises(TrainingError, match=rf"{where} iteration {iteration}.*the last state that was saved"):
        train_into(layout, settings, ADL)
    names = sorted(path.name for path in (layout.work(ADL) / "state").rglob("*.pt"))
    assert names == [f"{number:09d}.pt" for number in range(1, iteration)]
    assert all(torch.isfinite(value).all() for value in saved_tensors(layout))


def test_a_state_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    keeper = StateKeeper(tmp_path, "a" * 64)
    tree = {"x": [1, 2.5, None, True, "y"], 3: (torch.arange(4).view(2, 2).t(), {}), "z": {"mapping": [], "tensor": 1}}
    keeper.save(7, tree)
    assert [path.name for path in keeper.folder.rglob("*.*")] == ["000000007.pt"]
    found = keeper.load()
    assert torch.equal(found[3][0], tree[3][0])
    assert found[3][1] == {}
    assert found["x"] == tree["x"]
    assert found["z"] == tree["z"]
    assert StateKeeper(tmp_path, "b" * 64).load() is None
    assert list(tmp_path.iterdir()) == []
