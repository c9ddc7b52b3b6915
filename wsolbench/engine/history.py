"""Mean losses per epoch, and a stop on nonsense."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from typing import Any

from mmengine.hooks import Hook
from torch import Tensor

from wsolbench.errors import WsolbenchError

__all__ = ["History", "TrainingError"]

_COLUMNS = ("epoch", "iteration", "lr")
_log = logging.getLogger("wsolbench.train")


class TrainingError(WsolbenchError):
    """A training cannot go on."""


class History(Hook):  # type: ignore[misc]
    """Mean of every loss per epoch, as deterministic as the training itself.

    Losses are summed on the device and read once per epoch; a loss that is not finite ends the training with an
    error that names method, epoch and term.

    Attributes:
        rows: one mapping per epoch: epoch (from 1), iterations so far, first learning rate, mean of each loss, and what
            was noted.
        noted: numbers that others have found out about the epoch that ends, by name.
    """

    priority = "LOW"

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []
        self.noted: dict[str, float] = {}
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._start = time.monotonic()
        self._rate = math.nan
        self._resumed = False

    def before_train_epoch(self, runner: Any) -> None:
        """Start the sums of a new epoch, or go on with those of an interrupted one."""
        self._start = time.monotonic()
        if not (self._resumed and self._count):
            self._sums, self._count = {}, 0
            self._rate = float(runner.optim_wrapper.param_groups[0]["lr"])
        self._resumed = False

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Add the losses of a step."""
        for name, value in runner.model.losses.items():
            value64 = value.double()
            self._sums[name] = self._sums[name] + value64 if name in self._sums else value64
        self._count += 1

    def after_train_epoch(self, runner: Any) -> None:
        """Write a row, or stop."""
        means = self.checked_means(runner)
        terms = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
        _log.info(
            "epoch %d/%d: %s, lr %.3g, %.1f s",
            *(runner.epoch + 1, runner.max_epochs, terms, self._rate, time.monotonic() - self._start),
        )
        row = {"epoch": runner.epoch + 1, "iteration": runner.iter, "lr": self._rate}
        self.rows.append(row | {f"loss_{name}": value for name, value in means.items()} | self.noted)
        self._sums, self._count, self.noted = {}, 0, {}

    def checked_means(self, runner: Any) -> dict[str, float]:
        """Return the mean of each loss so far in this epoch; waits for the device.

        Raises:
            TrainingError: one of them is not finite.
        """
        means = {name: float(total) / self._count for name, total in self._sums.items()}
        bad = [name for name, value in means.items() if not math.isfinite(value)]
        if bad:
            method = type(runner.model.method).__name__
            place = f"epoch {runner.epoch + 1}, at iteration {runner.iter} or before"
            raise TrainingError(
                f"{method}: loss '{bad[0]}' is not finite in {place}. Lower the learning rate (tracks.*.lr, "
                "head_lr_mult), add warmup_iters, or set amp: off; the last state that was saved is good"
            )
        return means

    def as_csv(self) -> str:
        """Return the rows as CSV text."""
        stream = io.StringIO()
        columns = list(self.rows[0]) if self.rows else _COLUMNS
        writer = csv.DictWriter(stream, fieldnames=columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return stream.getvalue()

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs to go on within or between epochs."""
        return {"rows": self.rows, "sums": self._sums, "count": self._count, "rate": self._rate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.rows, self._sums = list(state["rows"]), dict(state["sums"])
        self._count, self._rate, self._resumed = state["count"], state["rate"], True
