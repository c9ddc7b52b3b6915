"""`wsolbench launch`."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from wsolbench.engine.machine import cpu_workers, visible_gpus
from wsolbench.errors import LaunchError, SettingsError
from wsolbench.launch.backends import Backend, LocalBackend, SlurmBackend
from wsolbench.launch.graph import Unit, looking_stages, stale_units
from wsolbench.launch.pool import Outcome, Pool
from wsolbench.launch.worker import STOPPED, StageRunner, dvc_command, dvc_environment
from wsolbench.layout import Layout
from wsolbench.settings import RuntimeSettings

__all__ = ["launch"]

_WORKERS_LOCK = "workers.lock"


def launch(
    root: Path,
    runtime: RuntimeSettings,
    workers: int | None,
    slurm: Mapping[str, str] | None,
    *,
    dry_run: bool = False,
) -> int:
    """Bring all stages up to date, several at a time.

    Args:
        root: the repository.
        runtime: device and threads of a run.
        workers: runs at a time; None takes one per GPU, or as many as the CPU cores hold (on Slurm: no limit).
        slurm: options of Slurm jobs; None runs on this machine.
        dry_run: only print what would run.

    Returns:
        Exit status: 0 if everything is up to date, 1 if a run failed, 130 if a signal ended it.

    Raises:
        LaunchError: another launch is at work here, or DVC cannot read the repository.
        SettingsError: more workers than GPUs, or a wrong Slurm option.
    """
    root = root.resolve()
    state = root / ".wsolbench" / "launch"
    with _alone(state):
        _look(root)
        units = stale_units(root)
        if dry_run or not units:
            sys.stdout.write("".join(f"{' '.join(unit.stages)}\n" for unit in units) or "Everything is up to date.\n")
            return 0
        with _jobs_folder(state) as (folder, alive):
            local = _local(folder, runtime, workers if slurm is None else None)
            pool: Backend = local if slurm is None else SlurmBackend(folder, workers, runtime, slurm)
            outcome = Outcome()
            runs = [unit for unit in units if not unit.is_report]
            reports = [unit for unit in units if unit.is_report]
            # A cluster's jobs outlive a closed terminal; workers of this machine do not outlive their launcher.
            Pool(pool, _runners(root, folder, alive if slurm is None else None), outcome).run(runs)
            if not outcome.stopped:
                Pool(local, _runners(root, folder, alive), outcome).run(reports)
    return _verdict(len(units), outcome)


def _look(root: Path) -> None:
    """Let DVC look whether data sets have changed; what cannot be looked at is said, and stops its own track only."""
    looks = looking_stages(root)
    if looks:
        done = subprocess.run(  # noqa: S603 - our own command
            dvc_command("repro", "--keep-going", "--single-item", *looks),
            cwd=root,
            env=dvc_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.stderr.write(done.stdout + done.stderr)


def _runners(root: Path, folder: Path, alive: Path | None) -> Callable[[Unit], StageRunner]:
    return lambda unit: StageRunner(
        stages=unit.stages,
        root=root,
        log=Layout(root).log(f"launch/{unit.name}"),
        group_file=folder / f"{unit.name}.group",
        workers_lock=folder.parent / _WORKERS_LOCK,
        launcher_lock=alive,
    )


def _local(folder: Path, runtime: RuntimeSettings, workers: int | None) -> LocalBackend:
    gpus = [] if runtime.device == "cpu" else visible_gpus()
    if gpus and workers is not None and workers > len(gpus):
        raise SettingsError(f"--workers {workers}: there are {len(gpus)} GPUs")
    count = workers or len(gpus) or cpu_workers(runtime.threads)
    return LocalBackend(folder, count, gpus)


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Refuse a second launch, and wait for the workers that a killed one left: they save their state and end."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("a+") as lock, (state / _WORKERS_LOCK).open("a") as workers:
        if not _locked(lock):
            lock.seek(0)
            raise LaunchError(
                f"another launch is at work here: process {lock.read().strip()} holds {lock.name}; "
                "wait for it or stop it"
            )
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        if not _locked(workers):
            _say("waiting for the runs of a launch that was killed")
            fcntl.flock(workers, fcntl.LOCK_EX)
        fcntl.flock(workers, fcntl.LOCK_UN)
        yield


@contextmanager
def _jobs_folder(state: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a new folder for submitit's files and, in it, a file that stays locked while this process lives."""
    for left in state.glob("jobs-*"):  # by a launch that was killed
        shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="jobs-", dir=state))
    with (folder / "alive").open("w") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        try:
            yield folder, folder / "alive"
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked(stream: IO[str]) -> bool:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _verdict(total: int, outcome: Outcome) -> int:
    for name, reason in outcome.failed.items():
        _say(f"FAILED {name}: {reason}")
    for name, cause in outcome.left_out.items():
        _say(f"not run: {name}, which needs {cause}")
    if outcome.stopped:
        _say(f"Stopped: {len(outcome.done)} of {total} done; calling it again goes on.")
        return STOPPED
    _say(f"{len(outcome.done)} of {total} done, {len(outcome.failed)} failed.")
    return 1 if outcome.failed else 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
