"""The process of a unit: DVC's own ``repro``, with each command of ours in a fork of it, so that all is imported once.

Started for itself, DVC takes half a second of a core and a stage's command up to four (torch alone takes more than
one). A unit's process is a fork of a server that has imported all of it and nothing else, and the commands are forks of
the unit's process. DVC still decides what runs, and writes ``dvc.lock``.
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import gc
import multiprocessing
import os
import runpy
import shlex
import shutil
import signal
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any, NoReturn

import dvc.cli
import dvc.stage.run
from dvc.stage.exceptions import StageCmdFailedError

from wsolbench.launch.processes import end_groups

__all__ = ["IMPORTED", "SAFE_PATH", "repro"]

IMPORTED = (__name__, "dvc.commands.repro", "dvc.repo", "wsolbench.cli")
"""What the server imports, besides the stages' own modules."""

SAFE_PATH = "PYTHONSAFEPATH"
"""Variable by which Python does not look into the working directory for modules."""

_PR_SET_NAME = 15
_shell: Any = getattr(dvc.stage.run, "_run", None)  # gone from a later DVC: it then starts a process for each command


def repro(arguments: Sequence[str], root: Path, log: Path, environment: Mapping[str, str], lock: Path) -> NoReturn:
    """Run ``dvc repro --single-item`` in this process, a new one, and end it with DVC's exit status.

    Args:
        arguments: stages, and options of ``dvc repro``.
        root: the repository.
        log: file for what DVC and the stages print.
        environment: variables that differ from the launcher's.
        lock: held, shared, while this process or a command of its lives.
    """
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the launcher was started with `&`
    os.chdir(root)
    os.environ.pop(SAFE_PATH, None)  # the server's own
    os.environ.update(environment)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, Path(os.devnull).open("rb") as nothing:
        for number, stream in enumerate((nothing, output, output)):
            os.dup2(stream.fileno(), number)
    held = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_SH)
    threading.Thread(target=_end_after_launcher, daemon=True).start()
    dvc.stage.run._run = _forked  # noqa: SLF001 - where DVC starts a command
    sys.exit(dvc.cli.main(["--wait-for-lock", "repro", "--single-item", *arguments]))


def _end_after_launcher() -> None:
    """Let this unit save its state and end, should the launcher die."""
    launcher = multiprocessing.parent_process()
    if launcher is not None:
        wait([launcher.sentinel])
        end_groups([os.getpgrp()])


def _forked(executable: str | None, cmd: str, **started: Any) -> None:
    """Run a stage's command as :func:`dvc.stage.run._run` does, in a fork if it is ``wsolbench`` and has no GPU.

    Some of what is imported asks for GPUs, and CUDA does not work in a fork of a process that has done so.
    """
    words = shlex.split(cmd)
    if words[0] != "wsolbench" or shlex.join(words) != cmd or started["env"].get("CUDA_VISIBLE_DEVICES"):
        _shell(executable, cmd, **started)
        return
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = _command(words, started["cwd"], started["env"])
        finally:
            os._exit(status)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command's to answer, as DVC has it
    try:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        signal.signal(signal.SIGINT, before)
    if status:
        raise StageCmdFailedError(cmd, status)


def _command(words: list[str], folder: str, environment: Mapping[str, str]) -> int:
    """Do what the command does in a process of its own, up to its exit functions, and return its exit status."""
    gc.freeze()  # DVC's open files and databases are not closed here, nor are its temporary directories removed
    weakref.finalize._registry.clear()  # type: ignore[attr-defined]  # noqa: SLF001
    multiprocessing.set_start_method(None, force=True)  # loaders' workers are started as ever
    ctypes.CDLL(None).prctl(_PR_SET_NAME, " ".join(words[:2]).encode(), 0, 0, 0)  # what `top` shows
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = words
    status: Any = 0
    try:
        runpy.run_path(shutil.which(words[0], path=environment["PATH"]) or words[0], run_name="__main__")
    except SystemExit as ended:
        status = ended.code
    except BaseException:  # noqa: BLE001 - as Python itself would
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - as at the interpreter's end
    atexit._run_exitfuncs()  # noqa: SLF001
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    return status if isinstance(status, int) else int(status is not None)
