"""Tasks as jobs of a Slurm cluster, through submitit; they outlive their launcher."""

from __future__ import annotations

import fcntl
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import submitit
from submitit.helpers import DelayedSubmission

from wsolbench.config.settings import RuntimeSettings
from wsolbench.errors import SettingsError
from wsolbench.launch.graph import Task
from wsolbench.launch.processes import STOPPED, end_groups, with_our_programs

__all__ = ["SlurmBackend", "StageRunner"]

_LOADERS_PER_GPU = 4  # asked for with `runtime.workers: auto`, which then takes what was granted
_SHARED_OPTIONS = {"timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node"}  # that submitit knows without `slurm_`
_POLL_S = 0.2


@dataclass
class StageRunner:
    """A job: runs a stage through ``dvc repro --single-item`` and returns DVC's exit status.

    DVC does so there and not here, so that the stage is recorded also if the launcher has ended by then. What is
    printed goes to ``log``; ``lock`` is held, shared, while the job lives.
    """

    stage: str
    root: Path
    log: Path
    lock: Path
    _groups: list[int] = field(default_factory=list)

    def __call__(self) -> int:
        """Run the stage; return 0 if it is up to date now."""
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: stop.append(received))
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.lock.open("a") as lock, self.log.open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_SH)
            process = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-P", "-m", "dvc", "--wait-for-lock", "repro", "--single-item", self.stage],
                cwd=self.root,
                env=with_our_programs(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self._groups = [process.pid]
            while process.poll() is None:
                if stop:
                    end_groups(self._groups)
                    return STOPPED
                time.sleep(_POLL_S)
            return process.returncode

    def checkpoint(self) -> DelayedSubmission:
        """Let the training save its state and ask for the job to be queued again: time is up, or it is preempted."""
        end_groups(self._groups)
        return DelayedSubmission(self)


class SlurmBackend:
    """Queues tasks, at most ``limit`` at a time, or all at once; the cluster's nodes see this directory.

    A job's CPUs and GPUs follow from ``runtime`` unless ``options`` say more: those of submitit's executor, with or
    without the prefix ``slurm_``, for instance ``partition``, ``account``, ``qos``, ``time`` (minutes), ``mem_gb``,
    ``gpus_per_node``, ``setup``. A job holds ``lock``, shared, while it lives; ``folder`` is for submitit's own files.

    Raises:
        SettingsError: there is no Slurm here, or submitit does not know an option.
    """

    def __init__(
        self,
        folder: Path,
        root: Path,
        lock: Path,
        limit: int | None,
        runtime: RuntimeSettings,
        options: Mapping[str, str],
    ) -> None:
        logging.getLogger("submitit").propagate = False  # it prints its warnings itself
        self._root, self._lock = root, lock
        self.places: Mapping[bool, int] = {False: limit or 2**31}
        on_cpu = runtime.device == "cpu"
        loading = runtime.workers if runtime.workers != "auto" else 0 if on_cpu else _LOADERS_PER_GPU
        given: dict[str, object] = {
            "cpus_per_task": runtime.threads + loading,
            "gpus_per_node": 0 if on_cpu else 1,
            "stderr_to_stdout": True,
        }
        for name, value in options.items():
            shared = name in _SHARED_OPTIONS or name.startswith("slurm_")
            given[name if shared else f"slurm_{name}"] = int(value) if value.isdigit() else value
        try:
            self._executor = submitit.AutoExecutor(folder, cluster="slurm")
            self._executor.update_parameters(**given)
            self._gpus = given["gpus_per_node"]
        except (RuntimeError, NameError, TypeError, ValueError) as error:
            raise SettingsError(f"--slurm: {error}") from error

    def on_gpu(self, task: Task) -> bool:
        """Return False: there is one kind of place, and Slurm knows what GPUs there are."""
        return False

    def start(self, task: Task) -> _Job:
        """Queue a task; only what may train asks for GPUs."""
        self._executor.update_parameters(gpus_per_node=self._gpus if task.trains else 0)
        return _Job(self._executor.submit(StageRunner(task.name, self._root, task.log(self._root), self._lock)))

    def stop(self, jobs: list[_Job]) -> None:
        """Cancel jobs; Slurm sends SIGTERM first, and ends all their processes."""
        for job in jobs:
            job.cancel()


class _Job:
    """A task that waits or runs on the cluster."""

    def __init__(self, job: submitit.Job[int]) -> None:
        self._job = job
        self.cancel = job.cancel

    def poll(self) -> int | str | None:
        """Return DVC's exit status or what went wrong; None while the job waits or runs."""
        if not self._job.done():
            return None
        return self._job.result() if self._job.exception() is None else "the worker was killed or broke down"
