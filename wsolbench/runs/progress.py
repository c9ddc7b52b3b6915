"""Progress of long work: a bar with rate and time left on a terminal, plain lines in a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from pydantic import TypeAdapter
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress
from rich.text import Text

from wsolbench.errors import DataError
from wsolbench.files import parse_file, write_text

__all__ = ["PROGRESS_FILE", "Meter", "Progress", "duration", "meter", "read_progress", "track", "write_progress"]

T = TypeVar("T")
PROGRESS_FILE = "progress.json"
"""In the scratch directory of a run."""

_PLAIN_SECONDS, _MOST_SECONDS = 10.0, 600.0  # distance of plain lines: a tenth of the time gone by


@dataclass(frozen=True)
class Progress:
    """How far a training is.

    Attributes:
        done: images, with those before it was interrupted.
        total: images of the whole training.
        fresh: images that the process which runs has trained on.
        seconds: that it took for them.
        note: epoch and the sum of the losses, for people.
    """

    done: int
    total: int
    fresh: int
    seconds: float
    note: str


def write_progress(path: Path, progress: Progress) -> None:
    """Write how far a training is, for whoever waits for it."""
    write_text(path, json.dumps(asdict(progress)))


def read_progress(path: Path) -> Progress | None:
    """Return how far a training is; None if it has not written that, or has ended."""
    try:
        return parse_file(path, TypeAdapter(Progress).validate_json, "it is written anew")
    except DataError:  # what another version wrote is none of ours
        return None


def duration(seconds: float) -> str:
    """Return seconds as people say them: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 100 * 60 else f"{seconds / 3600:.1f} h"


class Meter(Protocol):
    """Something that shows how far the work has come."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units as done; ``note`` is shown behind the rate."""
        ...


@contextmanager
def meter(description: str, total: int, unit: str, before: int = 0) -> Iterator[Meter]:
    """Show progress of ``total`` units, of which ``before`` were done earlier, on standard error.

    Where that is no terminal, work of less than 10 s prints nothing.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(description, total, unit, before)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(unit),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=console) as bar:
        yield _Bar(bar, description, total, before)


def track(items: Iterable[T], description: str, total: int, unit: str) -> Iterator[T]:
    """Yield ``items`` and count each as done when the next one is asked for."""
    with meter(description, total, unit) as shown:
        for item in items:
            yield item
            shown.advance()


class _Bar:
    def __init__(self, bar: RichProgress, description: str, total: int, before: int) -> None:
        self._bar = bar
        self._task = bar.add_task(description, total=total, completed=before, note="")

    def advance(self, count: int = 1, note: str = "") -> None:
        self._bar.update(self._task, advance=count, note=note)


class _Lines:
    def __init__(self, description: str, total: int, unit: str, before: int) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done = self._before = before
        self._start = self._shown = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count
        now = time.monotonic()
        short = now - self._start < _PLAIN_SECONDS  # a log needs no line about it
        distance = min(max(_PLAIN_SECONDS, (now - self._start) / 10), _MOST_SECONDS)
        if short or (self._done < self._total and now - self._shown < distance):
            return
        self._shown = now
        rate = (self._done - self._before) / max(now - self._start, 1e-9)
        left = duration((self._total - self._done) / max(rate, 1e-9))
        state = f"{self._done}/{self._total} {self._unit}, {rate:.3g}/s, {left} left"
        sys.stderr.write(f"{self._description}: {state}{', ' + note if note else ''}\n")
        sys.stderr.flush()


class _Rate(ProgressColumn):
    """Units per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """Return the rate of a task, or a blank before it is known."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.3g} {self._unit}/s" if speed else "", style="progress.data.speed")
