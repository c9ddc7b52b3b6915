"""What a process has to set before torch is imported."""

from __future__ import annotations

import ctypes
import os

__all__ = ["prepare_process"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def prepare_process() -> None:
    """Let a training on a CPU run at full speed, also beside others; changes no result.

    Threads that spin for long while they wait make a training several times slower as soon as anything else runs;
    threads that sleep at once cost a quarter when nothing does.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Tell glibc to keep large freed blocks instead of returning them to the kernel.

    A network frees and allocates the same tensors in every iteration; getting their pages anew took a fifth of a small
    training on a CPU. Other C libraries have no such switch and are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
