"""Curves of a training for TensorBoard, or another of mmengine's visualisers."""

from __future__ import annotations

import time
from typing import Any

from mmengine.hooks import Hook

from wsolbench.engine.history import History

__all__ = ["Curves"]


class Curves(Hook):  # type: ignore[misc]
    """Writes each epoch's mean losses, learning rate and images per second, by iteration.

    Args:
        history: where losses and rate are taken from; it runs first.
    """

    priority = "VERY_LOW"

    def __init__(self, history: History) -> None:
        self._history = history
        self._start = time.monotonic()

    def before_train_epoch(self, runner: Any) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def after_train_epoch(self, runner: Any) -> None:
        """Write the epoch's numbers."""
        row = dict(self._history.rows[-1])
        step = int(row.pop("iteration"))
        rate = len(runner.train_dataloader.dataset) / (time.monotonic() - self._start)
        runner.visualizer.add_scalars(row | {"images_per_second": rate}, step=step)

    def after_train(self, runner: Any) -> None:
        """Write what is still held back."""
        runner.visualizer.close()
