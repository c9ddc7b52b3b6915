"""What a launch consists of: tasks, and where they run, without a real pipeline."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wsolbench.config.settings import RuntimeSettings, read_settings
from wsolbench.errors import LaunchError, SettingsError
from wsolbench.launch.command import _is_wanted, _run_always
from wsolbench.launch.forecast import Forecast
from wsolbench.launch.graph import Task, tasks_of
from wsolbench.launch.local import LocalBackend
from wsolbench.launch.pool import Pool
from wsolbench.launch.repository import Repository
from wsolbench.launch.slurm import SlurmBackend

pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")  # of pygtrie, which DVC uses

NAMES = ("prepare", "train-a", "evaluate-a", "train-b", "evaluate-b", "report", "summary")
STAGES = {name: f"wsolbench {name.replace('-', ' ')}" for name in NAMES}
EDGES = [
    *(("prepare", f"{stage}-{run}") for stage in ("train", "evaluate") for run in "ab"),
    *((f"train-{run}", f"evaluate-{run}") for run in "ab"),
    *((f"evaluate-{run}", report) for run in "ab" for report in ("report", "summary")),
]


def test_tasks_are_what_is_stale_each_after_what_it_needs() -> None:
    tasks = {task.name: task for task in tasks_of(STAGES, EDGES, STAGES)}
    assert next(iter(tasks)) == "prepare"
    assert tasks["evaluate-a"].after == {"prepare", "train-a"}
    assert (tasks["train-a"].trains, tasks["evaluate-a"].trains) == ("a", "")
    assert [name for name, task in tasks.items() if task.is_report] == ["report", "summary"]
    assert [task.name for task in tasks_of(STAGES, EDGES, ["train-b"])] == ["train-b", "evaluate-b", *NAMES[-2:]]
    assert tasks_of(STAGES, EDGES, ["summary"]) == [Task("summary", "wsolbench summary")]


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


@pytest.mark.slow
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
        _run_always(root, repository, backend)
        assert (root / "seen.txt").read_text() == content
        tasks = repository.stale()
        assert [(task.name, task.after) for task in tasks] == [("prepare", frozenset())] * stale
        log.unlink(missing_ok=True)
        assert Pool(backend, backend, root, Forecast()).run(tasks).failed == {}
        assert log.is_file() is runs  # the last time, DVC has the outputs of the first
        assert (root / "index.txt").read_text() == content
    outside.unlink()
    repository, backend = local(root)
    assert _run_always(root, repository, backend) == ["look"]
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


@pytest.mark.slow
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
    failed = _run_always(root, repository, backend)  # outside.txt is not there
    tasks = repository.stale(failed)
    assert [task.name for task in tasks] == ["report"]
    assert Pool(backend, backend, root, Forecast()).run(tasks).failed == {}
    assert (root / "report.txt").read_text() == "stored"
    (root / "metrics" / "one.txt").unlink()
    (root / "metrics").rmdir()
    assert local(root)[0].stale(failed) == []  # there is nothing to report


@pytest.mark.slow
def test_what_a_chosen_stage_lacks_is_named_and_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "repository"
    more = "  a:\n    cmd: cp index.txt a.txt\n    deps: [index.txt]\n    outs: [a.txt]\n"
    toy(root, f"{TOY}{more}  other:\n    cmd: touch other.txt\n    outs: [other.txt]\n")
    monkeypatch.chdir(root)
    repository = Repository(root, lambda command: "seen" not in command)  # nothing makes index.txt
    backend = LocalBackend(repository, root, 1, [], root / ".dvc" / "tmp" / "lock-of-workers")
    outcome = Pool(backend, backend, root, Forecast()).run(repository.stale())
    assert "'a' needs index.txt, which is not here" in outcome.failed["a"]
    assert (root / "other.txt").is_file()


def test_a_read_out_that_is_chosen_brings_the_training_that_it_reads() -> None:
    settings = read_settings()
    chosen = settings.run.part(["shapes-convnet"], ["grad_cam_of_cam"])
    wanted = {
        command: _is_wanted(settings, chosen, f"wsolbench {command}")
        for command in (
            "train shapes-convnet-cam-0",
            "readout shapes-convnet-grad_cam_of_cam-0",
            "evaluate shapes-convnet-cam-0",
            "train shapes-convnet-adl-0",
            "readout shapes-convnet-layer_cam_of_cam-0",
            "train shapes_control-convnet-cam-0",
        )
    }
    assert list(wanted.values()) == [True, True, False, False, False, False]


BESIDE = """
stages:
  train:
    cmd: wsolbench train toy-cam-0
    deps: [index.txt]
    outs: [run.txt]
  report:
    cmd: wsolbench report other
    deps: [results/provenance, entries]
    outs: [report.txt]
