"""What the training loop does besides training: progress, a history, and a stop on nonsense."""

from __future__ import annotations

import csv
import io
import logging
import time
from contextlib import ExitStack
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from wsolbench.errors import WsolbenchError
from wsolbench.progress import Meter, meter

__all__ = ["History", "ProgressMeter", "TrainingError"]

_log = logging.getLogger("wsolbench.train")


class TrainingError(WsolbenchError):
    """A training cannot go on."""


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

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Count the batch."""
        self._pending += len(data_batch[1])
        if (runner.iter + 1) % self._every and runner.iter + 1 < runner.max_iters:
            return
        terms = ", ".join(f"{name} {float(value):.3f}" for name, value in runner.model.losses.items())
        rate = runner.optim_wrapper.param_groups[0]["lr"]
        assert self._meter is not None  # noqa: S101 - mmengine calls before_train first
        self._meter.advance(self._pending, f"epoch {runner.epoch + 1}/{runner.max_epochs}, {terms}, lr {rate:.2g}")
        self._pending = 0

    def after_train(self, runner: Any) -> None:
        """Close the meter."""
        self._stack.close()


class History(Hook):  # type: ignore[misc]
    """Mean of every loss per epoch, as deterministic as the training itself.

    Losses are summed on the device and read once per epoch; a loss that is not finite ends the training with an
    error that names method, epoch and term.

    Attributes:
        rows: one mapping per epoch: epoch (from 1), iterations so far, first learning rate, mean of each loss.
    """

    priority = "LOW"

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}
        self._count = 0

    def before_train_epoch(self, runner: Any) -> None:
        """Start the sums of a new epoch."""
        self._sums, self._count = {}, 0
        self._start = time.monotonic()
        self._rate = float(runner.optim_wrapper.param_groups[0]["lr"])

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Add the losses of a step."""
        for name, value in runner.model.losses.items():
            value64 = value.double()
            self._sums[name] = self._sums[name] + value64 if name in self._sums else value64
        self._count += 1

    def after_train_epoch(self, runner: Any) -> None:
        """Write a row, or stop."""
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        bad = [name for name, value in means.items() if not torch.isfinite(torch.tensor(value))]
        if bad:
            method = type(runner.model.method).__name__
            raise TrainingError(
                f"{method}: loss '{bad[0]}' is not finite in epoch {runner.epoch + 1}. Lower the learning rate "
                "(tracks.*.lr, head_lr_mult), add warmup_iters, or set amp: off"
            )
        terms = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
        _log.info(
            "epoch %d/%d: %s, lr %.3g, %.1f s",
            *(runner.epoch + 1, runner.max_epochs, terms, self._rate, time.monotonic() - self._start),
        )
        row = {"epoch": runner.epoch + 1, "iteration": runner.iter, "lr": self._rate}
        self.rows.append(row | {f"loss_{name}": value for name, value in means.items()})

    def as_csv(self) -> str:
        """Return the rows as CSV text."""
        stream = io.StringIO()
        writer = csv.DictWriter(stream, fieldnames=list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return stream.getvalue()
