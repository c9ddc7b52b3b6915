"""Start tasks as soon as what they need is done, and show how far they are."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wsolbench.config.paths import Layout
from wsolbench.launch.display import Display, Row
from wsolbench.launch.forecast import Forecast, Started
from wsolbench.launch.graph import Task, before_training
from wsolbench.launch.processes import STOPPED, log_tail, stop_requests
from wsolbench.runs.progress import PROGRESS_FILE, Progress, duration, read_progress

__all__ = ["Backend", "Outcome", "Pool"]

_POLL_S = 0.2
_LOOK_S = 1.0  # between two looks at how far trainings are
_STOP_S = 90.0  # after which jobs that were told to stop are no longer waited for
_TAIL_LINES = 3


class Backend(Protocol):
    """Runs tasks; it has ``places`` for so many at a time: with a GPU (True) and without."""

    places: Mapping[bool, int]

    def on_gpu(self, task: Task) -> bool:
        """Return which of these a task takes."""
        ...

    def start(self, task: Task) -> Any:
        """Start or queue a task; what comes back has ``poll()``: None, an exit status, or what went wrong."""
        ...

    def stop(self, jobs: list[Any]) -> None:
        """Let tasks save their states and end."""
        ...


@dataclass
class Outcome:
    """What became of the tasks: names, and of those that failed or need a failed one the reason or that one's name."""

    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


@dataclass
class _Job:
    task: Task
    job: Any
    since: float
    seen: Progress | None = None


class Pool:
    """Runs tasks until all are done, have failed, or cannot run; reports run ``local``, after all others.

    ``progress_of`` says how far the training of a run is, by its key; by default what is written in the repository.
    ``clock`` gives monotonic seconds, and ``sleep`` waits some of them.
    """

    def __init__(
        self,
        backend: Backend,
        local: Backend,
        root: Path,
        forecast: Forecast,
        progress_of: Callable[[str], Progress | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._backend, self._local, self._root, self._forecast = backend, local, root, forecast
        self._progress_of = progress_of or (lambda key: read_progress(Layout(root).work(key) / PROGRESS_FILE))
        self._clock, self._sleep, self._outcome = clock, sleep, Outcome()
        self._running: list[_Job] = []
        self._waiting: list[Task] = []
        self._started: Counter[str] = Counter()  # trainings by method on a track

    def run(self, tasks: Sequence[Task]) -> Outcome:
        """Run tasks; SIGINT, SIGTERM and SIGHUP stop those that run and leave out the rest."""
        self._waiting = list(tasks)
        looked, stopped_at, outcome = self._clock(), math.inf, self._outcome
        with stop_requests() as stop, Display(len(tasks), self._clock) as display:
            while (self._waiting or self._running) and self._clock() < stopped_at + _STOP_S:
                now = self._clock()
                if stop and not outcome.stopped:
                    display.say("stopping: runs save their state and end")
                    outcome.stopped, self._waiting, stopped_at = True, [], now
                    for backend in {self._backend, self._local}:
                        backend.stop([entry.job for entry in self._running if self._place(entry.task)[0] is backend])
                self._start_ready()
                for entry in list(self._running):
                    if line := self._finish(entry):
                        display.say(f"{line}; {display.state(len(outcome.done), self.seconds_left())}")
                if now >= looked + _LOOK_S:
                    looked = now
                    for entry in self._running:
                        if entry.task.trains:  # what was seen last stays when it removes its scratch
                            entry.seen = self._progress_of(entry.task.trains) or entry.seen
                    display.update(self._rows(), len(outcome.done), self.seconds_left())
                self._sleep(_POLL_S)
        return outcome

    def seconds_left(self) -> float | None:
        """Return in how many seconds all will be done, as far as that can be told by now."""
        if self._outcome.stopped:
            return None
        now = self._clock()
        running = [Started(entry.task, now - entry.since, entry.seen) for entry in self._running]
        return self._forecast.left(running, self._in_order(), self._backend.places, self._backend.on_gpu)

    def _place(self, task: Task) -> tuple[Backend, bool]:
        """Return where a task runs, and whether it takes a GPU there."""
        backend = self._local if task.is_report else self._backend
        return backend, backend.on_gpu(task)

    def _in_order(self) -> list[Task]:
        """Return what waits: what trainings need, evaluations of what is trained, trainings in turn, and the rest."""
        needed = before_training(self._waiting)
        started = self._started.copy()

        def rank(task: Task) -> tuple[int, int]:
            if task.trains:
                started[_method(task)] += 1
                return 2, started[_method(task)]
            return (0 if task.name in needed else 1 if task.kind == "evaluate" else 3), 0

        return sorted(self._waiting, key=rank)

    def _start_ready(self) -> None:
        """Start what can run, and drop what never can."""
        left = [*self._waiting, *(entry.task for entry in self._running)]
        pending, only_reports = {task.name for task in left}, all(task.is_report for task in left)
        lost = dict.fromkeys(self._outcome.failed, "") | self._outcome.left_out
        for task in self._in_order():
            backend, on_gpu = self._place(task)
            if causes := sorted(task.after & lost.keys()):
                self._waiting.remove(task)
                self._outcome.left_out[task.name] = lost[task.name] = lost[causes[0]] or causes[0]
            elif task.after.isdisjoint(pending) and (only_reports or not task.is_report):
                taken = sum(self._place(entry.task) == (backend, on_gpu) for entry in self._running)
                if taken < backend.places[on_gpu]:
                    self._waiting.remove(task)
                    self._started[_method(task)] += 1
                    task.log(self._root).unlink(missing_ok=True)  # of an earlier launch
                    self._running.append(_Job(task, backend.start(task), self._clock()))

    def _finish(self, entry: _Job) -> str:
        """Take note of a task that has ended, and return a line about it; nothing while it runs."""
        status = entry.job.poll()
        if status is None:
            return ""
        self._running.remove(entry)
        task, seconds, outcome = entry.task, self._clock() - entry.since, self._outcome
        if status == 0:
            outcome.done.add(task.name)
            self._forecast.finished(task, seconds)
            return f"{task.name}: {duration(seconds)}"
        if outcome.stopped or status == STOPPED:
            return f"{task.name}: stopped"
        log = task.log(self._root)
        cause = status if isinstance(status, str) else f"it ended with status {status}"
        outcome.failed[task.name] = f"{cause}; {log}:{log_tail(log, _TAIL_LINES)}"
        return f"{task.name}: FAILED after {duration(seconds)}"

    def _rows(self) -> list[Row]:
        """Return what runs, how far it is, and for how long."""
        rows = []
        for entry in self._running:
            note = entry.seen.note if entry.seen else "" if entry.task.log(self._root).is_file() else "waits"
            rows.append((entry.task.name, note, self._clock() - entry.since))
        return rows


def _method(task: Task) -> str:
    return task.trains.rpartition("-")[0]
