"""Progress of long work: a bar with rate and time left on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Protocol, TypeVar

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

__all__ = ["Meter", "meter", "track"]

T = TypeVar("T")
_PLAIN_SECONDS = 10.0  # distance of plain lines


class Meter(Protocol):
    """Something that shows how far the work has come."""

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units as done; ``note`` is shown behind the rate."""
        ...


@contextmanager
def meter(description: str, total: int, unit: str) -> Iterator[Meter]:
    """Show progress of ``total`` units on standard error while the context is open.

    Where that is no terminal, work of less than 10 s prints nothing.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(description, total, unit)
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
        yield _Bar(bar, description, total)


def track(items: Iterable[T], description: str, total: int, unit: str) -> Iterator[T]:
    """Yield ``items`` and count each as done when the next one is asked for."""
    with meter(description, total, unit) as shown:
        for item in items:
            yield item
            shown.advance()


class _Bar:
    def __init__(self, bar: RichProgress, description: str, total: int) -> None:
        self._bar = bar
        self._task = bar.add_task(description, total=total, note="")

    def advance(self, count: int = 1, note: str = "") -> None:
        self._bar.update(self._task, advance=count, note=note)


class _Lines:
    def __init__(self, description: str, total: int, unit: str) -> None:
        self._description, self._total, self._unit = description, total, unit
        self._done = 0
        self._start = self._shown = time.monotonic()

    def advance(self, count: int = 1, note: str = "") -> None:
        self._done += count
        now = time.monotonic()
        short = now - self._start < _PLAIN_SECONDS  # a log needs no line about it
        if short or (self._done < self._total and now - self._shown < _PLAIN_SECONDS):
            return
        self._shown = now
        rate = self._done / max(now - self._start, 1e-9)
        left = (self._total - self._done) / max(rate, 1e-9)
        state = f"{self._done}/{self._total} {self._unit}, {rate:.0f}/s, {left:.0f} s left"
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
        return Text(f"{speed:.0f} {self._unit}/s" if speed else "", style="progress.data.speed")
