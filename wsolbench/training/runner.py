"""mmengine's Runner, told where to run and what not to do."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import is_distributed
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from wsolbench.training.model import TrainingModel

__all__ = ["TrainingRunner"]

_COUNTER = itertools.count()


class TrainingRunner(Runner):  # type: ignore[misc]
    """Trains a :class:`TrainingModel` by epochs; outputs are the caller's business.

    What differs from the stock Runner: the model goes to the device that the settings name; the environment is not
    collected (mmengine imports torchvision and calls compilers for that, seconds per run; provenance has it); no
    checkpoint or log hook of mmengine's runs, because theirs write time-stamped, unreadable-by-``weights_only`` files.

    Args:
        model: what is trained.
        loader: training batches.
        wrapper: optimiser with its precision.
        schedules: mmengine scheduler configurations.
        hooks: progress, history and others.
        epochs: passes over the loader.
        device: where to train.
        work_dir: scratch directory for mmengine's own files.
        name: of the run.
        start: called once everything is built and before the first iteration, to put an interrupted training back.
    """

    def __init__(
        self,
        model: TrainingModel,
        loader: DataLoader[Any],
        wrapper: OptimWrapper,
        schedules: list[dict[str, Any]],
        hooks: list[Hook],
        *,
        epochs: int,
        device: torch.device,
        work_dir: Path,
        name: str,
        start: Callable[[Runner], None] | None = None,
    ) -> None:
        self._device = device
        self._start = start
        super().__init__(
            model,
            str(work_dir),
            train_dataloader=loader,
            train_cfg={"by_epoch": True, "max_epochs": epochs},
            optim_wrapper=wrapper,
            param_scheduler=schedules,
            # The group of processes is there already; this tells mmengine to use it.
            launcher="pytorch" if is_distributed() else "none",
            # runtime_info notes the learning rate of every iteration in a list that it searches through each time.
            default_hooks=dict.fromkeys(("timer", "logger", "checkpoint", "runtime_info")),
            custom_hooks=hooks,
            env_cfg={"mp_cfg": {"mp_start_method": "fork"}},
            # Seeding is the model's and the loader's, by purpose; this only keeps mmengine from drawing a seed.
            randomness={"seed": model.seed},
            # mmengine keeps global instances by this name, and a process may train a run twice.
            experiment_name=f"{name}-{next(_COUNTER)}",
            log_level="ERROR",
        )

    def build_visualizer(self, visualizer: Any = None) -> None:
        """Build none: mmengine's imports matplotlib in each training, and curves are written by a hook."""
        del visualizer

    def wrap_model(self, model_wrapper_cfg: Any, model: TrainingModel) -> TrainingModel:
        """Move the model to the device of the settings instead of the one mmengine would pick."""
        del model_wrapper_cfg
        model.to(self._device)
        if self.distributed:
            model.distribute()
        return model

    def load_or_resume(self) -> None:
        """Start where the caller says; mmengine's own checkpoints are not used."""
        if self._start is not None:
            self._start(self)

    def set_randomness(self, seed: int, *args: Any, **kwargs: Any) -> None:
        """Only note the seed: the global generators belong to the model and the loader."""
        del args, kwargs
        self._seed = seed

    def _log_env(self, env_cfg: Any) -> None:
        del env_cfg
        logging.getLogger("mmengine").setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", message=".*is deprecated", module="mmengine")
