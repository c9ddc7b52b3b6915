"""Hooks of mmengine that observe a training: a progress meter, and curves for its visualisers."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import mmengine.visualization  # noqa: F401 - registers its classes
from mmengine.hooks import Hook
from mmengine.registry import VISBACKENDS

from wsolbench.config.schema import check_known
from wsolbench.errors import SettingsError
from wsolbench.runs.progress import Meter, Progress, meter, write_progress
from wsolbench.training.history import History

__all__ = ["Curves", "ProgressHook", "check_visualisers"]

_WRITE_S = 2.0  # between two writes of the file


class ProgressHook(Hook):  # type: ignore[misc]
    """Shows images per second, the losses that were last checked (none is read here), and the learning rate.

    It also writes a file every few seconds, from the first iteration on, for whoever waits for the training.
    """

    def __init__(self, description: str, history: History, file: Path) -> None:
        self._description, self._history, self._file = description, history, file
        self._stack = ExitStack()

    def before_train(self, runner: Any) -> None:
        """Open the meter."""
        self._total, self._before = runner.max_epochs * len(runner.train_dataloader.dataset), _images(runner)
        self._start, self._written = time.monotonic(), -math.inf
        opened = meter(self._description, self._total, "images", self._before)
        self._meter: Meter = self._stack.enter_context(opened)
        self._done = self._before

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Count the batch."""
        losses, epoch = self._history.latest, f"epoch {runner.epoch + 1}/{runner.max_epochs}"
        done, before = _images(runner), self._done
        terms = [f"{name} {value:.3f}" for name, value in losses.items()]
        self._meter.advance(done - before, ", ".join([epoch, *terms, f"lr {runner.optimiser.rate:.2g}"]))
        self._done, now = done, time.monotonic()
        if now - self._written >= _WRITE_S or runner.iter == runner.max_iters:
            self._written = now
            note = f"{epoch}, loss {sum(losses.values()):.3f}" if losses else epoch
            write_progress(self._file, Progress(done, self._total, done - self._before, now - self._start, note))

    def after_train(self, runner: Any) -> None:
        """Close the meter, also after an error."""
        self._stack.close()


def _images(runner: Any) -> int:
    """Return how many images a training has seen."""
    loader = runner.train_dataloader
    epochs, batches = divmod(runner.iter, len(loader))
    return int(epochs * len(loader.dataset) + batches * loader.batch_sampler.batch_size)


def check_visualisers(names: Sequence[str]) -> None:
    """Check that all names are those of visualisers: mmengine would import and call whatever else they name.

    Raises:
        SettingsError: one is not.
    """
    for name in names:
        check_known("params.yaml: runtime.visualisers", name, VISBACKENDS.module_dict, error=SettingsError)


class Curves(Hook):  # type: ignore[misc]
    """Writes each epoch's mean losses, rate and images per second with mmengine's visualisers, by iteration."""

    def __init__(self, history: History, names: Sequence[str], folder: Path) -> None:
        self._history = history
        self._writers = [VISBACKENDS.build({"type": name, "save_dir": str(folder)}) for name in names]

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
