"""How far a training is, for whoever waits for it."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.training.conftest import TRACK
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.runs import progress
from wsolbench.runs.progress import PROGRESS_FILE, Progress, duration, meter, read_progress, write_progress
from wsolbench.training import progress as engine_progress
from wsolbench.training.trainer import train


def test_a_training_says_how_far_it_is_from_its_first_iteration_on(
    layout: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[tuple[Path, Progress]] = []
    monkeypatch.setattr(engine_progress, "_WRITE_S", 0.0)
    monkeypatch.setattr(engine_progress, "write_progress", lambda path, seen: written.append((path, seen)))
    run = tiny_settings.resolve(f"{TRACK}-cam-0")
    train(run, tiny_settings, layout)
    assert {path for path, _ in written} == {layout.work(run.key) / PROGRESS_FILE}
    seen = [each for _, each in written]
    assert [each.done for each in seen] == [8, 16, 22, 30, 38, 44]  # 22 images in batches of 8, twice
    assert {each.total for each in seen} == {44}
    assert [each.fresh for each in seen] == [each.done for each in seen]
    assert all(0 < one.seconds < other.seconds for one, other in itertools.pairwise(seen))
    assert seen[-1].note.startswith("epoch 2/2, ")


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
