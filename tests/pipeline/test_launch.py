"""Several runs at once. The slow tests build on one another's state, in order."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import submitit
from ruamel.yaml import YAML

from tests.pipeline.conftest import Pipeline
from tests.pipeline.test_pipeline import TRACK, metrics, wait_until
from wsolbench.config.settings import RuntimeSettings
from wsolbench.errors import LaunchError, SettingsError
from wsolbench.launch.command import _look
from wsolbench.launch.forecast import Forecast
from wsolbench.launch.graph import Task, tasks_of
from wsolbench.launch.local import LocalBackend
from wsolbench.launch.pool import Pool
from wsolbench.launch.repository import Repository
from wsolbench.launch.slurm import SlurmBackend, StageRunner

STAGES = {
    "prepare": "wsolbench prepare",
    "train-a": "wsolbench train a",
    "evaluate-a": "wsolbench evaluate a",
    "train-b": "wsolbench train b",
    "evaluate-b": "wsolbench evaluate b",
    "report": "wsolbench report",
    "summary": "wsolbench summary",
}
EDGES = [
    ("prepare", "train-a"),
    ("prepare", "evaluate-a"),
    ("prepare", "train-b"),
    ("prepare", "evaluate-b"),
    ("train-a", "evaluate-a"),
    ("train-b", "evaluate-b"),
    *((f"evaluate-{run}", report) for run in "ab" for report in ("report", "summary")),
]


def test_tasks_are_what_is_stale_each_after_what_it_needs() -> None:
    tasks = {task.name: task for task in tasks_of(STAGES, EDGES, STAGES)}
    assert next(iter(tasks)) == "prepare"
    assert tasks["evaluate-a"].after == {"prepare", "train-a"}
    assert (tasks["train-a"].trains, tasks["evaluate-a"].trains) == ("a", "")
    assert [name for name, task in tasks.items() if task.is_report] == ["report", "summary"]
    assert [task.name for task in tasks_of(STAGES, EDGES, ["train-b"])] == [
        "train-b",
        "evaluate-b",
        "report",
        "summary",
    ]
    assert tasks_of(STAGES, EDGES, ["summary"]) == [Task("summary", "wsolbench summary", is_report=True)]


TOY = """
stages:
  look:
    cmd: cp ../outside.txt seen.txt
    outs: [seen.txt]
    always_changed: true
  prepare:
    cmd: cp seen.txt index.txt
    deps: [seen.txt]
    outs: [index.txt]
"""


def toy(root: Path, text: str = TOY) -> None:
    """Make a directory a repository of git and DVC with two stages."""
    root.mkdir()
    (root / "dvc.yaml").write_text(text)
    for command in (["git", "init", "--quiet"], [sys.executable, "-P", "-m", "dvc", "init", "--quiet"]):
        subprocess.run(command, cwd=root, check=True)


def local(root: Path, places: int = 1, gpus: Sequence[str] = ()) -> tuple[Repository, LocalBackend]:
    repository = Repository(root)
    return repository, LocalBackend(repository, root, places, list(gpus), root / ".dvc" / "tmp" / "lock-of-workers")


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of pygtrie, which DVC uses
def test_each_launch_looks_whether_data_outside_have_changed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, outside = tmp_path / "repository", tmp_path / "outside.txt"
    toy(root)
    monkeypatch.chdir(root)
    log = root / "results" / "logs" / "launch" / "prepare.log"
    for content, stale, runs in (("one", 1, True), ("one", 0, False), ("two", 1, True), ("one", 1, False)):
        outside.write_text(content)
        repository, backend = local(root)
        assert [task.name for task in repository.always_run()] == ["look"]
        _look(root, repository, backend)
        assert (root / "seen.txt").read_text() == content
        tasks = repository.stale()
        assert [(task.name, task.after) for task in tasks] == [("prepare", frozenset())] * stale
        log.unlink(missing_ok=True)
        assert Pool(backend, backend, root, Forecast(lambda task: 0)).run(tasks).failed == {}
        assert log.is_file() is runs  # the last time, DVC has the outputs of the first
        assert (root / "index.txt").read_text() == content
    outside.unlink()
    repository, backend = local(root)
    assert _look(root, repository, backend) == ["look"]
    assert "outside.txt" in capfd.readouterr().err


STORED = f"""{TOY}
  evaluate:
    cmd: cp index.txt metrics/one.txt
    deps: [index.txt]
    outs: [metrics/one.txt: {{cache: false, persist: true}}]
  report:
    cmd: cp metrics/one.txt report.txt
    deps: [metrics]
    outs: [report.txt]
