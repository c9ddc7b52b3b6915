"""Mean losses per epoch, and a stop on nonsense."""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from wsolbench.errors import DivergedError, TrainingError

__all__ = ["BLOCK", "History"]

BLOCK = 10
"""Iterations whose losses are checked together."""

_COLUMNS = ("epoch", "iteration", "lr")
_log = logging.getLogger("wsolbench.train")


class History:
    """Mean of every loss per epoch, as deterministic as the training itself.

    Losses stay on the device and are read ten iterations at a time, ten iterations later, so that nothing waits for
    them. A loss that is not finite, or has another name than before, ends the training with an error that names method,
    iteration and term.

    The arguments are for messages: key of the run, class of the method, batch and precision, and the training's length.

    Attributes:
        rows: one mapping per epoch: epoch (from 1), iterations so far, first learning rate, mean of each loss, and
            scores of the epoch.
        latest: mean of each loss over the last iterations that were checked.
    """

    def __init__(self, run: str = "", method: str = "", recipe: str = "", epochs: int = 0, iterations: int = 0) -> None:
        self._run, self._method, self._recipe = run, method, recipe
        self._epochs, self._iterations = epochs, iterations
        self.rows: list[dict[str, float]] = []
        self.latest: dict[str, float] = {}
        self._terms: list[str] = []
        self._epoch = self._iteration = self._count = 0  # epoch from 0; iterations done, in all and in the epoch
        self._sums: Tensor | None = None
        self._pending: list[Tensor] = []  # the losses of the last iterations, fewer than a block
        self._sent: tuple[int, Tensor, torch.cuda.Event | None] | None = None  # a block on its way to the CPU
        self._start, self._rate = time.monotonic(), math.nan

    def start_epoch(self, epoch: int, rate: float) -> None:
        """Start the sums of an epoch (from 0), or go on with those of an interrupted one."""
        self._epoch, self._start = epoch, time.monotonic()
        if not self._count:
            self._rate = rate

    def add(self, iteration: int, terms: Sequence[str], losses: Tensor) -> None:
        """Keep the losses of an iteration (from 1), ``(terms,)``, and check a full block of them.

        Raises:
            DivergedError: a loss of the block before is not finite.
            TrainingError: these have other names than those before.
        """
        if self._terms and [*terms] != self._terms:
            raise TrainingError(
                f"{self._run}: {self._method} returned the losses {[*terms]} at iteration {iteration} of "
                f"{self._iterations}, and {self._terms} before; return the same names in the same order in every step, "
                "0 for a loss that has no part in one"
            )
        self._terms, self._iteration = [*terms], iteration
        self._pending.append(losses)
        self._count += 1
        if len(self._pending) == BLOCK:
            self._sum_up()

    def end_epoch(self, scores: Mapping[str, float]) -> None:
        """Write a row with the scores that the epoch was given by others.

        Raises:
            DivergedError: a loss is not finite.
        """
        if self._pending:
            self._sum_up()
        self.check()
        assert self._sums is not None  # noqa: S101 - an epoch has at least one iteration
        means = dict(zip(self._terms, (self._sums / self._count).tolist(), strict=True))
        terms = ", ".join(f"{name} {value:.4f}" for name, value in means.items())
        place, seconds = f"epoch {self._epoch + 1}/{self._epochs}", time.monotonic() - self._start
        _log.info("%s: %s, lr %.3g, %.1f s", place, terms, self._rate, seconds)
        row = {"epoch": self._epoch + 1, "iteration": self._iteration, "lr": self._rate}
        self.rows.append({**row, **{f"loss_{name}": value for name, value in means.items()}, **scores})
        self._sums, self._count = None, 0

    def check(self) -> None:
        """Check all losses so far; waits for the device.

        Raises:
            DivergedError: one of them is not finite.
        """
        self._check_sent()
        if self._pending:
            self._send(torch.stack(self._pending).double())
            self._check_sent()

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
        return {"rows": self.rows, **epoch, "count": self._count, "rate": self._rate, "iteration": self._iteration}

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Go on from a saved state, on a device."""
        self.rows, self._terms = list(state["rows"]), list(state["terms"])
        self._sums = None if state["sums"] is None else state["sums"].to(device)
        self._pending = [losses.to(device) for losses in state["pending"]]
        self._count, self._rate, self._iteration = state["count"], state["rate"], state["iteration"]

    def _sum_up(self) -> None:
        """Add the pending losses to the sums, and send them to the CPU."""
        block = torch.stack(self._pending).double()
        total = block.sum(0)
        self._sums = total if self._sums is None else self._sums + total
        self._check_sent()  # the block before, which has long arrived
        self._send(block)
        self._pending = []
        if block.device.type == "cpu":
            self._check_sent()

    def _send(self, block: Tensor) -> None:
        """Send ``(iterations, terms)``, up to the last one, to the CPU without waiting for them or for the device."""
        values, copied = block.to("cpu", non_blocking=True), None  # page-locked, if they come from another device
        if block.device.type != "cpu":
            copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            copied.record()
        self._sent = self._iteration - len(self._pending) + 1, values, copied

    def _check_sent(self) -> None:
        if self._sent is None:
            return
        (first, values, copied), self._sent = self._sent, None
        if copied is not None:
            copied.synchronize()
        bad = torch.nonzero(~values.isfinite()).tolist()
        if bad:
            iteration, term = first + bad[0][0], self._terms[bad[0][1]]
            raise DivergedError(
                f"{self._run}: loss '{term}' of {self._method} is not finite at iteration {iteration} of "
                f"{self._iterations} (epoch {self._epoch + 1}, {self._recipe}). Lower the learning rate (lr, "
                "head_lr_mult), add warmup_iters, set clip_grad_norm, or set amp: off; the last state that was saved "
                "is good"
            )
        self.latest = dict(zip(self._terms, values.mean(0).tolist(), strict=True))
