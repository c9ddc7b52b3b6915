"""Choose the device and fix what would make two runs differ."""

from __future__ import annotations

import os

import cv2
import torch
from joblib import cpu_count

from wsolbench.config.settings import RuntimeSettings
from wsolbench.errors import SettingsError

__all__ = ["loader_workers", "set_up_device"]

_MOST_WORKERS = 8


def set_up_device(runtime: RuntimeSettings) -> torch.device:
    """Return the device of a run, with threads and determinism set as the settings say.

    Raises:
        SettingsError: CUDA is asked for and not there.
    """
    if runtime.device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("runtime.device: cuda, but torch sees no CUDA device; use 'auto' or 'cpu'")
    strict = runtime.deterministic != "off"
    if strict:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # torch reads it at its first product on CUDA
    torch.set_num_threads(runtime.threads)
    cv2.setNumThreads(0)  # crops and flips are too small to share
    device = torch.device("cuda" if runtime.device != "cpu" and torch.cuda.is_available() else "cpu")
    if device.type == "cuda":  # a CPU's kernels give the same bytes for one number of threads
        torch.use_deterministic_algorithms(strict, warn_only=runtime.deterministic == "warn")
        # Filling fresh memory is for finding bugs; it costs time and changes no result of a correct operation.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = strict, not strict
        torch.set_float32_matmul_precision("high" if runtime.tf32 else "highest")
        torch.backends.cudnn.allow_tf32 = runtime.tf32
    return device


def loader_workers(runtime: RuntimeSettings, device: torch.device) -> int:
    """Return how many processes load images for this one, which with others of its kind may share the machine.

    A launcher that runs several trainings on one machine tells each its share of the cores (``LOKY_MAX_CPU_COUNT``).
    """
    if runtime.workers != "auto":
        return runtime.workers
    if device.type == "cpu":
        return 0
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # as torchrun says; Slurm gives each its own cores
    return max(1, min(_MOST_WORKERS, int(cpu_count()) // beside - 1))
