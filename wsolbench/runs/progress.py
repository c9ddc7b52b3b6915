"""Progress of long work: a bar with rate and time left on a terminal, plain lines in a log."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as RichProgress

from wsolbench.errors import DataError
from wsolbench.files import parse_file, write_text

__all__ = ["PROGRESS_FILE", "Meter", "Progress", "duration", "meter", "read_progress", "track", "write_progress"]

T = TypeVar("T")
PROGRESS_FILE = "progress.json"
"""In the scratch directory of a run."""

_PLAIN_SECONDS, _MOST_SECONDS = 10.0, 600.0  # distance of plain lines: a tenth of the time gone by


@dataclass(frozen=True)
class Progress:
    """How far a training is, in images."""

    done: int  # with those before it was interrupted
    total: int
    fresh: int  # those that the process which runs has trained on
    seconds: float  # that it took for them
    note: str  # epoch and the sum of the losses, for people


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


class Meter:
    """Shows how far some work has come: in a bar, or in lines that come ever less often."""

    def __init__(self, description: str, total: int, unit: str, before: int, bar: RichProgress | None) -> None:
        self._description, self._total, self._unit, self._bar = description, total, unit, bar
        self._done = self._before = before
        self._start = self._shown = time.monotonic()
        self._task = None if bar is None else bar.add_task(description, total=total, completed=before, state="")

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count ``count`` more units as done; ``note`` is shown behind the rate and the time left."""
        self._done += count
        now = time.monotonic()
        rate = (self._done - self._before) / max(now - self._start, 1e-9)
        left = duration((self._total - self._done) / max(rate, 1e-9))
        state = f"{self._done}/{self._total} {self._unit}, {rate:.3g}/s, {left} left{', ' + note if note else ''}"
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=count, state=state)
            return
        short = now - self._start < _PLAIN_SECONDS  # a log needs no line about it
        distance = min(max(_PLAIN_SECONDS, (now - self._start) / 10), _MOST_SECONDS)
        if not short and (self._done >= self._total or now - self._shown >= distance):
            self._shown = now
            sys.stderr.write(f"{self._description}: {state}\n")
            sys.stderr.flush()


@contextmanager
def meter(description: str, total: int, unit: str, before: int = 0) -> Iterator[Meter]:
    """Show progress of ``total`` units, of which ``before`` were done earlier, on standard error.

    Where that is no terminal, work of less than 10 s prints nothing.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Meter(description, total, unit, before, None)
        return
    columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[state]}")
    with RichProgress(*columns, console=console) as bar:
        yield Meter(description, total, unit, before, bar)


def track(items: Iterable[T], description: str, total: int, unit: str) -> Iterator[T]:
    """Yield ``items`` and count each as done when the next one is asked for."""
    with meter(description, total, unit) as shown:
        for item in items:
            yield item
            shown.advance()
