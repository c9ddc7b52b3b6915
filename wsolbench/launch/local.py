"""Tasks as processes of this machine, which do not outlive their launcher."""

from __future__ import annotations

import atexit
import fcntl
import multiprocessing
import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing import forkserver, get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from wsolbench.errors import LaunchError
from wsolbench.launch.code import ENTRIES
from wsolbench.launch.graph import Task
from wsolbench.launch.processes import end_groups, with_our_programs
from wsolbench.launch.repository import Repository

__all__ = ["LocalBackend"]

_SAFE_PATH = "PYTHONSAFEPATH"
"""Variable by which Python does not look into the working directory for modules."""


class LocalBackend:
    """Runs each task's command in a process of its own, a fork of one that has imported all that our commands need.

    Started for itself, a command takes up to four seconds of a core for its imports. With a GPU it is started for
    itself all the same: some of what is imported asks for GPUs, after which CUDA does not work in a fork.

    So many tasks run at a time as there are ``places``. ``gpus`` are values of ``CUDA_VISIBLE_DEVICES``, one per task
    that trains; what trains nothing takes none of them, and there may be as many of it beside. Without any, no task
    sees a GPU. Each task's process holds ``lock``, shared.
    """

    def __init__(self, repository: Repository, root: Path, places: int, gpus: list[str], lock: Path) -> None:
        self._repository, self._root, self._lock = repository, root, lock
        self._free = {True: gpus[:places], False: [""] * places} if gpus else {False: [""] * places}
        self._cores = max(1, len(os.sched_getaffinity(0)) // (places * len(self._free)))
        self.places: Mapping[bool, int] = {kind: len(free) for kind, free in self._free.items()}
        forkserver.set_forkserver_preload(["wsolbench.cli", *(module for each in ENTRIES.values() for module in each)])

    def on_gpu(self, task: Task) -> bool:
        """Return whether a task takes a GPU's place."""
        return bool(task.trains) and True in self._free

    def start(self, task: Task) -> Running:
        """Start a task in a session of its own, which a terminal's Ctrl-C does not reach."""
        try:
            if self._repository.is_done(task.name):
                return Running(None, lambda: None, lambda: None)
        except LaunchError as error:
            return Running(str(error), lambda: None, lambda: None)
        free = self._free[self.on_gpu(task)]
        gpu = free.pop(0)
        process = self._process(task, gpu)
        return Running(process, lambda: free.append(gpu), lambda: self._repository.record(task.name))

    def _process(self, task: Task, gpu: str) -> BaseProcess:
        # The last is joblib's, and holds for the processes that load images, too.
        environment = with_our_programs() | {"CUDA_VISIBLE_DEVICES": gpu, "LOKY_MAX_CPU_COUNT": str(self._cores)}
        make = get_context("spawn").Process if gpu else get_context("forkserver").Process
        process = make(target=_run, args=(task.command, self._root, task.log(self._root), environment, self._lock))
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # when the terminal closes, the server has to stay
        os.environ[_SAFE_PATH] = "1"  # the server's `python -c` would find `datasets` and `methods` here
        try:
            process.start()
        finally:
            signal.signal(signal.SIGHUP, before)
            os.environ.pop(_SAFE_PATH)
            os.environ.update({name: value for name, value in environment.items() if name == _SAFE_PATH})
        return process

    def stop(self, jobs: list[Running]) -> None:
        """Let tasks save their states and end."""
        end_groups(job.group for job in jobs)


class Running:
    """A task that runs on this machine, or needed not or could not be started."""

    def __init__(
        self, process: BaseProcess | str | None, at_end: Callable[[], None], record: Callable[[], None]
    ) -> None:
        self._process, self._at_end, self._record = process, at_end, record
        self.group = process.pid or 0 if isinstance(process, BaseProcess) else 0

    def poll(self) -> int | str | None:
        """Return the command's exit status or what went wrong, and give the place back; None while it runs."""
        if not isinstance(self._process, BaseProcess):
            return self._process or 0
        status = self._process.exitcode
        if status is None:
            return None
        self._at_end()
        if status < 0:
            end_groups([self.group])  # what it left behind
            return f"it was killed by {signal.Signals(-status).name}"
        try:
            if status == 0:
                self._record()
        except LaunchError as error:
            return str(error)
        return status


def _run(command: str, root: Path, log: Path, environment: Mapping[str, str], lock: Path) -> None:
    """Run a stage's command in this process, a new one, and end it with the command's exit status."""
    os.setsid()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the launcher was started with `&`
    os.chdir(root)
    os.environ.clear()
    os.environ.update(environment)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as output, Path(os.devnull).open("rb") as nothing:
        for number, stream in enumerate((nothing, output, output)):
            os.dup2(stream.fileno(), number)
    fcntl.flock(os.open(lock, os.O_RDWR | os.O_CREAT), fcntl.LOCK_SH)
    threading.Thread(target=_end_after_launcher, daemon=True).start()
    multiprocessing.set_start_method(None, force=True)  # loaders' workers are started as ever
    words = shlex.split(command)
    if words[0] != "wsolbench" or shlex.join(words) != command:
        sys.exit(subprocess.call(command, shell=True))  # noqa: S602 - as DVC does with what stands in dvc.yaml
    sys.argv = words
    try:
        runpy.run_path(shutil.which(words[0]) or words[0], run_name="__main__")
    finally:  # as at the interpreter's end, which a child of multiprocessing leaves out
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - first: it tells joblib's processes to end
        atexit._run_exitfuncs()  # noqa: SLF001 - waits for them


def _end_after_launcher() -> None:
    """Let this task save its state and end, should the launcher die."""
    launcher = multiprocessing.parent_process()
    if launcher is not None:
        wait([launcher.sentinel])
        end_groups([os.getpgrp()])
