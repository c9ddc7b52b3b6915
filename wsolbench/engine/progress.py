"""Progress of a training."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from mmengine.hooks import Hook

from wsolbench.engine.history import BLOCK, History
from wsolbench.progress import Meter, meter

__all__ = ["ProgressMeter"]


class ProgressMeter(Hook):  # type: ignore[misc]
    """Shows images per second, the losses and the learning rate.

    Losses are those that the history has last looked at: none is read here.

    Args:
        description: what is trained.
        images: images that the whole training sees.
        history: where losses are taken from; it runs first.
    """

    priority = "LOWEST"

    def __init__(self, description: str, images: int, history: History) -> None:
        self._description, self._images, self._history = description, images, history
        self._stack = ExitStack()
        self._meter: Meter | None = None
        self._pending = 0

    def before_train(self, runner: Any) -> None:
        """Open the meter."""
        self._meter = self._stack.enter_context(meter(self._description, self._images, "images"))
        if runner.iter:
            loader = runner.train_dataloader
            epochs, batches = divmod(runner.iter, len(loader))
            seen = epochs * len(loader.dataset) + batches * loader.batch_sampler.batch_size
            self._meter.advance(seen, f"resumed after iteration {runner.iter}")

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Count the batch."""
        loader = runner.train_dataloader
        full, before = loader.batch_sampler.batch_size, runner.iter % len(loader)
        self._pending += min(full, len(loader.dataset) - before * full)
        if (runner.iter + 1) % BLOCK and runner.iter + 1 < runner.max_iters:
            return
        terms = ", ".join(f"{name} {value:.3f}" for name, value in self._history.latest.items())
        rate = runner.optim_wrapper.param_groups[0]["lr"]
        assert self._meter is not None  # noqa: S101 - mmengine calls before_train first
        shown = [f"epoch {runner.epoch + 1}/{runner.max_epochs}", *([terms] if terms else []), f"lr {rate:.2g}"]
        self._meter.advance(self._pending, ", ".join(shown))
        self._pending = 0

    def after_train(self, runner: Any) -> None:
        """Close the meter."""
        self.close()

    def close(self) -> None:
        """Close the meter, also after an error."""
        self._stack.close()
