"""Compilation of the metric kernels: to machine code, once per machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

from numba import njit

__all__ = ["compiled"]

P = ParamSpec("P")
R = TypeVar("R")


def compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compile a function on its first call, and keep the machine code for other processes.

    It lies next to the source, or in the user's cache directory where that cannot be written (``NUMBA_CACHE_DIR``
    chooses another place). Where neither can be written, every process compiles anew. Arithmetic stays strict
    (IEEE 754, divisions by 0 included), and the interpreter's lock is released.
    """
    try:
        made = njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # numba found no directory to write to
        made = njit(function, nogil=True, error_model="numpy")
    return cast("Callable[P, R]", made)
