"""Exponential moving average of a network in training."""

from __future__ import annotations

from typing import Any, cast

from mmengine.hooks import Hook
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wsolbench.method import Method

__all__ = ["MovingAverage"]


class MovingAverage(Hook):  # type: ignore[misc]
    """Averages weights and statistics: ``average = decay * average + (1 - decay) * network`` after every iteration.

    Args:
        method: what is trained, on its device.
        decay: per iteration, in (0, 1).
    """

    priority = "LOW"

    def __init__(self, method: Method, decay: float) -> None:
        self._method = method
        rule = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._average = AveragedModel(method, multi_avg_fn=rule, use_buffers=True)

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Move the average; the first iteration sets it."""
        self._average.update_parameters(self._method)

    @property
    def method(self) -> Method:
        """The averaged method."""
        return cast("Method", self._average.module)

    def take_over(self) -> None:
        """Give the network the average's weights and statistics."""
        self._method.load_state_dict(self._average.module.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs to go on."""
        return self._average.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._average.load_state_dict(state)