"""


def test_what_reads_the_times_of_trainings_is_made_in_the_launch_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "repository"
    toy(root, BESIDE)
    monkeypatch.chdir(root)
    for name in ("index.txt", "run.txt", "report.txt", "results/provenance/a.json", "entries/a.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    for name in ("train", "report"):
        Repository(root).record(name)
    assert Repository(root).stale() == []
    (root / "entries" / "a.txt").write_text("another")
    assert [task.name for task in Repository(root).stale()] == ["report"]
    (root / "entries" / "a.txt").write_text("entries/a.txt")
    (root / "index.txt").write_text("another")
    assert [(task.name, task.after) for task in Repository(root).stale()] == [
        ("train", frozenset()),
        ("report", frozenset()),  # a training that fails does not keep it from being made
    ]


def run_with_allow_missing(root: Path) -> list[str]:
    """Bring a repository up to date, and return the stages whose commands ran."""
    repository = Repository(root, allow_missing=True)
    backend = LocalBackend(repository, root, 1, [], root / ".dvc" / "tmp" / "lock-of-workers")
    _run_always(root, repository, backend)
    tasks = repository.stale()
    for task in tasks:
        task.log(root).unlink(missing_ok=True)
    assert Pool(backend, backend, root, Forecast()).run(tasks).failed == {}
    return [task.name for task in tasks if task.log(root).is_file()]


TRAINED = """
  {run}:
    cmd: cp index.txt {run}.txt
    deps: [index.txt]
    outs: [{run}.txt]
  evaluate-{run}:
    cmd: cp {run}.txt metrics-{run}.txt
    deps: [index.txt, {run}.txt]
    outs: [metrics-{run}.txt: {{cache: false, persist: true}}]
"""


@pytest.mark.slow
def test_with_allow_missing_a_benchmark_begun_elsewhere_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outside.txt").write_text("one")
    prepared = TOY.replace(
        "cp seen.txt index.txt", "sed s/e/E/ seen.txt > index.txt"
    )  # or DVC would have it from `look`
    root, text = tmp_path / "repository", f"{prepared}{TRAINED.format(run='a')}"
    toy(root, text)
    monkeypatch.chdir(root)
    assert run_with_allow_missing(root) == ["prepare", "a", "evaluate-a"]
    shutil.rmtree(root / ".dvc" / "cache")  # a clone has what git tracks only
    for name in ("index.txt", "a.txt"):
        (root / name).unlink()
    assert run_with_allow_missing(root) == []
    (root / "dvc.yaml").write_text(text + TRAINED.format(run="b"))
    assert run_with_allow_missing(root) == ["prepare", "b", "evaluate-b"]
    assert not (root / "a.txt").exists()
    assert (root / "metrics-b.txt").read_text().strip() == "onE"
    (tmp_path / "outside.txt").write_text("two")  # not what was begun with
    assert sorted(run_with_allow_missing(root)) == ["a", "b", "evaluate-a", "evaluate-b", "prepare"]
    (root / "a.txt").unlink()
    assert Repository(root, allow_missing=True).stale() == []
    assert [task.name for task in Repository(root).stale()] == ["a", "evaluate-a"]


def test_nothing_is_launched_by_recipes_of_before(tmp_path: Path) -> None:
    root = tmp_path / "repository"
    toy(root, TOY.replace("  look:\n    cmd: cp ../outside.txt", "  resolve:\n    cmd: cp missing"))
    with pytest.raises(LaunchError, match="the runs cannot be resolved"):
        _run_always(root, *local(root))


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
