"""What a launch prints, on a terminal and in a log."""

from __future__ import annotations

import re

import pytest

from wsolbench.launch.display import Display

ROWS = [("train@toy-cam-0", "epoch 3/20, loss 1.234", 65.0), ("evaluate@toy-adl-0", "", 4.0)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_in_a_log_what_runs_is_said_at_growing_distances_and_not_beside_another_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with Display(87, clock) as display:
        for second in range(10 * 3600):
            clock.now = float(second)
            if second == 30:
                display.say("prepare@toy: 30 s")
            display.update(ROWS, 12, 300.0)
    first, second, *rest = capsys.readouterr().err.splitlines()
    assert first == "prepare@toy: 30 s"
    assert second == (
        "running: train@toy-cam-0 (epoch 3/20, loss 1.234); evaluate@toy-adl-0; 12/87 stages done, about 5 min left"
    )
    assert 40 < len(rest) < 90


def test_of_many_jobs_some_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with Display(200, clock) as display:
        clock.now = 60.0
        display.update([(f"train@toy-cam-{seed}", "waits", 60.0) for seed in range(100)], 0, None)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.count("train@") == 12
    assert line.endswith("train@toy-cam-11 (waits) and 88 more; 0/200 stages done")


def test_on_a_terminal_what_runs_is_shown_in_place_and_lines_stay_above(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # what makes standard error a terminal for rich
    monkeypatch.setenv("COLUMNS", "100")
    with Display(87) as display:
        display.update(ROWS, 12, 300.0)
        display.say("prepare@toy: 30 s")
        display.update(ROWS[:1], 13, None)
    printed = capsys.readouterr().err
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", printed))]
    assert "train@toy-cam-0     epoch 3/20, loss 1.234  65 s" in lines
    assert "prepare@toy: 30 s" in lines
    assert lines[-2].endswith("13/87 stages done")
    assert "\x1b[1A\x1b[2K" in printed.rpartition("13/87")[2]  # the display is removed at the end
