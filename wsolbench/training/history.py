"""Mean losses per epoch, and a stop on nonsense."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.hooks import Hook
from torch import Tensor

from wsolbench.errors import DivergedError, TrainingError

__all__ = ["BLOCK", "History"]

BLOCK = 10
"""Iterations whose losses are looked at together."""

_COLUMNS = ("epoch", "iteration", "lr")
_log = logging.getLogger("wsolbench.train")


@dataclass(frozen=True)
class _Block:
    """Losses of some iterations on their way to the CPU.

    Attributes:
        first: number of the first iteration, from 1.
        values: ``(iterations, terms)`` float64 on the CPU, valid after :meth:`arrive`.
        copied: reached on the device when they are there; None where nothing has to be waited for.
    """

    first: int
    values: Tensor
    copied: torch.cuda.Event | None

    @classmethod
    def of(cls, first: int, values: Tensor) -> _Block:
        """Send values off, without waiting for them or for the device."""
        here = values.to("cpu", non_blocking=True)  # page-locked, if they come from another device
        if values.device.type == "cpu":
            return cls(first, here, None)
        copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
        copied.record()
        return cls(first, here, copied)

    def arrive(self) -> None:
        """Wait for the values."""
        if self.copied is not None:
            self.copied.synchronize()


class History(Hook):  # type: ignore[misc]
    """Mean of every loss per epoch, as deterministic as the training itself.

    Losses stay on the device and are read ten iterations at a time, ten iterations later, so that nothing waits for
    them. A loss that is not finite, or has another name than before, ends the training with an error that names method,
    iteration and term.

    Args:
        run: key of the run, for messages.
        recipe: what else belongs into a message about a loss: batch and precision.

    Attributes:
        rows: one mapping per epoch: epoch (from 1), iterations so far, first learning rate, mean of each loss, and what
            was noted.
        noted: numbers that others have found out about the epoch that ends, by name.
        latest: mean of each loss over the last iterations that were looked at.
    """

    priority = "LOW"

    def __init__(self, run: str = "", recipe: str = "") -> None:
        self._run, self._recipe = run, recipe
        self.rows: list[dict[str, float]] = []
        self.noted: dict[str, float] = {}
        self.latest: dict[str, float] = {}
        self._terms: list[str] = []
        self._sums: Tensor | None = None
        self._pending: list[Tensor] = []
        self._coming: _Block | None = None
        self._count = 0
        self._start = time.monotonic()
        self._rate = math.nan
        self._resumed = False

    def before_train_epoch(self, runner: Any) -> None:
        """Start the sums of a new epoch, or go on with those of an interrupted one."""
        self._start = time.monotonic()
        if not (self._resumed and self._count):
            self._sums, self._pending, self._count = None, [], 0
            self._rate = float(runner.optim_wrapper.param_groups[0]["lr"])
        self._resumed = False

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Keep the losses of a step, and look at a full block of them."""
        self._check_terms(runner)
        self._pending.append(runner.model.losses)
        self._count += 1
        if len(self._pending) == BLOCK:
            self._gather(runner, runner.iter + 1)

    def after_train_epoch(self, runner: Any) -> None:
        """Write a row, or stop."""
        if self._pending:
            self._gather(runner, runner.iter)
        self.check(runner, runner.iter)
        assert self._sums is not None  # noqa: S101 - an epoch has at least one iteration
        means = dict(zip(self._terms, (self._sums / self._count).tolist(), strict=True))
        terms = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
        _log.info(
            "epoch %d/%d: %s, lr %.3g, %.1f s",
            *(runner.epoch + 1, runner.max_epochs, terms, self._rate, time.monotonic() - self._start),
        )
        row = {"epoch": runner.epoch + 1, "iteration": runner.iter, "lr": self._rate}
        self.rows.append(row | {f"loss_{name}": value for name, value in means.items()} | self.noted)
        self._sums, self._count, self.noted = None, 0, {}

    def check(self, runner: Any, done: int) -> None:
        """Look at all losses up to iteration ``done``; waits for the device.

        Raises:
            DivergedError: one of them is not finite.
        """
        self._look(runner)
        if self._pending:
            self._coming = _Block.of(done - len(self._pending) + 1, torch.stack(self._pending).double())
            self._look(runner)

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
        epoch = {"terms": self._terms, "sums": self._sums, "pending": self._pending}
        return {"rows": self.rows, **epoch, "count": self._count, "rate": self._rate}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self.rows, self._terms = list(state["rows"]), list(state["terms"])
        self._sums, self._pending = state["sums"], list(state["pending"])
        self._count, self._rate, self._resumed = state["count"], state["rate"], True

    def _check_terms(self, runner: Any) -> None:
        """Check that the step had the losses of the steps before.

        Raises:
            TrainingError: they have other names.
        """
        terms = list(runner.model.terms)
        if self._terms and terms != self._terms:
            raise TrainingError(
                f"{self._run}: {type(runner.model.method).__name__} returned the losses {terms} at iteration "
                f"{runner.iter + 1} of {runner.max_iters}, and {self._terms} before; return the same names in the same "
                "order in every step, 0 for a loss that has no part in one"
            )
        self._terms = terms

    def _gather(self, runner: Any, done: int) -> None:
        """Add the pending losses, of iterations up to ``done``, to the sums, and send them to the CPU."""
        block = torch.stack(self._pending).double()
        total = block.sum(0)
        self._sums = total if self._sums is None else self._sums + total
        self._look(runner)  # at the block before, which has long arrived
        self._coming = _Block.of(done - len(self._pending) + 1, block)
        self._pending = []
        if self._coming.copied is None:
            self._look(runner)

    def _look(self, runner: Any) -> None:
        """Look at the block that was sent off last.

        Raises:
            DivergedError: a loss is not finite.
        """
        block, self._coming = self._coming, None
        if block is None:
            return
        block.arrive()
        bad = torch.nonzero(~block.values.isfinite()).tolist()
        if bad:
            iteration, term = block.first + bad[0][0], self._terms[bad[0][1]]
            raise DivergedError(
                f"{self._run}: loss '{term}' of {type(runner.model.method).__name__} is not finite at iteration "
                f"{iteration} of {runner.max_iters} (epoch {runner.epoch + 1}, {self._recipe}). Lower the learning "
                "rate (lr, head_lr_mult), add warmup_iters, set clip_grad_norm, or set amp: off; the last state that "
                "was saved is good"
            )
        self.latest = dict(zip(self._terms, block.values.mean(0).tolist(), strict=True))
