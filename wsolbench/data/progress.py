"""Progress of long loops: a bar on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import track as bar

__all__ = ["track"]

T = TypeVar("T")

_SECONDS_BETWEEN_LINES = 10.0


def track(items: Iterable[T], total: int, title: str) -> Iterator[T]:
    """Pass items through and show on stderr how many have gone by.

    Args:
        items: what is iterated over.
        total: how many there will be.
        title: what is being done, e.g. ``checking images``.

    Yields:
        The items, unchanged. Loops that take less than 10 s print nothing where there is no terminal.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        yield from bar(items, title, total, console=console, transient=True)
        return
    due = time.monotonic() + _SECONDS_BETWEEN_LINES
    for done, item in enumerate(items, 1):
        yield item
        if time.monotonic() >= due:
            print(f"{title}: {done} of {total}", file=sys.stderr, flush=True)
            due = time.monotonic() + _SECONDS_BETWEEN_LINES
