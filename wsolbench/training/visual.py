"""Curves of a training for TensorBoard, or another of mmengine's visualisers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmengine.visualization  # noqa: F401 - registers its classes
from mmengine.hooks import Hook
from mmengine.registry import VISBACKENDS

from wsolbench.config.schema import check_known
from wsolbench.errors import SettingsError
from wsolbench.training.history import History

__all__ = ["Curves", "check_visualisers"]


def check_visualisers(names: Sequence[str]) -> None:
    """Check that all names are those of visualisers: mmengine would import and call whatever else they name.

    Raises:
        SettingsError: one is not.
    """
    for name in names:
        check_known("params.yaml: runtime.visualisers", name, VISBACKENDS.module_dict, error=SettingsError)


class Curves(Hook):  # type: ignore[misc]
    """Writes each epoch's mean losses, learning rate and images per second, by iteration.

    Args:
        history: where losses and rate are taken from; it runs first.
        names: of mmengine's visualisers.
        folder: where they write.
    """

    priority = "VERY_LOW"

    def __init__(self, history: History, names: Sequence[str], folder: Path) -> None:
        self._history = history
        self._writers = [VISBACKENDS.build({"type": name, "save_dir": str(folder)}) for name in names]
        self._start = time.monotonic()

    def before_train_epoch(self, runner: Any) -> None:
        """Start the clock."""
        self._start = time.monotonic()

    def after_train_epoch(self, runner: Any) -> None:
        """Write the epoch's numbers."""
        row = dict(self._history.rows[-1])
        step = int(row.pop("iteration"))
        rate = len(runner.train_dataloader.dataset) / (time.monotonic() - self._start)
        for writer in self._writers:
            writer.add_scalars(row | {"images_per_second": rate}, step=step)

    def after_train(self, runner: Any) -> None:
        """Write what is still held back."""
        for writer in self._writers:
            writer.close()
