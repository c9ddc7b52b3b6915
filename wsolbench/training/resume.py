"""Save the state of a training as it goes, stop when asked to, and go on where a state was saved."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.utils import apply_to
from torch import Tensor, nn

from wsolbench.errors import DivergedError, InterruptedTrainingError
from wsolbench.runs.processes import largest, wait_for_all
from wsolbench.runs.state import StateKeeper
from wsolbench.training.history import BLOCK, History
from wsolbench.training.selection import Selection

__all__ = ["SaveState", "StopRequest", "restore", "stop_requests"]


@dataclass
class StopRequest:
    """Which signal asked for a stop, if any."""

    number: int | None = None


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note SIGINT and SIGTERM (a scheduler's warning) instead of dying; a second one acts as it always does."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    former = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def note(number: int, frame: Any) -> None:
        del frame
        request.number = number
        for each, handler in former.items():
            signal.signal(each, handler)

    for number in former:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


class SaveState(Hook):  # type: ignore[misc]
    """Saves every so many minutes, and when a stop is asked for.

    Args:
        keeper: writes the states.
        history: losses so far; a state with one, or with weights, that are not finite is not saved.
        selection: what has been chosen so far; None where nothing is.
        stop: looked at after every iteration.
        minutes: between two states.
        name: of the run, for messages.
    """

    priority = "LOWEST"

    def __init__(
        self,
        keeper: StateKeeper,
        history: History,
        selection: Selection | None,
        stop: StopRequest,
        minutes: float,
        name: str,
    ) -> None:
        self._keeper, self._history, self._selection, self._stop = keeper, history, selection, stop
        self._seconds, self._name = minutes * 60, name
        self._saved = time.monotonic()
        self._asked = 0  # by which signal to any of the processes
        self._due = False

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Save within an epoch."""
        done = runner.iter + 1
        ends = done % len(runner.train_dataloader) == 0
        if ends or done % BLOCK == 0 or get_dist_info()[1] == 1:  # several processes wait for one another here
            late = time.monotonic() - self._saved >= self._seconds
            self._asked, due = largest(self._stop.number or 0, int(late))
            self._due = bool(self._asked or due)
        if self._due and not ends:  # at the end, the history has yet to write its row
            self._save(runner, done)

    def after_train_epoch(self, runner: Any) -> None:
        """Save between epochs."""
        if self._due:
            self._save(runner, runner.iter)

    def _save(self, runner: Any, done: int) -> None:
        self._history.check(runner, done)
        _check_weights(runner.model.method, self._name, done)
        if runner.rank == 0:
            self._keeper.save(
                done,
                {
                    "iteration": done,
                    "method": runner.model.method.state_dict(),
                    "optimiser": runner.optim_wrapper.state_dict(),
                    "schedules": [schedule.state_dict() for schedule in runner.param_schedulers],
                    "history": self._history.state_dict(),
                    "selection": None if self._selection is None else self._selection.state_dict(),
                },
            )
        wait_for_all()  # a process that leaves makes its launcher stop the one that writes
        self._saved, self._due = time.monotonic(), False
        if self._asked:
            what = signal.Signals(self._asked).name
            raise InterruptedTrainingError(
                f"{self._name}: stopped by {what} after iteration {done} of {runner.max_iters}; its state is saved, "
                "and the same command goes on from there",
                self._asked,
            )


def _check_weights(method: nn.Module, name: str, done: int) -> None:
    """Look at weights and statistics, all at once.

    Raises:
        DivergedError: one of them is not finite; it shows in the loss one iteration later.
    """
    finite = {key: value.isfinite().all() for key, value in method.state_dict().items() if value.is_floating_point()}
    for key, good in zip(finite, torch.stack(list(finite.values())).tolist(), strict=True):
        if not good:
            raise DivergedError(
                f"{name}: '{key}' is not finite after iteration {done}: a gradient was not, or the step was too long. "
                "Lower the learning rate, set clip_grad_norm, or set amp: off; the last state that was saved is good"
            )


def restore(runner: Any, history: History, selection: Selection | None, state: Any) -> None:
    """Put a runner that is about to train where a saved state left off; tensors go where the network is."""
    device = next(runner.model.parameters()).device
    state = apply_to(state, lambda value: isinstance(value, Tensor), lambda tensor: tensor.to(device))
    done, per_epoch = int(state["iteration"]), len(runner.train_dataloader)
    method = runner.model.method
    method.load_state_dict(state["method"])
    wrapper: OptimWrapper = runner.optim_wrapper
    wrapper.load_state_dict(state["optimiser"])
    _match_memory_formats(wrapper)
    for schedule, saved in zip(runner.param_schedulers, state["schedules"], strict=True):
        schedule.load_state_dict(saved)
    history.load_state_dict(state["history"])
    if selection is not None:
        selection.load_state_dict(state["selection"])
    runner.model.iteration = done
    batches = runner.train_dataloader.batch_sampler
    batches.sampler.skip(done % per_epoch * batches.batch_size)
    runner.train_loop._iter, runner.train_loop._epoch = done, done // per_epoch  # noqa: SLF001 - it has no setter


def _match_memory_formats(wrapper: OptimWrapper) -> None:
    """Lay the optimiser's tensors out as their parameters are, as an uninterrupted run has them."""
    for parameter, held in wrapper.optimizer.state.items():
        for name, value in held.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                held[name] = torch.empty_like(parameter).copy_(value)
