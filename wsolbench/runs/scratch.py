"""A run in progress: its scratch directory, held by one process, its log, and requests to stop it."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wsolbench.errors import TrainingError
from wsolbench.files import locked, writing

__all__ = ["StopRequest", "exclusive", "log_file", "stop_requests"]


@contextmanager
def exclusive(work: Path) -> Iterator[Path]:
    """Hold a run's scratch directory; a second trainer, such as one that a killed ``dvc repro`` has left, is refused.

    Raises:
        TrainingError: another process holds it.
    """
    with writing(work):
        work.mkdir(parents=True, exist_ok=True)
    lock = work.parent / f"{work.name}.lock"
    busy = TrainingError(f"another process is training '{work.name}' (it holds {lock}); wait for it or stop it")
    with locked(lock, busy):
        yield work


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Write the package's log lines to ``path`` while the context is open."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("wsolbench")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()


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
