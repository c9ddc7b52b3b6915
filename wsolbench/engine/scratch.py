"""The scratch directory of a run in progress: held by one process, outside everything that DVC keeps."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from wsolbench.engine.history import TrainingError

__all__ = ["exclusive", "log_file", "move_into_place"]


def move_into_place(out: Path, target: Path) -> None:
    """Put a finished directory where it belongs, in place of an older one, and remove its scratch."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    out.replace(target)
    shutil.rmtree(out.parent, ignore_errors=True)


_held: set[TextIO] = set()


def _let_go() -> None:
    """Close a parent's locks in its child: a loader's worker that outlives a killed trainer must not hold them."""
    for lock in _held:
        lock.close()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def exclusive(work: Path) -> Iterator[Path]:
    """Hold the run's scratch directory; a second trainer of the same run is refused.

    A killed ``dvc repro`` leaves its training running, and the next one would start a second in the same place.
    """
    work.mkdir(parents=True, exist_ok=True)
    with (work.parent / f"{work.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"another process is training '{work.name}' (it holds {lock.name}); wait for it or stop it"
            ) from None
        _held.add(lock)
        try:
            yield work
        finally:
            _held.discard(lock)


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Write the package's log lines to ``path`` while the context is open."""
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
