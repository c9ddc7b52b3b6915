"""A scheduler's warning, noted instead of died of."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["StopRequest", "stop_requests"]


@dataclass
class StopRequest:
    """Which signal asked for a stop, if any."""

    number: int | None = None


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note SIGINT and SIGTERM instead of dying, while the context is open; a second one acts as it always does."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore() -> None:
        for number, handler in former.items():
            signal.signal(number, handler)

    def note(number: int, frame: Any) -> None:
        del frame
        request.number = number
        restore()

    for number in former:
        signal.signal(number, note)
    try:
        yield request
    finally:
        restore()
