"""Optimiser, precision and learning-rate schedule of a recipe."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.optim import AmpOptimWrapper, OptimWrapper
from torch import nn

from wsolbench.errors import SettingsError
from wsolbench.method import Method, OptimRecipe
from wsolbench.settings import Track

__all__ = ["Bf16OptimWrapper", "optim_wrapper", "schedulers"]

_WARMUP_START = 0.01


class Bf16OptimWrapper(OptimWrapper):  # type: ignore[misc]
    """bfloat16 autocast on any device; no loss scaling, which that format does not need.

    mmengine's own wrapper refuses to run on a CPU.
    """

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        """Run the enclosed forward pass under autocast."""
        device = next(model.parameters()).device.type
        with super().optim_context(model), torch.autocast(device, torch.bfloat16):
            yield


def optim_wrapper(method: Method, track: Track, device: torch.device) -> OptimWrapper:
    """Build SGD over the method's parameter groups, with the recipe's precision.

    Raises:
        SettingsError: ``amp: fp16`` on a CPU, or a method whose groups leave out or repeat a parameter.
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
        fused=device.type == "cuda",
    )
    clip = None if track.clip_grad_norm is None else {"max_norm": track.clip_grad_norm}
    if track.amp == "fp16":
        if device.type != "cuda":
            raise SettingsError("tracks.*.amp: fp16 needs a CUDA device; use 'bf16' or 'off' on a CPU")
        return AmpOptimWrapper(optimizer=sgd, dtype="float16", clip_grad=clip)
    wrapper = Bf16OptimWrapper if track.amp == "bf16" else OptimWrapper
    return wrapper(optimizer=sgd, clip_grad=clip)


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
