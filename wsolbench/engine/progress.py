"""Progress of a training."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from mmengine.hooks import Hook

from wsolbench.progress import Meter, meter

__all__ = ["ProgressMeter"]


class ProgressMeter(Hook):  # type: ignore[misc]
    """Shows images per second, the loss and the learning rate.

    The loss is read from the device once every ``every`` iterations.

    Args:
        description: what is trained.
        images: images that the whole training sees.
        every: iterations between two looks at the loss.
    """

    priority = "LOWEST"

    def __init__(self, description: str, images: int, every: int = 10) -> None:
        self._description, self._images, self._every = description, images, every
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
        if (runner.iter + 1) % self._every and runner.iter + 1 < runner.max_iters:
            return
        terms = ", ".join(f"{name} {float(value):.3f}" for name, value in runner.model.losses.items())
        rate = runner.optim_wrapper.param_groups[0]["lr"]
        assert self._meter is not None  # noqa: S101 - mmengine calls before_train first
        self._meter.advance(self._pending, f"epoch {runner.epoch + 1}/{runner.max_epochs}, {terms}, lr {rate:.2g}")
        self._pending = 0

    def after_train(self, runner: Any) -> None:
        """Close the meter."""
        self.close()

    def close(self) -> None:
        """Close the meter, also after an error."""
        self._stack.close()
