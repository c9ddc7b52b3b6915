"""The scratch directory of a run in progress: held by one process, outside everything that DVC keeps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wsolbench.errors import TrainingError
from wsolbench.files import locked

__all__ = ["exclusive", "log_file"]


@contextmanager
def exclusive(work: Path) -> Iterator[Path]:
    """Hold a run's scratch directory; a second trainer, such as one that a killed ``dvc repro`` has left, is refused.

    Raises:
        TrainingError: another process holds it.
    """
    work.mkdir(parents=True, exist_ok=True)
    lock = work.parent / f"{work.name}.lock"
    busy = TrainingError(f"another process is training '{work.name}' (it holds {lock}); wait for it or stop it")
    with locked(lock, busy):
        yield work


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
