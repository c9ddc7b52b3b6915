"""Several runs at once. The slow tests build on one another's state, in order."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from wsolbench.launch import worker
from wsolbench.launch.command import _look
from wsolbench.launch.graph import Unit, looking_stages, stale_units, units_of
from wsolbench.launch.local import LocalBackend
from wsolbench.launch.processes import dvc_command
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


def test_a_run_is_one_unit_after_what_it_shares_and_before_the_reports() -> None:
    evaluated = frozenset({"evaluate-a", "evaluate-b"})
    assert units_of(STAGES, EDGES, STAGES) == [
        Unit(("prepare",)),
        Unit(("train-a", "evaluate-a"), frozenset({"prepare"}), "a"),
        Unit(("train-b", "evaluate-b"), frozenset({"prepare"}), "b"),
        Unit(("report",), evaluated, is_report=True),
        Unit(("summary",), evaluated, is_report=True),
    ]


def test_with_gpus_an_evaluation_is_a_unit_of_its_own() -> None:
    units = units_of(STAGES, EDGES, ["train-a"], apart=True)
    assert [unit.stages for unit in units] == [("train-a",), ("evaluate-a",), ("report",), ("summary",)]
    assert [unit.trains for unit in units] == ["a", "", "", ""]


def test_what_depends_on_a_stale_stage_is_stale() -> None:
    units = units_of(STAGES, EDGES, ["train-b"])
    assert [unit.stages for unit in units] == [("train-b", "evaluate-b"), ("report",), ("summary",)]
    assert next(unit.stages for unit in units_of(STAGES, EDGES, ["evaluate-a"])) == ("evaluate-a",)
    assert units_of(STAGES, EDGES, ["summary"]) == [Unit(("summary",), is_report=True)]


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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of pygtrie, which DVC uses
def test_each_launch_looks_whether_data_outside_have_changed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, outside = tmp_path / "repository", tmp_path / "outside.txt"
    root.mkdir()
    monkeypatch.chdir(root)
    (root / "dvc.yaml").write_text(TOY)
    outside.write_text("one")
    for command in (["git", "init", "--quiet"], dvc_command("init", "--quiet"), dvc_command("repro", "--quiet")):
        subprocess.run(command, cwd=root, check=True)
    assert looking_stages(root) == ["look"]
    for content, expected in (("one", []), ("two", [Unit(("prepare",))]), ("one", [])):
        outside.write_text(content)
        _look(root, local(root, 1, []))
        assert (root / "seen.txt").read_text() == content
        found = [(unit.stages, unit.after) for unit in stale_units(root)]
        assert found == [(unit.stages, unit.after) for unit in expected]
    outside.unlink()
    capfd.readouterr()
    _look(root, local(root, 1, []))
    assert "outside.txt" in capfd.readouterr().err


@pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")
def test_nothing_is_launched_by_recipes_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(
        TOY.replace("  look:\n    cmd: cp ../outside.txt", "  resolve:\n    cmd: cp missing")
    )
    for command in (["git", "init", "--quiet"], dvc_command("init", "--quiet")):
        subprocess.run(command, cwd=tmp_path, check=True)
    with pytest.raises(LaunchError, match="the runs cannot be resolved"):
        _look(tmp_path, local(tmp_path, 1, []), lambda _: True)


def local(tmp_path: Path, places: int, gpus: list[str]) -> LocalBackend:
    return LocalBackend(tmp_path, places, gpus, tmp_path / "lock")


def test_each_training_has_a_gpu_for_itself_and_an_evaluation_takes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    started: list[Mapping[str, str]] = []

    def process(args: Sequence[Any], **_: object) -> SimpleNamespace:
        started.append(args[3])
        return SimpleNamespace(pid=1, start=lambda: None, exitcode=0)

    before = dict(os.environ)
    backend = local(tmp_path, 2, ["3", "GPU-5f"])
    monkeypatch.setattr(backend, "_context", SimpleNamespace(Process=process))
    train, evaluate = Unit(("train",), trains="a"), Unit(("evaluate",))
    assert backend.places == {True: 2, False: 2}
    assert (backend.on_gpu(train), backend.on_gpu(evaluate)) == (True, False)
    first = backend.start(train)
    backend.start(train)
    backend.start(evaluate)
    assert first.poll() == 0
    backend.start(train)
    assert [each["CUDA_VISIBLE_DEVICES"] for each in started] == ["3", "GPU-5f", "", "3"]
    assert dict(os.environ) == before  # what is for the server only does not stay
    assert {each["LOKY_MAX_CPU_COUNT"] for each in started} == {"2"}  # of eight, for two with a GPU and two without


@pytest.mark.parametrize(
    ("command", "gpu", "forks"),
    [
        ("wsolbench train a", "", True),
        ("wsolbench train a", "3", False),
        ("cp a b", "", False),
        ("wsolbench a; b", "", False),
    ],
)
def test_our_commands_are_forked_where_no_gpu_is_theirs(
    command: str, gpu: str, forks: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr(worker, "_shell", lambda *_, **__: done.append("shell"))
    monkeypatch.setattr(os, "fork", lambda: done.append("fork") or 1)
    monkeypatch.setattr(os, "waitpid", lambda *_: (1, 0))
    worker._forked(None, command, cwd=".", env={"CUDA_VISIBLE_DEVICES": gpu})
    assert done == (["fork"] if forks else ["shell"])


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
def test_slurm_jobs_get_the_cpus_of_a_run_one_gpu_and_the_given_options(tmp_path: Path) -> None:
    options = {"partition": "gpu", "time": "90", "mem_gb": "8"}
    backend = slurm(tmp_path, RuntimeSettings(threads=3, workers=2), options)
    given = backend._executor._executor.parameters
    assert given["cpus_per_task"] == 5
    assert given["gpus_per_node"] == 1
    assert given["partition"] == "gpu"
    assert given["time"] == 90
    assert given["mem"] == "8GB"
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
    pipeline.edit_params(**{f"methods__{name}": {"tracks": {TRACK: {"train": {"epochs": 15}}}}})
    method = pipeline.root / "methods" / f"{name}.py"
    method.write_text(method.read_text() + "\nCHANGED = True\n")


def trainers(pipeline: Pipeline) -> list[int]:
    """Processes that train in this copy of the repository."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            name = (folder / "comm").read_text().strip()
            here = (folder / "cwd").resolve() == pipeline.root.resolve()
        except OSError:
            continue
        if here and (b"train" in words or name == "wsolbench train"):
            found.append(int(folder.name))
    return found


