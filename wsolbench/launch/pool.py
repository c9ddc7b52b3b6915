"""Hand units to a backend as soon as what they need is done, and say how far it is."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import submitit
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from wsolbench.launch.backends import Backend
from wsolbench.launch.graph import Unit
from wsolbench.launch.watching import log_tail, stop_requests
from wsolbench.launch.worker import StageRunner

__all__ = ["Outcome", "Pool"]

_POLL_S = 0.2
_STOP_S = 90.0  # after which jobs that were told to stop are no longer waited for
_TAIL_LINES = 3


@dataclass
class Outcome:
    """What became of the units.

    Attributes:
        done: names of those that are up to date now.
        failed: name and reason.
        left_out: name of a unit that needs a failed one, and that one's.
        stopped: a signal ended the launch before all were done.
    """

    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


@dataclass(frozen=True)
class _Job:
    unit: Unit
    runner: StageRunner
    job: submitit.Job[int]
    since: float


class Pool:
    """Runs units on a backend until all are done, have failed, or cannot run.

    Args:
        backend: where they run.
        runner_of: makes the job of a unit.
        outcome: is filled; units that it already names count as done, failed or left out.
    """

    def __init__(self, backend: Backend, runner_of: Callable[[Unit], StageRunner], outcome: Outcome) -> None:
        self._backend, self._runner_of, self._outcome = backend, runner_of, outcome
        self._running: list[_Job] = []
        self._seconds: list[float] = []

    def run(self, units: Sequence[Unit]) -> None:
        """Run units; SIGINT, SIGTERM and SIGHUP stop those that run and leave out the rest."""
        waiting, given_up = list(units), math.inf
        with stop_requests() as stop, _shown() as progress:
            task = progress.add_task("launch", total=len(units), note="")
            while waiting or self._running:
                if self._outcome.stopped and time.monotonic() > given_up:
                    progress.console.print(f"{len(self._running)} jobs did not say that they have stopped")
                    break
                if stop and not self._outcome.stopped:
                    self._outcome.stopped, given_up = True, time.monotonic() + _STOP_S
                    progress.console.print("stopping: runs save their state and end")
                    waiting = []
                    for entry in self._running:
                        self._backend.stop(entry.job)
                waiting = self._submit_ready(waiting)
                finished = [entry for entry in self._running if entry.job.done()]
                for entry in finished:
                    self._running.remove(entry)
                    line = self._finish(entry)
                    left = self._time_left(len(waiting) + len(self._running))
                    count = len(units) - len(waiting) - len(self._running)
                    progress.update(task, completed=count, note=left)
                    progress.console.print(f"{count}/{len(units)} {line}{left}", highlight=False, soft_wrap=True)
                if not finished:
                    time.sleep(_POLL_S)

    def _submit_ready(self, waiting: list[Unit]) -> list[Unit]:
        """Submit what can run, drop what never can, and return the rest."""
        rest = []
        names = {unit.name for unit in waiting} | {entry.unit.name for entry in self._running}
        for unit in waiting:
            lost = sorted(unit.after & (self._outcome.failed.keys() | self._outcome.left_out.keys()))
            if lost:
                self._outcome.left_out[unit.name] = self._outcome.left_out.get(lost[0], lost[0])
            elif not unit.after & names and self._backend.has_room(len(self._running)):
                runner = self._runner_of(unit)
                job = self._backend.submit(runner)
                self._running.append(_Job(unit, runner, job, time.monotonic()))
            else:
                rest.append(unit)
        return rest

    def _finish(self, entry: _Job) -> str:
        name, seconds = entry.unit.name, time.monotonic() - entry.since
        reason = _failure(entry)
        self._backend.clean_up(entry.job, entry.runner)
        if reason is None:
            self._outcome.done.add(name)
            self._seconds.append(seconds)
            return f"{' '.join(entry.unit.stages)}: {seconds:.0f} s"
        if self._outcome.stopped:
            return f"{name}: stopped"
        self._outcome.failed[name] = reason
        return f"{name}: FAILED after {seconds:.0f} s"

    def _time_left(self, units: int) -> str:
        if not units or not self._seconds or self._outcome.stopped:
            return ""
        beside = max(1, len(self._running))
        minutes = sum(self._seconds) / len(self._seconds) * units / beside / 60
        return f", about {minutes:.0f} min left" if minutes >= 1 else f", about {minutes * 60:.0f} s left"


def _failure(entry: _Job) -> str | None:
    """Return why a job failed, with the end of its log, or None if it did not."""
    error = entry.job.exception()
    status = 0 if error is not None else entry.job.result()
    if error is None and status == 0:
        return None
    cause = f"DVC ended with status {status}" if error is None else "the worker was killed or broke down"
    return f"{cause}; {entry.runner.log}:{log_tail(entry.runner.log, _TAIL_LINES)}"


@contextmanager
def _shown() -> Iterator[Progress]:
    """Show a bar on a terminal; elsewhere only the printed lines."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[note]}"), console=console, disable=not console.is_terminal) as bar:
        yield bar
