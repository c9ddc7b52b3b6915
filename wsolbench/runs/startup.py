"""What a process has to do before torch is imported."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib import import_module
from pathlib import Path

from wsolbench import CODE_VARIABLE
from wsolbench.errors import SettingsError

__all__ = ["prepare_process", "run_code_of", "use_methods_of"]

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # of glibc's malloc.h


def run_code_of(root: Path) -> None:
    """Start this process again with the code of a checkout, if it has begun with another one's.

    An installation in editable mode always imports from the place where it was made. In a copy of the checkout, such as
    those in which DVC runs queued experiments, that would be other code than what is recorded. What is no checkout with
    a ``params.yaml`` is left alone.

    Raises:
        SettingsError: it has been started again and still runs other code.
    """
    own = root / "wsolbench" / "runs" / "startup.py"
    if not (root / "params.yaml").is_file() or not own.is_file() or own.samefile(__file__):
        return
    if os.environ.get(CODE_VARIABLE) == str(root.resolve()):
        raise SettingsError(
            f"{root.resolve()} is a checkout of wsolbench, and the code that runs is that of "
            f"{Path(__file__).parents[2]}; install the checkout (`make doctor` does) and run its .venv/bin/wsolbench"
        )
    os.environ[CODE_VARIABLE] = str(root.resolve())
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - the same program


def use_methods_of(root: Path) -> None:
    """Let methods that lie in ``methods/`` of a project that is no checkout be found beside the installed ones."""
    own = root / "methods"
    if (root / "params.yaml").is_file() and own.is_dir() and not (own / "__init__.py").is_file():
        import_module("wsolbench.methods").__path__.append(str(own.resolve()))


def prepare_process() -> None:
    """Let a training on a CPU run at full speed, also beside others; changes no result.

    Threads that spin for long while they wait make a training several times slower as soon as anything else runs;
    threads that sleep at once cost a quarter when nothing does. Large freed blocks are kept, where the C library has
    a switch for that (glibc): a network allocates the same tensors again, and getting their pages anew took a fifth of
    a small training.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "2000")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_MAX, 0)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
