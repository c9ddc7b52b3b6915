"""Start units as soon as what they need is done, and show how far they are."""

from __future__ import annotations

import math
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from wsolbench.config.paths import Layout
from wsolbench.launch.display import Display, Row
from wsolbench.launch.forecast import Forecast, Running
from wsolbench.launch.graph import Unit, before_training
from wsolbench.launch.processes import STOPPED, log_tail, stop_requests
from wsolbench.runs.progress import PROGRESS_FILE, Progress, duration, read_progress

__all__ = ["Backend", "Outcome", "Pool"]

_POLL_S = 0.2
_LOOK_S = 1.0  # between two looks at how far trainings are
_STOP_S = 90.0  # after which jobs that were told to stop are no longer waited for
_TAIL_LINES = 3


class Backend(Protocol):
    """Runs units.

    Attributes:
        places: units at a time: with a GPU (True) and without.
    """

    places: Mapping[bool, int]

    def on_gpu(self, unit: Unit) -> bool:
        """Return which of these a unit takes."""
        ...

    def start(self, unit: Unit) -> Any:
        """Start or queue a unit; what comes back has ``poll()``: None, DVC's exit status, or what went wrong."""
        ...

    def stop(self, jobs: list[Any]) -> None:
        """Let units save their states and end."""
        ...


@dataclass
class Outcome:
    """What became of the stages.

    Attributes:
        done: names of those that are up to date now.
        failed: name of a unit's first stage, and the reason.
        left_out: name of a unit's first stage that needs a failed one, and that one's.
        stopped: a signal ended the launch before all were done.
    """

    done: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    stopped: bool = False


@dataclass
class _Job:
    unit: Unit
    job: Any
    since: float
    seen: Progress | None = None


class Pool:
    """Runs units until all are done, have failed, or cannot run.

    Args:
        backend: where they run.
        local: where reports run, after all others.
        root: the repository.
        forecast: says how long it will take.
        progress_of: how far the training of a run is, by its key; None before its first iteration, or what is written
            in the repository.
        clock: monotonic seconds.
        sleep: waits some of them.
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
        self._waiting: list[Unit] = []
        self._lost: dict[str, str] = {}  # stages that will not be done, and the failed unit's first
        self._started: Counter[str] = Counter()  # trainings by method on a track

    def run(self, units: Sequence[Unit]) -> Outcome:
        """Run units; SIGINT, SIGTERM and SIGHUP stop those that run and leave out the rest."""
        self._waiting = list(units)
        looked, stopped_at, outcome = self._clock(), math.inf, self._outcome
        total = sum(len(unit.stages) for unit in units)
        with stop_requests() as stop, Display(total, self._clock) as display:
            while (self._waiting or self._running) and self._clock() < stopped_at + _STOP_S:
                now = self._clock()
                if stop and not outcome.stopped:
                    display.say("stopping: runs save their state and end")
                    outcome.stopped, self._waiting, stopped_at = True, [], now
                    for backend in {self._backend, self._local}:
                        backend.stop([entry.job for entry in self._running if self._place(entry.unit)[0] is backend])
                self._start_ready()
                for entry in list(self._running):
                    if line := self._finish(entry):
                        display.say(f"{line}; {display.state(len(outcome.done), self.seconds_left())}")
                if now >= looked + _LOOK_S:
                    looked = now
                    self._look()
                    display.update(self._rows(), len(outcome.done), self.seconds_left())
                self._sleep(_POLL_S)
        return outcome

    def seconds_left(self) -> float | None:
        """Return in how many seconds all will be done, as far as that can be told by now."""
        if self._outcome.stopped:
            return None
        now = self._clock()
        running = [Running(entry.unit, now - entry.since, entry.seen) for entry in self._running]
        return self._forecast.left(running, self._in_order(), self._backend.places, self._backend.on_gpu)

    def _place(self, unit: Unit) -> tuple[Backend, bool]:
        """Return where a unit runs, and whether it takes a GPU there."""
        backend = self._local if unit.is_report else self._backend
        return backend, backend.on_gpu(unit)

    def _in_order(self) -> list[Unit]:
        """Return what waits: first what trainings need, then those, each method's in turn, then the rest."""
        needed = before_training(self._waiting)
        started = self._started.copy()

        def rank(unit: Unit) -> tuple[bool, int]:
            if not unit.trains:
                return needed.isdisjoint(unit.stages), sys.maxsize
            started[_method(unit)] += 1
            return True, started[_method(unit)]

        return sorted(self._waiting, key=rank)

    def _start_ready(self) -> None:
        """Start what can run, and drop what never can."""
        left = [*self._waiting, *(entry.unit for entry in self._running)]
        pending, only_reports = {stage for unit in left for stage in unit.stages}, all(unit.is_report for unit in left)
        for unit in self._in_order():
            backend, on_gpu = self._place(unit)
            if causes := sorted(unit.after & self._lost.keys()):
                self._waiting.remove(unit)
                self._outcome.left_out[unit.name] = self._lost[causes[0]]
                self._lost.update(dict.fromkeys(unit.stages, self._lost[causes[0]]))
            elif unit.after.isdisjoint(pending) and (only_reports or not unit.is_report):
                taken = sum(self._place(entry.unit) == (backend, on_gpu) for entry in self._running)
                if taken < backend.places[on_gpu]:
                    self._waiting.remove(unit)
                    self._started[_method(unit)] += 1
                    unit.log(self._root).unlink(missing_ok=True)  # of an earlier launch
                    self._running.append(_Job(unit, backend.start(unit), self._clock()))

    def _look(self) -> None:
        """See how far trainings are; what was seen last stays when they remove their scratch."""
        for entry in self._running:
            if entry.unit.trains:
                entry.seen = self._progress_of(entry.unit.trains) or entry.seen

    def _finish(self, entry: _Job) -> str:
        """Take note of a unit that has ended, and return a line about it; nothing while it runs."""
        status = entry.job.poll()
        if status is None:
            return ""
        self._running.remove(entry)
        unit, seconds, outcome = entry.unit, self._clock() - entry.since, self._outcome
        if status == 0:
            outcome.done.update(unit.stages)
            self._forecast.finished(Running(unit, seconds, entry.seen))
            return f"{', '.join(unit.stages)}: {duration(seconds)}"
        if outcome.stopped or status == STOPPED:
            return f"{unit.name}: stopped"
        log = unit.log(self._root)
        cause = status if isinstance(status, str) else f"DVC ended with status {status}"
        outcome.failed[unit.name] = f"{cause}; {log}:{log_tail(log, _TAIL_LINES)}"
        self._lost.update(dict.fromkeys(unit.stages, unit.name))
        return f"{unit.name}: FAILED after {duration(seconds)}"

    def _rows(self) -> list[Row]:
        """Return what runs, how far it is, and for how long."""
        rows = []
        for entry in self._running:
            stage = _stage_in(entry.unit.log(self._root))
            note = "waits" if stage is None else ""
            if entry.seen is not None and stage == entry.unit.name:
                note = entry.seen.note
            rows.append((stage or entry.unit.name, note, self._clock() - entry.since))
        return rows


def _stage_in(log: Path) -> str | None:
    """Return the last stage that DVC says in its log that it runs; empty before the first, None without a log."""
    if not log.is_file():
        return None
    found = re.findall(r"^Running stage '([^']+)'", log.read_text("utf-8", "replace"), re.MULTILINE)
    return str(found[-1]) if found else ""


def _method(unit: Unit) -> str:
    return unit.trains.rpartition("-")[0]
