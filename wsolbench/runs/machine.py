"""What this machine's processor and GPUs can do. Nothing here imports torch before its answer needs it."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Iterable
from pathlib import Path

from wsolbench.config.settings import Run, RuntimeSettings
from wsolbench.errors import SettingsError

__all__ = ["check_precision", "cpu_workers", "has_native_bf16", "trains_on_cpu", "visible_gpus"]

_CPUINFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last as ARM calls it
_ISA_VARIABLES = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA")
_ISAS_WITHOUT_BF16 = {"SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"}
_EMULATED_FROM = 1.5  # times float32, where the processor's flags cannot be read


def trains_on_cpu(runtime: RuntimeSettings) -> bool:
    """Return whether a run's network is on the CPU; ``auto`` takes a GPU where there is one."""
    return runtime.device == "cpu" or (runtime.device == "auto" and not visible_gpus())


def check_precision(runs: Iterable[Run]) -> None:
    """Refuse to train runs in float16 on a CPU, and in bfloat16 on a processor that can only emulate it.

    Raises:
        SettingsError: one of them would; of bfloat16, the message says how much slower a convolution is.
    """
    by_amp = {run.track.amp: run for run in runs if run.track.epochs}
    if run := by_amp.get("fp16"):
        raise SettingsError(
            f"run '{run.key}': amp: fp16 is for CUDA devices only, and this run trains on the CPU. Set tracks."
            f"{run.track_name}.amp: off"
        )
    run, native = by_amp.get("bf16"), has_native_bf16()
    if run is None or native:
        return
    slower = _bf16_slowdown()
    if native is None and slower < _EMULATED_FROM:
        return
    raise SettingsError(
        f"run '{run.key}': amp: bf16 is emulated by this processor, which has none of {', '.join(sorted(_BF16_FLAGS))} "
        f"(or may not use it): a convolution takes {slower:.1f} times as long as in float32. Set tracks."
        f"{run.track_name}.amp: off, or train on a GPU"
    )


def has_native_bf16() -> bool | None:
    """Return whether the processor multiplies in bfloat16, and oneDNN may let it; None if the flags cannot be read."""
    allowed = next((os.environ[name] for name in _ISA_VARIABLES if name in os.environ), "")
    if allowed.upper() in _ISAS_WITHOUT_BF16:
        return False
    try:
        lines = _CPUINFO.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:  # no Linux
        return None
    flags = next((line for line in lines if line.startswith(("flags", "Features"))), None)
    return None if flags is None else not _BF16_FLAGS.isdisjoint(flags.split())


def _bf16_slowdown() -> float:
    """Return how many times as long a convolution, forward and backward, takes in bfloat16 as in float32."""
    import torch  # noqa: PLC0415

    layer, images = torch.nn.Conv2d(32, 32, 3, padding=1), torch.rand(16, 32, 32, 32)

    def seconds(amp: bool) -> float:
        start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=amp):
            loss = layer(images).float().mean()
        loss.backward()
        return time.perf_counter() - start

    full, half = (min(seconds(amp) for _ in range(3)) for amp in (False, True))
    return half / full


def cpu_workers(threads: int) -> int:
    """Return how many runs of ``threads`` threads each the cores hold that this process may use."""
    return max(1, len(os.sched_getaffinity(0)) // threads)


def visible_gpus() -> list[str]:
    """Return one value of ``CUDA_VISIBLE_DEVICES`` per GPU that this process sees."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip() not in {"", "-1", "NoDevFiles"}]
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:  # no driver: torch need not be asked, which takes seconds to import
        return []
    import torch  # noqa: PLC0415

    return [str(index) for index in range(torch.cuda.device_count())]
