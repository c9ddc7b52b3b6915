"""Several runs at once. The slow tests build on one another's state, in order."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.pipeline.conftest import Pipeline
from tests.pipeline.test_pipeline import TRACK, metrics
from wsolbench import launch
from wsolbench.errors import SettingsError
from wsolbench.settings import Settings, read_settings


@pytest.fixture
def settings() -> Settings:
    return read_settings(Path("params.yaml"))


def test_stages_of_a_run_stay_together_and_in_order() -> None:
    changed = ["evaluate@t-adl-0", "train@t-cam-0", "baseline@t-bound-0", "report@t", "summary", "train@t-old-0"]
    changed += ["evaluate_cell@half-0", "train_cell@half-0"]
    assert launch.stale_runs(changed, ["t-cam-0", "t-adl-0", "t-bound-0", "t-spg-0", "half-0"]) == {
        "half-0": ["train_cell@half-0", "evaluate_cell@half-0"],
        "t-cam-0": ["train@t-cam-0", "evaluate@t-cam-0"],
        "t-adl-0": ["evaluate@t-adl-0"],
        "t-bound-0": ["baseline@t-bound-0"],
    }


def test_one_worker_per_gpu_or_as_many_as_the_cpu_has_room_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert launch.worker_devices(settings, None) == ["3", "5"]
    assert launch.worker_devices(settings, 1) == ["3"]
    with pytest.raises(SettingsError, match="3 workers were asked for, and there are 2 GPUs"):
        launch.worker_devices(settings, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    two_threads = settings.model_copy(update={"runtime": settings.runtime.model_copy(update={"threads": 3})})
    assert launch.worker_devices(two_threads, None) == [None, None]
    assert launch.worker_devices(two_threads, 5) == [None] * 5


def start(pipeline: Pipeline, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["wsolbench", "launch", *arguments],
        cwd=pipeline.root,
        env=pipeline.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.slow
def test_everything_is_done_once_and_dvc_finds_it_done(pipeline: Pipeline) -> None:
    pipeline.edit_params(run__seeds=[0, 1], run__baselines=["mask_supervised"])
    done = pipeline.run("wsolbench", "launch", "--workers", "3")
    assert "Running stage 'summary'" in done.stdout
    assert pipeline.repro() == []
    lock = (pipeline.root / "dvc.lock").read_text()
    for name in ("cam", "adl"):
        assert metrics(pipeline, name)["status"] == "ok"
        assert lock.count(f"train@{TRACK}-{name}-") == 2
    assert "up to date" in pipeline.run("wsolbench", "launch").stderr


@pytest.mark.slow
def test_a_run_that_fails_is_named_and_the_others_are_finished(pipeline: Pipeline) -> None:
    method = pipeline.root / "methods" / "adl.py"
    source = method.read_text()
    method.write_text(source.replace("    def __init__(", "    broken = 1 / 0\n\n    def __init__(", 1))
    for path in (pipeline.root / "results" / "metrics" / TRACK).glob("*-cam-0.json"):
        path.unlink()
    done = pipeline.run("wsolbench", "launch", "--workers", "2", check=False)
    assert done.returncode == 1
    assert f"2 of 3 runs failed: {TRACK}-adl-0, {TRACK}-adl-1; the others are done" in done.stderr
    assert "ZeroDivisionError" in done.stderr
    assert metrics(pipeline, "cam")["status"] == "ok"
    method.write_text(source)
    assert pipeline.run("wsolbench", "launch").returncode == 0
    assert pipeline.repro() == []


@pytest.mark.slow
def test_stopped_it_leaves_nothing_running_and_goes_on_later(pipeline: Pipeline) -> None:
    method = pipeline.root / "methods" / "cam.py"
    method.write_text(method.read_text() + "\n# changed\n")
    process = start(pipeline, "--workers", "2")
    states = pipeline.root / ".wsolbench" / "work"
    deadline = time.monotonic() + 120
    while not list(states.glob("*-cam-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    second = pipeline.run("wsolbench", "launch", check=False)
    assert second.returncode == 1
    assert "another launch is going on" in second.stderr
    process.send_signal(signal.SIGTERM)
    process.wait(60)
    assert process.returncode != 0
    time.sleep(1)
    left = subprocess.run(["pgrep", "-f", f"wsolbench train {TRACK}-cam"], capture_output=True, text=True, check=False)
    assert left.stdout == ""
    assert pipeline.run("wsolbench", "launch").returncode == 0
    assert pipeline.repro() == []
    json.loads((pipeline.root / f"results/metrics/{TRACK}/{TRACK}-cam-1.json").read_text())