@pytest.mark.slow
def test_everything_is_done_once_and_dvc_finds_it_done(pipeline: Pipeline) -> None:
    pipeline.edit_params(run__seeds=[0, 1], run__seeded_baselines=["mask_supervised"])
    done = pipeline.run("wsolbench", "launch", "--workers", "3")
    assert pipeline.repro() == []
    logs = list((pipeline.root / "results" / "logs" / "launch").iterdir())
    ran = [line for log in logs for line in log.read_text().splitlines() if line.startswith("Running stage")]
    locked = YAML(typ="safe").load((pipeline.root / "dvc.lock").read_text())["stages"]
    assert sorted(ran) == sorted(
        f"Running stage '{stage}':" for stage in locked if not stage.startswith(("look@", "resolve"))
    )
    assert {f"train@{TRACK}-{name}-{seed}" for name in ("cam", "adl") for seed in (0, 1)} < set(locked)
    assert f"{len(ran)} of {len(ran)} stages done" in done.stderr
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
        assert f"FAILED train@{TRACK}-adl-{seed}: DVC ended with status" in done.stderr
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
    names = {Path(f"/proc/{pid}/comm").read_text() for pid in trainers(pipeline)}
    assert names == {"wsolbench train\n"}  # forks, which have imported nothing of their own
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
def test_a_killed_dvc_fails_its_run_only_and_leaves_no_trainer(
    pipeline: Pipeline, start: Callable[..., Launch]
) -> None:
    touch_method(pipeline, "cam")
    launch = start("--workers", "2")
    wait_until(lambda: len(trainers(pipeline)) == 2, 300)
    trainer = trainers(pipeline)[0]
    os.kill(os.getsid(trainer), signal.SIGKILL)  # of DVC, the leader of its session
    wait_until(lambda: not Path(f"/proc/{trainer}").exists(), 60)
    status, messages = launch.end()
    assert status == 1
    assert re.search(rf"FAILED train@{TRACK}-cam-[01]: DVC was killed by SIGKILL", messages)
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
    stages = f"train@{TRACK}-cam-0", f"evaluate@{TRACK}-cam-0"
    job = executor.submit(StageRunner(stages, pipeline.root, tmp_path / "log", tmp_path / "lock"))
    wait_until(lambda: len(trainers(pipeline)) == 1, 300)
    first = trainers(pipeline)[0]
    waiting = Path(f"/proc/{os.getsid(first)}/stat").read_text().rpartition(")")[2].split()[1]  # DVC's parent
    os.kill(int(waiting), signal.SIGUSR2)  # what Slurm is asked to send before it ends a job
    assert job.result() == 0
    assert not Path(f"/proc/{first}").exists()
    assert pipeline.run("wsolbench", "launch").returncode == 0
    assert pipeline.repro() == []
