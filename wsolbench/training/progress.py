"""Progress of a training."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mmengine.hooks import Hook

from wsolbench.runs.progress import Meter, Progress, meter, write_progress
from wsolbench.training.history import History

__all__ = ["ProgressMeter"]

_WRITE_S = 2.0  # between two writes of the file


class ProgressMeter(Hook):  # type: ignore[misc]
    """Shows images per second, the losses and the learning rate.

    Losses are those that the history has last looked at: none is read here.

    Args:
        description: what is trained.
        images: images that the whole training sees.
        history: where losses are taken from; it runs first.
        file: is written every few seconds, from the first iteration on, for whoever waits for the training.
    """

    priority = "LOWEST"

    def __init__(self, description: str, images: int, history: History, file: Path) -> None:
        self._description, self._images, self._history, self._file = description, images, history, file
        self._stack = ExitStack()
        self._meter: Meter | None = None
        self._before = self._done = 0
        self._start = self._written = -math.inf

    def before_train(self, runner: Any) -> None:
        """Open the meter."""
        loader = runner.train_dataloader
        epochs, batches = divmod(runner.iter, len(loader))
        self._before = self._done = epochs * len(loader.dataset) + batches * loader.batch_sampler.batch_size
        self._start, self._written = time.monotonic(), -math.inf
        self._meter = self._stack.enter_context(meter(self._description, self._images, "images", self._before))

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Count the batch."""
        loader = runner.train_dataloader
        full, before = loader.batch_sampler.batch_size, runner.iter % len(loader)
        images = min(full, len(loader.dataset) - before * full)
        self._done += images
        losses = self._history.latest
        rate = runner.optim_wrapper.param_groups[0]["lr"]
        assert self._meter is not None  # noqa: S101 - mmengine calls before_train first
        epoch = f"epoch {runner.epoch + 1}/{runner.max_epochs}"
        terms = [f"{name} {value:.3f}" for name, value in losses.items()]
        self._meter.advance(images, ", ".join([epoch, *terms, f"lr {rate:.2g}"]))
        now = time.monotonic()
        if now - self._written >= _WRITE_S or runner.iter + 1 == runner.max_iters:
            self._written = now
            done, fresh = self._done, self._done - self._before
            note = f"{epoch}, loss {sum(losses.values()):.3f}" if losses else epoch
            write_progress(self._file, Progress(done, self._images, fresh, now - self._start, note))

    def after_train(self, runner: Any) -> None:
        """Close the meter."""
        self.close()

    def close(self) -> None:
        """Close the meter, also after an error."""
        self._stack.close()
