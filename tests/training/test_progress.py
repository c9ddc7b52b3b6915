"""How far a training is, for whoever waits for it."""

from __future__ import annotations

import itertools
import logging
import re
from pathlib import Path
from typing import Any

import pytest

from tests.training.conftest import TRACK
from wsolbench.cli import _Lines
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.runs import progress
from wsolbench.runs.progress import PROGRESS_FILE, Progress, duration, meter, read_progress, write_progress
from wsolbench.training import history, hooks, loop
from wsolbench.training.trainer import train


def test_a_training_says_how_far_it_is_from_its_first_iteration_on(
    layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[Path, Progress]] = []
    monkeypatch.setattr(hooks, "_WRITE_S", 0.0)
    monkeypatch.setattr(hooks, "write_progress", lambda path, seen: written.append((path, seen)))
    run = tiny_settings.resolve(f"{TRACK}-cam-0")
    train(run, tiny_settings, layout)
    assert {path for path, _ in written} == {layout.work(run.key) / PROGRESS_FILE}
    seen = [each for _, each in written]
    assert [each.done for each in seen] == [8, 16, 22, 30, 38, 44]  # 22 images in batches of 8, twice
    assert {each.total for each in seen} == {44}
    assert [each.fresh for each in seen] == [each.done for each in seen]
    assert all(0 < one.seconds < other.seconds for one, other in itertools.pairwise(seen))
    assert [each.note.partition(",")[0] for each in seen] == ["epoch 1/2"] * 3 + ["epoch 2/2"] * 3


def test_the_loss_that_is_shown_is_that_of_the_last_iterations(
    layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes: list[str] = []
    monkeypatch.setattr(hooks, "_WRITE_S", 0.0)
    monkeypatch.setattr(hooks, "write_progress", lambda _, seen: notes.append(seen.note))
    monkeypatch.setattr(history, "BLOCK", 1)
    losses: list[float] = []
    step = loop.TrainingModel.train_step

    def noting(self: loop.TrainingModel, batch: Any, optimiser: Any) -> None:
        step(self, batch, optimiser)
        losses.append(float(self.losses.sum()))

    monkeypatch.setattr(loop.TrainingModel, "train_step", noting)
    train(tiny_settings.resolve(f"{TRACK}-adl-0"), tiny_settings, layout)
    assert len(set(losses)) == len(losses) == len(notes)
    assert [note.partition(", loss ")[2] for note in notes] == [f"{loss:.3f}" for loss in losses]


def test_a_log_line_beside_a_bar_has_a_line_for_itself(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes standard error a terminal for rich
    monkeypatch.setenv("COLUMNS", "100")
    handler = _Lines()
    with meter("trained", 4, "images") as shown:
        for epoch in (1, 2):
            shown.advance(2, "loss 1.0")
            handler.emit(logging.makeLogRecord({"msg": f"epoch {epoch}/2: loss 1.0"}))
    printed = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    lines = re.split(r"[\r\n]+", printed)
    assert {"epoch 1/2: loss 1.0", "epoch 2/2: loss 1.0"} <= {line.rstrip() for line in lines}
    assert [line for line in lines if "4/4" in line]


@pytest.mark.parametrize(("hours", "most"), [(0.05, 20), (10, 120)])
def test_a_log_is_neither_silent_nor_full(
    hours: float, most: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    steps = int(hours * 3600)
    with meter("long", steps, "images") as shown:
        for _ in range(steps):
            now += 1
            shown.advance()
    assert most / 2 <= len(capsys.readouterr().err.splitlines()) <= most


def test_progress_is_read_as_it_was_written_and_is_none_where_there_is_none(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    assert read_progress(file) is None
    seen = Progress(16, 44, 8, 1.5, "epoch 1/2")
    write_progress(file, seen)
    assert read_progress(file) == seen
    file.write_text('{"done": 1}')
    assert read_progress(file) is None


def test_what_was_done_before_does_not_count_for_the_rate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    with meter("resumed", 1000, "images", before=900) as shown:
        now = 20.0
        shown.advance(10)
    assert "910/1000 images, 0.5/s, 3 min left" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(40, "40 s"), (600, "10 min"), (12600, "3.5 h")])
def test_durations_are_said_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text
