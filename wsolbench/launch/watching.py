"""What a process that has started others needs: when it is asked to stop, and what one of them printed last."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["log_tail", "stop_requests"]


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect the signals that ask to stop, while the context is open.

    Yields:
        Their numbers as they come: SIGINT, SIGTERM, SIGHUP.
    """
    received: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, lambda got, _: received.append(got)) for number in numbers]
    try:
        yield received
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def log_tail(log: Path, lines: int) -> str:
    """Return the last lines of a log that are not empty, each on an indented line; nothing if there is no log."""
    printed = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "".join(f"\n    {line}" for line in [line for line in printed if line.strip()][-lines:])
