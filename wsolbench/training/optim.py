"""Optimiser, precision and learning-rate schedule of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import mmengine.optim  # noqa: F401 - registers its schedules
import torch
from mmengine.registry import PARAM_SCHEDULERS
from torch import Tensor

from wsolbench.config.settings import Track
from wsolbench.errors import SettingsError
from wsolbench.models.method import Method, OptimRecipe, ParamGroup

__all__ = ["Optimiser", "build_optimiser", "build_schedules"]

_WARMUP_START = 0.01
_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Optimiser:
    """An optimiser of torch with autocast (to ``dtype``), a dynamic loss scale for float16, and gradient clipping."""

    def __init__(
        self, inner: torch.optim.Optimizer, device: torch.device, dtype: torch.dtype | None, max_norm: float | None
    ) -> None:
        self.inner = inner
        self._device, self._dtype, self._max_norm = device.type, dtype, max_norm
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)

    @property
    def rate(self) -> float:
        """The learning rate of the first group."""
        return float(self.inner.param_groups[0]["lr"])

    def autocast(self) -> AbstractContextManager[object]:
        """Return the context of a forward pass."""
        return nullcontext() if self._dtype is None else torch.autocast(self._device, self._dtype)

    def minimise(self, loss: Tensor) -> None:
        """Compute the gradient of a loss, scaled where the format needs it, and step."""
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self.step()
        self.inner.zero_grad()

    def step(self) -> None:
        """Clip, and step unless a scaled gradient is not finite; nothing waits for the device."""
        if self._max_norm is not None:
            self._scaler.unscale_(self.inner)
            parameters = [parameter for group in self.inner.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self._max_norm)
        self._scaler.step(self.inner)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the optimiser and of the loss scale."""
        return {"optimiser": self.inner.state_dict(), "scaler": self._scaler.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self.inner.load_state_dict(dict(state["optimiser"]))
        self._scaler.load_state_dict(state["scaler"])


def build_optimiser(method: Method, track: Track, device: torch.device) -> Optimiser:
    """Build the recipe's optimiser over the groups of a method that is on its device, with the recipe's precision.

    Raises:
        SettingsError: a method whose groups leave out or repeat a trainable parameter, or hold one that is not.
    """
    groups = method.param_groups(OptimRecipe(track.lr, track.weight_decay, track.head_lr_mult))
    _check_groups(method, groups)
    if track.no_decay_norm_bias:
        groups = list(_without_decay_of_vectors(groups))
    common: dict[str, Any] = {"lr": track.lr, "weight_decay": track.weight_decay, "fused": True}
    if track.optimiser == "adamw":
        adamw = torch.optim.AdamW(groups, betas=(track.betas[0], track.betas[1]), eps=track.eps, **common)
        return Optimiser(adamw, device, _DTYPES[track.amp], track.clip_grad_norm)
    sgd = torch.optim.SGD(groups, momentum=track.momentum, nesterov=track.nesterov, **common)
    if track.momentum:
        # SGD would make these at a parameter's first gradient, and its fused kernel takes either all of them or none.
        for parameter in (each for group in groups for each in group["params"]):
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return Optimiser(sgd, device, _DTYPES[track.amp], track.clip_grad_norm)


def build_schedules(optimiser: Optimiser, track: Track, iterations_per_epoch: int) -> list[Any]:
    """Build mmengine's learning-rate schedules of a recipe: warm-up, then step or cosine decay.

    Raises:
        SettingsError: the warm-up is as long as the training.
    """
    total, warmup = track.epochs * iterations_per_epoch, track.warmup_iters
    if warmup >= total:
        raise SettingsError(f"warmup_iters {warmup} is not shorter than the training of {total} iterations")
    by_iteration = {"by_epoch": False, "end": total}
    by_epoch = {"by_epoch": True, "end": track.epochs, "gamma": track.step_gamma}
    chosen: list[dict[str, Any]] = []
    if warmup:
        # mmengine's end is exclusive: iteration `warmup` is the first with the full rate.
        chosen.append({"type": "LinearLR", "start_factor": _WARMUP_START, **by_iteration, "end": warmup + 1})
    if track.schedule == "cosine":
        chosen.append({"type": "CosineAnnealingLR", "T_max": total - warmup, "begin": warmup, **by_iteration})
    elif track.milestones is not None:
        chosen.append({"type": "MultiStepLR", "milestones": track.milestones, **by_epoch})
    else:
        chosen.append({"type": "StepLR", "step_size": track.step_epochs, **by_epoch})
    return [PARAM_SCHEDULERS.build({**each, "optimizer": optimiser.inner}) for each in chosen]


def _without_decay_of_vectors(groups: list[ParamGroup]) -> Iterator[ParamGroup]:
    for group in groups:
        vectors = [p for p in group["params"] if p.ndim <= 1]
        others = [p for p in group["params"] if p.ndim > 1]
        parts = (group | {"params": others}, group | {"params": vectors, "weight_decay": 0.0})
        yield from (part for part in parts if part["params"])


def _check_groups(method: Method, groups: list[ParamGroup]) -> None:
    grouped = [id(p) for group in groups for p in group["params"]]
    names = {id(p): name for name, p in method.named_parameters() if p.requires_grad}
    missing = [name for each, name in names.items() if each not in set(grouped)]
    if missing or len(grouped) != len(names):
        what = f"leaves out {missing[:3]}" if missing else "names a parameter twice, or one that is not trained"
        raise SettingsError(
            f"{type(method).__name__}.param_groups {what}; each trainable parameter belongs to one group"
        )
