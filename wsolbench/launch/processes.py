"""Processes that this one has started: their environment, what asks to stop, how groups end, and what one printed."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

__all__ = ["STOPPED", "end_groups", "log_tail", "stop_requests", "with_our_programs"]

STOPPED = 130  # exit status of what was told to stop
_GRACE_S = 60.0  # that a training has to save its state
_STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def with_our_programs() -> dict[str, str]:
    """Return this process's environment with its own programs first, so that stages find ``wsolbench``."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


@contextlib.contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Collect the signals that ask to stop, while the context is open; yields their numbers as they come."""
    received: list[int] = []
    before = [signal.signal(number, lambda got, _: received.append(got)) for number in _STOPS]
    try:
        yield received
    finally:
        for number, handler in zip(_STOPS, before, strict=True):
            signal.signal(number, handler)


def end_groups(groups: Iterable[int]) -> None:
    """Interrupt process groups as Ctrl-C would, all at once, and kill what is left of them after a minute."""
    left = list(groups)
    for number, seconds in ((signal.SIGINT, _GRACE_S), (signal.SIGKILL, 1.0)):
        for group in left:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)
        deadline = time.monotonic() + seconds
        while (left := [group for group in left if _lives(group)]) and time.monotonic() < deadline:
            time.sleep(0.05)


def _lives(group: int) -> bool:
    """Return whether a group has a process; a leader that has ended waits for the others, and then for its parent."""
    try:
        os.killpg(group, 0)
        return Path(f"/proc/{group}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # the leader has gone before the others; or there is no /proc
        return True


def log_tail(log: Path, lines: int) -> str:
    """Return the last lines of a log that are not empty, each on an indented line; nothing if there is no log."""
    printed = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    return "".join(f"\n    {line}" for line in [line for line in printed if line.strip()][-lines:])
