"""A training that is killed at any moment of any phase goes on and ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median
from typing import Any

import pytest

from tests.training.test_resume import EVERY_ITERATION
from tests.training.test_trainer import ADL, train_into, with_runtime, with_track
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.runs.state import StateKeeper
from wsolbench.training import loop, trainer
from wsolbench.training.selection import EpochSelector

PHASES: dict[str, tuple[Any, str]] = {
    "training": (loop.TrainingModel, "train_step"),
    "saving": (StateKeeper, "save"),
    "validation": (EpochSelector, "score_epoch"),
    "map writing": (trainer, "write_maps"),
    "putting in place": (trainer, "replace_directory"),
}


def forked(train: Callable[[], object]) -> tuple[int, int]:
    """Train in a child of this warm process; return its number and a pipe that names each phase that it enters."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        return child, reading
    try:
        for letter, (target, name) in enumerate(PHASES.values()):
            original = getattr(target, name)

            def noted(*args: Any, original: Any = original, letter: int = letter, **kwargs: Any) -> Any:
                os.write(writing, bytes([letter]))
                return original(*args, **kwargs)

            setattr(target, name, noted)
        train()
    except BaseException:  # noqa: BLE001 - a forked child must not return into pytest
        os._exit(9)
    os._exit(0)


def killed_in(train: Callable[[], object], phase: str, time_in: int, delay: float) -> bool:
    """Kill a child so long after it has entered a phase so often; return False if it ended before."""
    child, reading = forked(train)
    wanted = list(PHASES).index(phase)
    while time_in and (entered := os.read(reading, 1)):
        time_in -= entered[0] == wanted
    time.sleep(delay if not time_in else 0)
    if not time_in:
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    os.close(reading)
    assert status in {0, signal.SIGKILL}
    return status == signal.SIGKILL


def durations(train: Callable[[], object]) -> dict[str, float]:
    """Return the median seconds from entering a phase to entering the next, of an undisturbed training."""
    child, reading = forked(train)
    entered: list[tuple[str, float]] = []
    while letter := os.read(reading, 1):
        entered.append((list(PHASES)[letter[0]], time.monotonic()))
    entered.append(("", time.monotonic()))
    assert os.waitpid(child, 0)[1] == 0
    os.close(reading)
    return {
        phase: median(later - now for (name, now), (_, later) in pairwise(entered) if name == phase) for phase in PHASES
    }


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_killed_at_random_moments_of_a_phase_it_ends_with_the_same_bytes(
    layout: Layout, tiny_settings: Settings, phase: str
) -> None:
    """Six kills in each of five phases, each on top of what the one before has left."""
    # val is predicted after every epoch, too
    settings = with_track(tiny_settings, warmup_iters=2, epochs=4, selection="val_cls")
    settings = with_runtime(settings, save_minutes=EVERY_ITERATION)

    def train() -> dict[str, bytes]:
        return train_into(layout, settings, ADL)

    expected = train()
    length = durations(train)[phase]
    draw = random.Random(phase)
    kills = 0
    while kills < 6:
        once = phase in {"map writing", "putting in place"}
        kills += killed_in(train, phase, 1 if once else draw.randint(1, 3), draw.uniform(0, length))
        if layout.run(ADL).exists():  # killed after the end, or not at all
            assert {path.name: path.read_bytes() for path in layout.run(ADL).iterdir()} == expected
    assert train() == expected
