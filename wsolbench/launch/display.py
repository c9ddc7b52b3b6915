"""What a launch shows: on a terminal what runs now, in a log a line when something ends, and now and then between."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from wsolbench.runs.progress import duration

__all__ = ["Display", "Row"]

_FIRST_S, _MOST_S = 60.0, 600.0  # between two lines about what runs, in a log: a tenth of the time gone by
_MOST_ROWS = 12

Row = tuple[str, str, float]
"""Stage that runs, how far it is, and for how many seconds it has run."""


class Display:
    """Shows on standard error how far a launch of ``total`` stages is; ``clock`` gives monotonic seconds."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock, self._console = total, clock, Console(stderr=True)
        self._start = self._said = clock()
        live = self._console.is_terminal
        self._live = Live(console=self._console, auto_refresh=False, transient=True) if live else None

    def __enter__(self) -> Self:
        """Begin to show."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what was printed, and nothing else."""
        if self._live is not None:
            self._live.stop()

    def say(self, text: str) -> None:
        """Print a line for good."""
        self._said = self._clock()
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def update(self, rows: Sequence[Row], done: int, left: float | None) -> None:
        """Show what runs now, how many stages are done, and in how many seconds all are, where that is known."""
        if self._live is not None:
            self._live.update(self._table(rows, done, left), refresh=True)
            return
        now = self._clock()
        if rows and now >= self._said + min(max(_FIRST_S, (now - self._start) / 10), _MOST_S):
            running = "; ".join(f"{stage}{f' ({note})' if note else ''}" for stage, note, _ in rows[:_MOST_ROWS])
            more = f" and {len(rows) - _MOST_ROWS} more" if len(rows) > _MOST_ROWS else ""
            self.say(f"running: {running}{more}; {self.state(done, left)}")

    def state(self, done: int, left: float | None) -> str:
        """Return how many stages are done, and the time left."""
        counted = f"{done}/{self._total} stages done"
        return f"{counted}, about {duration(left)} left" if left else counted

    def _table(self, rows: Sequence[Row], done: int, left: float | None) -> Group:
        table = Table.grid(padding=(0, 2))
        for stage, note, seconds in rows[:_MOST_ROWS]:
            table.add_row(stage, note, duration(seconds))
        end = Table.grid(padding=(0, 2))
        end.add_row(ProgressBar(self._total, done, width=30), self.state(done, left))
        return Group(table, end)
