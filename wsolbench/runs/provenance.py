"""Who made a result: commit, versions, device, times. Stands beside the metrics, never inside them."""

from __future__ import annotations

import platform
import resource
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from wsolbench import __version__
from wsolbench.files import write_text
from wsolbench.results.schema import Provenance

__all__ = ["device_name", "write_provenance"]

_DEFINES_A_RUN = ("wsolbench", "methods", "datasets", "params.yaml")
_PACKAGES = ("torch", "torchvision", "mmengine-lite", "numpy", "pillow", "safetensors")


def write_provenance(path: Path, run: dict[str, Any], device: torch.device, seconds: dict[str, float]) -> None:
    """Write what identifies a run, who made it, on which device, and the wall time of its phases, as JSON."""
    cuda = device.type == "cuda"
    cudnn = torch.backends.cudnn.version() if cuda else None  # type: ignore[no-untyped-call]
    peak = {"host": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}
    versions: dict[str, str | int | None] = {"wsolbench": __version__, "python": platform.python_version()}
    versions |= {name: version(name) for name in _PACKAGES} | {"cuda": torch.version.cuda, "cudnn": cudnn}
    record = run | {
        "commit": _commit(),
        "versions": versions,
        "platform": platform.platform(),
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "wall_seconds": {name: round(value, 2) for name, value in seconds.items()},
        "peak_memory_mib": peak | ({"device": torch.cuda.max_memory_allocated(device) // 2**20} if cuda else {}),
    }
    write_text(path, Provenance.model_validate(record).text())


def device_name(device: torch.device) -> str:
    """Return a device's name; of a CPU, which of its instructions torch uses, because they round differently."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"cpu ({torch.backends.cpu.get_cpu_capability()})"


def _commit() -> str | None:
    """Return the commit of the working tree, marked ``-dirty`` where what defines a run differs from it."""
    try:
        commit = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", *_DEFINES_A_RUN)
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    command = ["git", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603
