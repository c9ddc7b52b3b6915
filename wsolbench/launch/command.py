"""`wsolbench launch`."""

from __future__ import annotations

import fcntl
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path

from wsolbench.config.keys import split_key
from wsolbench.config.settings import Part, RuntimeSettings, Settings
from wsolbench.errors import LaunchError, SettingsError
from wsolbench.files import locked, write_bytes
from wsolbench.launch.forecast import Forecast
from wsolbench.launch.local import LocalBackend
from wsolbench.launch.pool import Backend, Outcome, Pool
from wsolbench.launch.processes import STOPPED, log_tail
from wsolbench.launch.repository import Repository
from wsolbench.launch.slurm import SlurmBackend
from wsolbench.runs.machine import check_precision, cpu_workers, trains_on_cpu, visible_gpus

__all__ = ["launch"]

_POLL_S = 0.05
_TAIL_LINES = 20


def launch(
    root: Path,
    settings: Settings,
    workers: int | None,
    slurm: Mapping[str, str] | None,
    chosen: Part | None = None,
    *,
    allow_missing: bool = False,
    dry_run: bool = False,
) -> int:
    """Bring all stages up to date, ``workers`` runs at a time, and return the exit status.

    None takes a worker per GPU, or as many as the CPU cores hold (on Slurm: no limit). ``slurm`` has options of Slurm
    jobs; None runs on this machine. What concerns no single track runs whatever tracks and methods are ``chosen``.

    Returns:
        0 if everything is up to date, 1 if a run failed, 130 if a signal ended it.

    Raises:
        LaunchError: another launch is at work here, or DVC cannot read the repository.
        SettingsError: more workers than GPUs, a wrong Slurm option, or a run that would train in emulated bfloat16.
    """
    root = root.resolve()
    gpus, places = _places(settings.runtime, workers if slurm is None else None)
    with _exclusive(root / ".wsolbench" / "launch") as lock:
        wanted = partial(_is_wanted, settings, chosen or settings.run.part())
        repository = Repository(root, wanted, allow_missing=allow_missing)
        local = LocalBackend(repository, root, places, gpus, lock)
        with _restored(root / "dvc.lock") if dry_run else nullcontext():
            tasks = repository.stale(_run_always(root, repository, local))
        if slurm is None and trains_on_cpu(settings.runtime):
            check_precision(settings.resolve(task.trains) for task in tasks if task.kind == "train")
        if dry_run or not tasks:
            sys.stdout.write("".join(f"{task.name}\n" for task in tasks) or "Everything is up to date.\n")
            return 0
        _say(f"{len(tasks)} stages are out of date; what they print goes to {tasks[0].log(root).parent}")
        with tempfile.TemporaryDirectory(prefix="jobs-", dir=lock.parent) as folder:
            backend: Backend = local
            if slurm is not None:
                backend = SlurmBackend(Path(folder), root, lock, workers, settings.runtime, slurm)
            outcome = Pool(backend, local, root, Forecast()).run(tasks)
    return _report(len(tasks), outcome)


@contextmanager
def _restored(path: Path) -> Iterator[None]:
    """Give a file back what it holds now."""
    before = path.read_bytes() if path.exists() else None
    try:
        yield
    finally:
        if before is None:
            path.unlink(missing_ok=True)
        else:
            write_bytes(path, before)


def _places(runtime: RuntimeSettings, workers: int | None) -> tuple[list[str], int]:
    """Return the GPUs that runs may have, and how many runs there may be at a time."""
    gpus = [] if runtime.device == "cpu" else visible_gpus()
    if gpus and workers is not None and workers > len(gpus):
        raise SettingsError(f"--workers {workers}: there are {len(gpus)} GPUs")
    return gpus, workers or len(gpus) or cpu_workers(runtime.threads)


def _is_wanted(settings: Settings, chosen: Part, command: str) -> bool:
    """Return whether a stage's command concerns a track and a method that were chosen, or neither.

    Of the method that a chosen read-out reads, the training does.
    """
    words = shlex.split(command)
    if len(words) < 3 or words[0] != "wsolbench":
        return True
    track, method, _ = (words[2], "", 0) if words[2] in settings.tracks else split_key(words[2]) or (words[2], "", 0)
    selectable, wanted = {*settings.methods, *settings.run.readings}, {*chosen.methods}
    if words[1] == "train":
        wanted |= {each.rpartition("_of_")[2] for each in wanted & {*settings.run.readings}}
    return track in chosen.tracks and (method not in selectable or method in wanted)


def _run_always(root: Path, repository: Repository, local: LocalBackend) -> list[str]:
    """Run what runs each time, and return what failed: data that cannot be looked at stop their own track only.

    Raises:
        LaunchError: the runs cannot be resolved, so that those of before would run.
    """
    failed = []
    for task in repository.always_run():
        job = local.start(task)
        while (status := job.poll()) is None:
            time.sleep(_POLL_S)
        if status != 0:
            _say(f"{task.name}: {status if isinstance(status, str) else ''}{log_tail(task.log(root), _TAIL_LINES)}")
            if task.kind == "resolve":
                raise LaunchError("the runs cannot be resolved (`wsolbench resolve`); correct what is said above")
            _say("what needs these data is left out; stored results of this track stay as they are")
            failed.append(task.name)
    return failed


@contextmanager
def _exclusive(state: Path) -> Iterator[Path]:
    """Refuse a second launch, wait for the runs of a killed one, and yield the file that our own runs lock, shared."""
    holder = state / "lock"
    pid = holder.read_text(encoding="utf-8").strip() if holder.is_file() else ""
    other = LaunchError(f"another launch is at work here: process {pid} holds {holder}; wait for it or stop it")
    with locked(holder, refuse=other) as lock, (state / "workers.lock").open("a") as workers:
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        try:
            fcntl.flock(workers, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _say("waiting for the runs of a launch that was killed")
            fcntl.flock(workers, fcntl.LOCK_EX)
        fcntl.flock(workers, fcntl.LOCK_UN)
        for left in state.glob("jobs-*"):  # by a launch that was killed
            shutil.rmtree(left, ignore_errors=True)
        yield Path(workers.name)


def _report(total: int, outcome: Outcome) -> int:
    for name, reason in outcome.failed.items():
        _say(f"FAILED {name}: {reason}")
    for name, cause in outcome.left_out.items():
        _say(f"not run: {name}, which needs {cause}")
    if outcome.stopped:
        _say(f"Stopped: {len(outcome.done)} of {total} stages done; calling it again goes on.")
        return STOPPED
    _say(f"{len(outcome.done)} of {total} stages done, {len(outcome.failed)} failed.")
    return 1 if outcome.failed else 0


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")
