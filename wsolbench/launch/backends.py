"""Where units run: processes of this machine, or jobs of a Slurm cluster; both through submitit."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import submitit

from wsolbench.engine.machine import cpu_workers
from wsolbench.errors import SettingsError
from wsolbench.launch.worker import StageRunner, end_group
from wsolbench.settings import RuntimeSettings

__all__ = ["Backend", "LocalBackend", "SlurmBackend"]

_NO_LIMIT_MIN = 60 * 24 * 365  # submitit's local jobs end after a time; ours do not
_LOADERS_PER_GPU = 4  # asked of Slurm for `runtime.workers: auto`, which then takes what was granted
_SHARED_OPTIONS = {"timeout_min", "mem_gb", "cpus_per_task", "gpus_per_node"}  # that submitit knows without `slurm_`


class Backend(Protocol):
    """Runs jobs."""

    def has_room(self, running: int) -> bool:
        """Tell whether another job may be submitted beside ``running``."""
        ...

    def submit(self, runner: StageRunner) -> submitit.Job[int]:
        """Start or queue a job."""
        ...

    def stop(self, job: submitit.Job[int]) -> None:
        """Ask a job to save its state and end."""
        ...

    def clean_up(self, job: submitit.Job[int], runner: StageRunner) -> None:
        """End what a job left behind that did not end by itself."""
        ...


class LocalBackend:
    """Worker processes of this machine.

    Args:
        folder: submitit's own files.
        workers: jobs at a time.
        gpus: values of ``CUDA_VISIBLE_DEVICES``, one per worker; none: the workers see no GPU.
    """

    def __init__(self, folder: Path, workers: int, gpus: list[str]) -> None:
        self._executor = submitit.AutoExecutor(folder, cluster="local")
        self._executor.update_parameters(timeout_min=_NO_LIMIT_MIN, gpus_per_node=0, stderr_to_stdout=True)
        self._workers = workers
        self._cores = cpu_workers(workers)
        self._gpus = gpus
        self._free = list(range(workers))
        self._slots: dict[str, int] = {}

    def has_room(self, running: int) -> bool:
        """Tell whether a worker is free."""
        return running < self._workers

    def submit(self, runner: StageRunner) -> submitit.Job[int]:
        """Start a job on the free worker with the lowest number."""
        slot = self._free.pop(0)
        gpu = self._gpus[slot] if self._gpus else ""
        # submitit hides all GPUs from local jobs; the stages see this one again.
        shares = {"CUDA_VISIBLE_DEVICES": gpu, "LOKY_MAX_CPU_COUNT": str(self._cores)}  # the latter is joblib's
        placed = replace(runner, environment=runner.environment | shares)
        with _interrupts_blocked():
            job: submitit.Job[int] = self._executor.submit(placed)
        self._slots[job.job_id] = slot
        return job

    def stop(self, job: submitit.Job[int]) -> None:
        """Send SIGTERM to the job's controller, which hands it on; submitit's own cancel() kills after a second."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(job.job_id), signal.SIGTERM)

    def clean_up(self, job: submitit.Job[int], runner: StageRunner) -> None:
        """End the stages of a worker that was killed, and free its place."""
        if runner.group_file.exists():
            end_group(int(runner.group_file.read_text(encoding="utf-8")))
            runner.group_file.unlink(missing_ok=True)
        self._free = sorted([*self._free, self._slots.pop(job.job_id)])


class SlurmBackend:
    """Jobs of a Slurm cluster whose nodes see this directory.

    Args:
        folder: submitit's own files.
        limit: jobs in the queue at a time; None: all at once.
        runtime: threads and device of a run, from which the job's CPUs and GPUs follow unless ``options`` say more.
        options: of submitit's executor, with or without the prefix ``slurm_``, for instance ``partition``, ``account``,
            ``qos``, ``time`` (minutes), ``mem_gb``, ``gpus_per_node``, ``setup``.

    Raises:
        SettingsError: there is no Slurm here, or submitit does not know an option.
    """

    def __init__(self, folder: Path, limit: int | None, runtime: RuntimeSettings, options: Mapping[str, str]) -> None:
        self._limit = limit
        logging.getLogger("submitit").propagate = False  # it prints its warnings itself
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
        except (RuntimeError, NameError, TypeError, ValueError) as error:
            raise SettingsError(f"--slurm: {error}") from error

    def has_room(self, running: int) -> bool:
        """Tell whether another job may be queued."""
        return self._limit is None or running < self._limit

    def submit(self, runner: StageRunner) -> submitit.Job[int]:
        """Queue a job."""
        job: submitit.Job[int] = self._executor.submit(runner)
        return job

    def stop(self, job: submitit.Job[int]) -> None:
        """Cancel a job; Slurm sends SIGTERM first."""
        job.cancel()

    def clean_up(self, job: submitit.Job[int], runner: StageRunner) -> None:
        """Slurm ends all processes of its jobs."""


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Keep a terminal's Ctrl-C from processes started meanwhile: who gets it is the launcher's to decide."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
