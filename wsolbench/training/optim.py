"""Optimiser, precision and learning-rate schedule of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from mmengine.optim import OptimWrapper
from torch import Tensor, nn

from wsolbench.config.settings import Track
from wsolbench.errors import SettingsError
from wsolbench.models.method import Method, OptimRecipe

__all__ = ["PrecisionWrapper", "optim_wrapper", "schedulers"]

_WARMUP_START = 0.01
_DTYPES = {"off": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class PrecisionWrapper(OptimWrapper):  # type: ignore[misc]
    """An optimiser with autocast, loss scaling where the format needs it, and gradient clipping, on any device.

    mmengine's own wrappers refuse to run on a CPU, and read the norm of every clipped gradient back from the device.

    Args:
        optimiser: of the method's parameter groups.
        device: where the network is.
        dtype: that autocast takes; None for float32. ``torch.float16`` scales the loss, dynamically.
        max_norm: of the gradient of all parameters together; None leaves it as it is.
    """

    def __init__(
        self, optimiser: torch.optim.Optimizer, device: torch.device, dtype: torch.dtype | None, max_norm: float | None
    ) -> None:
        super().__init__(optimiser)
        self._device, self._dtype, self._max_norm = device.type, dtype, max_norm
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype is torch.float16)

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the enclosed forward pass under autocast."""
        lower = nullcontext() if self._dtype is None else torch.autocast(self._device, self._dtype)
        with super().optim_context(model), lower:
            yield

    def backward(self, loss: Tensor, **arguments: Any) -> None:
        """Compute the gradient of the loss, scaled where the format needs it."""
        self._scaler.scale(loss).backward(**arguments)  # type: ignore[no-untyped-call]
        self._inner_count += 1

    def step(self, **arguments: Any) -> None:
        """Clip, and step unless a scaled gradient is not finite."""
        if self._max_norm is not None:
            self._scaler.unscale_(self.optimizer)
            parameters = [parameter for group in self.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self._max_norm)
        self._scaler.step(self.optimizer, **arguments)
        self._scaler.update()

    def state_dict(self) -> dict[str, Any]:
        """Return the optimiser's state with that of the loss scale."""
        return {"optimiser": super().state_dict(), "scaler": self._scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        super().load_state_dict(dict(state["optimiser"]))
        self._scaler.load_state_dict(state["scaler"])


def optim_wrapper(method: Method, track: Track, device: torch.device) -> PrecisionWrapper:
    """Build SGD over the method's parameter groups, with the recipe's precision.

    Args:
        method: on ``device``, in its memory format.
        track: the recipe.
        device: where it trains.

    Raises:
        SettingsError: a method whose groups leave out or repeat a parameter.
    """
    recipe = OptimRecipe(track.lr, track.weight_decay, track.head_lr_mult)
    groups = method.param_groups(recipe)
    _check_groups(method, groups)
    sgd = torch.optim.SGD(
        groups,
        lr=track.lr,
        momentum=track.momentum,
        weight_decay=track.weight_decay,
        nesterov=track.nesterov,
        fused=True,
    )
    if track.momentum:
        # SGD would make these at a parameter's first gradient, and its fused kernel takes either all of them or none.
        for parameter in (each for group in groups for each in group["params"]):
            sgd.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return PrecisionWrapper(sgd, device, _DTYPES[track.amp], track.clip_grad_norm)


def schedulers(track: Track, iterations_per_epoch: int) -> list[dict[str, Any]]:
    """Return mmengine's scheduler configurations for a recipe: warm-up, then step or cosine decay."""
    total = track.epochs * iterations_per_epoch
    warmup = track.warmup_iters
    if warmup >= total:
        raise SettingsError(f"warmup_iters {warmup} is not shorter than the training of {total} iterations")
    found: list[dict[str, Any]] = []
    if warmup:
        # mmengine's end is exclusive: iteration `warmup` is the first with the full rate.
        found.append({"type": "LinearLR", "start_factor": _WARMUP_START, "by_epoch": False, "end": warmup + 1})
    if track.schedule == "cosine":
        found.append({"type": "CosineAnnealingLR", "T_max": total - warmup, "by_epoch": False, "begin": warmup})
    elif track.milestones is not None:
        steps = {"milestones": track.milestones, "gamma": track.step_gamma}
        found.append({"type": "MultiStepLR", "by_epoch": True, **steps})
    else:
        found.append({"type": "StepLR", "step_size": track.step_epochs, "gamma": track.step_gamma, "by_epoch": True})
    return found


def _check_groups(method: Method, groups: list[dict[str, Any]]) -> None:
    grouped = [id(p) for group in groups for p in group["params"]]
    trainable = {name: p for name, p in method.named_parameters() if p.requires_grad}
    missing = [name for name, p in trainable.items() if id(p) not in set(grouped)]
    if missing or len(grouped) != len(set(grouped)):
        what = f"leaves out {missing[:3]}" if missing else "names a parameter twice"
        raise SettingsError(
            f"{type(method).__name__}.param_groups {what}; each trainable parameter belongs to one group"
        )