"""


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_results_of_a_track_whose_data_are_not_here_stay_and_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "repository"
    toy(root, STORED)
    monkeypatch.chdir(root)
    (root / "metrics").mkdir()
    (root / "metrics" / "one.txt").write_text("stored")
    repository, backend = local(root)
    assert [task.name for task in repository.stale()] == ["prepare", "evaluate", "report"]
    failed = _look(root, repository, backend)  # outside.txt is not there
    tasks = repository.stale(failed)
    assert [task.name for task in tasks] == ["report"]
    assert Pool(backend, backend, root, Forecast(lambda task: 0)).run(tasks).failed == {}
    assert (root / "report.txt").read_text() == "stored"
    (root / "metrics" / "one.txt").unlink()
    (root / "metrics").rmdir()
    assert local(root)[0].stale(failed) == []  # there is nothing to report


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_nothing_is_launched_by_recipes_of_before(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    toy(root, TOY.replace("  look:\n    cmd: cp ../outside.txt", "  resolve:\n    cmd: cp missing"))
    with pytest.raises(LaunchError, match="the runs cannot be resolved"):
        _look(root, *local(root))


class NothingDone:
    """Stands for DVC's part."""

    def is_done(self, name: str) -> bool:
        return False

    def record(self, name: str) -> None:
        pass


def test_each_training_has_a_gpu_for_itself_and_an_evaluation_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    started: list[tuple[str, Mapping[str, str]]] = []

    class Ended(BaseProcess):
        exitcode, pid = 0, 1

        def start(self) -> None:
            pass

    def process(how: str) -> Callable[..., Ended]:
        def make(args: Sequence[Any], **_: object) -> Ended:
            started.append((how, args[3]))
            return Ended()

        return make

    monkeypatch.setattr("wsolbench.launch.local.get_context", lambda how: SimpleNamespace(Process=process(how)))
    before = dict(os.environ)
    backend = LocalBackend(NothingDone(), tmp_path, 2, ["3", "GPU-5f"], tmp_path / "lock")  # type: ignore[arg-type]
    train, evaluate = Task("train", "wsolbench train a"), Task("evaluate")
    assert backend.places == {True: 2, False: 2}
    assert (backend.on_gpu(train), backend.on_gpu(evaluate)) == (True, False)
    first = backend.start(train)
    backend.start(train)
    backend.start(evaluate)
    assert first.poll() == 0
    backend.start(train)
    chosen = [(how, each["CUDA_VISIBLE_DEVICES"]) for how, each in started]
    assert chosen == [("spawn", "3"), ("spawn", "GPU-5f"), ("forkserver", ""), ("spawn", "3")]
    assert dict(os.environ) == before  # what is for the server only does not stay
    assert {each["LOKY_MAX_CPU_COUNT"] for _, each in started} == {"2"}  # of eight, for two with a GPU and two without


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands by which submitit tells that Slurm is here; none is called."""
    for command in ("srun", "sbatch"):
        (tmp_path / command).write_text("#!/bin/sh\nexit 1\n")
        (tmp_path / command).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")


def slurm(tmp_path: Path, runtime: RuntimeSettings, options: Mapping[str, str]) -> SlurmBackend:
    return SlurmBackend(tmp_path, tmp_path, tmp_path / "lock", 2, runtime, options)


@pytest.mark.usefixtures("sbatch")
def test_slurm_jobs_get_the_cpus_of_a_run_one_gpu_to_train_and_the_given_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"partition": "gpu", "time": "90", "mem_gb": "8"}
    backend = slurm(tmp_path, RuntimeSettings(threads=3, workers=2), options)
    given = backend._executor._executor.parameters
    assert given["cpus_per_task"] == 5
    assert given["gpus_per_node"] == 1
    assert given["partition"] == "gpu"
    assert given["time"] == 90
    assert given["mem"] == "8GB"
    monkeypatch.setattr(backend._executor, "submit", lambda _: SimpleNamespace(cancel=None))
    for task, gpus in ((Task("evaluate@a", "wsolbench evaluate a"), 0), (Task("train@a", "wsolbench train a"), 1)):
        backend.start(task)
        assert given["gpus_per_node"] == gpus
    for device, cpus in (("cpu", 3), ("auto", 7)):
        chosen = slurm(tmp_path, RuntimeSettings(threads=3, device=device), options)
        assert chosen._executor._executor.parameters["cpus_per_task"] == cpus


@pytest.mark.usefixtures("sbatch")
def test_an_unknown_slurm_option_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="partitoin"):
        slurm(tmp_path, RuntimeSettings(), {"partitoin": "gpu"})


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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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
