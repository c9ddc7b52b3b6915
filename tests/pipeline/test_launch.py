"""Several runs at once. The tests build on one another's state, in order."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import submitit
from ruamel.yaml import YAML

from tests.pipeline.conftest import Pipeline
from tests.pipeline.test_pipeline import TRACK, metrics, wait_until
from wsolbench.launch.slurm import StageRunner

pytestmark = pytest.mark.slow


class Launch:
    """A launch in the background, ended with its test."""

    def __init__(self, pipeline: Pipeline, *arguments: str) -> None:
        self.process = subprocess.Popen(
            ["wsolbench", "launch", *arguments],
            cwd=pipeline.root,
            env=pipeline.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def end(self, number: int | None = None) -> tuple[int, str]:
        """Send a signal and return exit status and messages."""
        if number is not None:
            self.process.send_signal(number)
        messages = self.process.communicate(timeout=300)[1]
        return self.process.returncode, messages


@pytest.fixture
def start(pipeline: Pipeline) -> Iterator[Callable[..., Launch]]:
    started: list[Launch] = []

    def start_one(*arguments: str) -> Launch:
        started.append(Launch(pipeline, *arguments))
        return started[-1]

    yield start_one
    for one in started:
        if one.process.poll() is None:
            one.end(signal.SIGTERM)


def touch_method(pipeline: Pipeline, name: str) -> None:
    """Make a method's runs stale, and long enough for two of them to be at work at the same time."""
    changes = {f"methods__{name}": {"tracks": {TRACK: {"train": {"epochs": 15}}}}, "run__seeds": [0, 1]}
    pipeline.edit_params(**changes)
    method = pipeline.root / "methods" / f"{name}.py"
    method.write_text(method.read_text() + "\nCHANGED = True\n")


def trainers(pipeline: Pipeline) -> list[int]:
    """Processes that train in this copy of the repository, each the leader of its session."""
    logs = pipeline.root.resolve() / "results" / "logs" / "launch"
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            printed = (folder / "fd" / "1").readlink()
            if (
                printed.parent == logs
                and printed.name.startswith("train@")
                and os.getsid(int(folder.name)) == int(folder.name)
            ):
                found.append(int(folder.name))
    return found


def test_everything_is_done_once_and_dvc_finds_it_done(pipeline: Pipeline) -> None:
    pipeline.edit_params(run__seeds=[0, 1], run__seeded_baselines=["mask_supervised"])
    done = pipeline.run("wsolbench", "launch", "--workers", "3")
    assert pipeline.repro() == []
    ran = [log.stem for log in (pipeline.root / "results" / "logs" / "launch").iterdir()]
    locked = YAML(typ="safe").load((pipeline.root / "dvc.lock").read_text())["stages"]
    assert sorted(ran) == sorted(locked)
    assert {f"train@{TRACK}-{name}-{seed}" for name in ("cam", "adl") for seed in (0, 1)} < set(locked)
    assert f"{len(ran) - 2} of {len(ran) - 2} stages done" in done.stderr  # but for resolve and look
    assert metrics(pipeline, "cam")["status"] == "ok"
    assert "up to date" in pipeline.run("wsolbench", "launch").stdout


def test_a_run_that_fails_is_named_and_the_others_are_finished(pipeline: Pipeline) -> None:
    method = pipeline.root / "methods" / "adl.py"
    source = method.read_text()
    method.write_text(source.replace("    def __init__(", "    broken = 1 / 0\n\n    def __init__(", 1))
    (pipeline.root / f"results/metrics/{TRACK}/{TRACK}-cam-0.json").unlink()
    done = pipeline.run("wsolbench", "launch", "--workers", "2", check=False)
    method.write_text(source)
    assert done.returncode == 1
    for seed in (0, 1):
        assert f"FAILED train@{TRACK}-adl-{seed}: it ended with status" in done.stderr
    assert "not run: summary" in done.stderr
    assert metrics(pipeline, "cam")["status"] == "ok"
    assert pipeline.run("wsolbench", "launch").returncode == 0
    assert pipeline.repro() == []


def test_stopped_it_leaves_nothing_running_and_a_second_launch_is_refused_meanwhile(
    pipeline: Pipeline, start: Callable[..., Launch]
) -> None:
    touch_method(pipeline, "cam")
    first = start("--workers", "2")
    wait_until(lambda: len(trainers(pipeline)) == 2, 300)
    second = pipeline.run("wsolbench", "launch", check=False)
    assert second.returncode == 1
    assert f"process {first.process.pid} holds" in second.stderr
    status, messages = first.end(signal.SIGTERM)
    assert status == 130
    assert "calling it again goes on" in messages
    assert trainers(pipeline) == []
    assert pipeline.run("wsolbench", "launch").returncode == 0
    assert pipeline.repro() == []
    json.loads((pipeline.root / f"results/metrics/{TRACK}/{TRACK}-cam-1.json").read_text())


def test_a_killed_training_fails_its_run_only(pipeline: Pipeline, start: Callable[..., Launch]) -> None:
    touch_method(pipeline, "cam")
    launch = start("--workers", "2")
    wait_until(lambda: len(trainers(pipeline)) == 2, 300)
    os.kill(trainers(pipeline)[0], signal.SIGKILL)
    status, messages = launch.end()
    assert status == 1
    assert re.search(rf"FAILED train@{TRACK}-cam-[01]: it was killed by SIGKILL", messages)
    assert messages.count("FAILED train@") == 1
    assert pipeline.run("wsolbench", "launch").returncode == 0
    assert pipeline.repro() == []


def test_after_a_killed_launch_its_workers_stop_and_the_next_launch_waits_for_them(
    pipeline: Pipeline, start: Callable[..., Launch]
) -> None:
    touch_method(pipeline, "cam")
    launch = start("--workers", "2")
    wait_until(lambda: len(trainers(pipeline)) == 2, 300)
    before = set(trainers(pipeline))
    launch.end(signal.SIGKILL)
    assert pipeline.run("wsolbench", "launch").returncode == 0
    assert not before & set(trainers(pipeline))
    assert pipeline.repro() == []
    assert not list((pipeline.root / ".wsolbench" / "launch").glob("jobs-*"))


def is_job(command: Path, folder: Path) -> bool:
    try:
        words = command.read_bytes().decode().split("\0")
    except OSError:
        return False
    return "submitit.core._submit" in words and any(str(folder) in word for word in words)


def test_a_job_of_a_cluster_whose_time_is_up_is_queued_again_and_goes_on(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch_method(pipeline, "cam")
    pipeline.run("dvc", "repro", "--single-item", "resolve")
    for name, value in pipeline.environment().items():
        monkeypatch.setenv(name, value)
    executor = submitit.AutoExecutor(tmp_path, cluster="local")
    executor.update_parameters(timeout_min=10, gpus_per_node=0)
    job = executor.submit(StageRunner(f"train@{TRACK}-cam-0", pipeline.root, tmp_path / "log", tmp_path / "lock"))
    progress = pipeline.root / ".wsolbench" / "work" / f"{TRACK}-cam-0" / "progress.json"
    wait_until(progress.exists, 300)
    jobs = [each.parent.name for each in Path("/proc").glob("[0-9]*/cmdline") if is_job(each, tmp_path)]
    os.kill(int(jobs[0]), signal.SIGUSR2)  # what Slurm is asked to send before it ends a job
    assert job.result() == 0
    assert pipeline.run("wsolbench", "launch").returncode == 0
    assert pipeline.repro() == []
