"""Units as processes of this machine, which do not outlive their launcher."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import forkserver, get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from wsolbench.launch.code import ENTRIES
from wsolbench.launch.graph import Unit
from wsolbench.launch.processes import dvc_environment, end_groups
from wsolbench.launch.worker import IMPORTED, SAFE_PATH, repro

__all__ = ["LocalBackend"]


class LocalBackend:
    """Runs units through ``dvc repro --single-item``, several at a time.

    DVC holds its repository lock only while it reads and writes its own files, not while a command runs, so that
    several processes of it work in one workspace; ``dvc.lock`` is read and written anew under that lock for each stage.

    Args:
        root: the repository.
        places: units at a time.
        gpus: values of ``CUDA_VISIBLE_DEVICES``, one per unit that trains; what trains nothing takes none of them, and
            there may be as many of it beside. Empty: no unit sees a GPU.
        lock: held, shared, by each unit's processes.
    """

    def __init__(self, root: Path, places: int, gpus: list[str], lock: Path) -> None:
        self._root, self._lock = root, lock
        self._free = {True: gpus[:places], False: [""] * places} if gpus else {False: [""] * places}
        self._cores = max(1, len(os.sched_getaffinity(0)) // (places * len(self._free)))
        self.places: Mapping[bool, int] = {kind: len(free) for kind, free in self._free.items()}
        self._context = get_context("forkserver")
        self._context.set_forkserver_preload([*IMPORTED, *(module for each in ENTRIES.values() for module in each)])

    def on_gpu(self, unit: Unit) -> bool:
        """Return whether a unit takes a GPU's place."""
        return bool(unit.trains) and True in self._free

    def start(self, unit: Unit) -> _Process:
        """Start a unit in a session of its own, which a terminal's Ctrl-C does not reach."""
        free = self._free[self.on_gpu(unit)]
        gpu = free.pop(0)
        return _Process(self.repro(unit.stages, unit.log(self._root), gpu), lambda: free.append(gpu))

    def repro(self, arguments: Sequence[str], log: Path, gpu: str = "") -> ForkServerProcess:
        """Start ``dvc repro --single-item`` with these arguments."""
        # The last is joblib's, and holds for the processes that load images, too.
        shares = {"CUDA_VISIBLE_DEVICES": gpu, "LOKY_MAX_CPU_COUNT": str(self._cores)}
        environment = {"PATH": dvc_environment()["PATH"]} | shares
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # when the terminal closes, the server has to stay
        safe = os.environ.get(SAFE_PATH)
        os.environ[SAFE_PATH] = "1"  # the server's `python -c` would find `datasets` and `methods` here
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGHUP, before)
            os.environ.pop(SAFE_PATH)
            if safe is not None:
                os.environ[SAFE_PATH] = environment[SAFE_PATH] = safe
        process = self._context.Process(target=repro, args=(arguments, self._root, log, environment, self._lock))
        process.start()
        return process

    def stop(self, jobs: list[_Process]) -> None:
        """Let units save their states and end."""
        end_groups(job.group for job in jobs)


class _Process:
    """A unit that runs on this machine."""

    def __init__(self, process: ForkServerProcess, at_end: Callable[[], None]) -> None:
        self._process, self._at_end = process, at_end
        self.group = process.pid or 0

    def poll(self) -> int | str | None:
        """Return DVC's exit status or what ended it, and give the place back; None while it runs."""
        status = self._process.exitcode
        if status is None:
            return None
        if status < 0:
            end_groups([self.group])  # what DVC left behind
        self._at_end()
        return status if status >= 0 else f"DVC was killed by {signal.Signals(-status).name}"
