"""Units as processes of this machine, which do not outlive their launcher."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from wsolbench.launch.graph import Unit
from wsolbench.launch.processes import dvc_command, dvc_environment, end_groups

__all__ = ["LocalBackend", "guard"]


class LocalBackend:
    """Runs units through ``dvc repro --single-item``, several at a time.

    DVC holds its repository lock only while it reads and writes its own files, not while a command runs, so that
    several processes of it work in one workspace; ``dvc.lock`` is read and written anew under that lock for each stage.

    Args:
        root: the repository.
        log_of: where what a unit prints goes.
        places: units at a time.
        gpus: values of ``CUDA_VISIBLE_DEVICES``, one per unit that trains; what trains nothing takes none of them, and
            there may be as many of it beside. Empty: no unit sees a GPU.
        note: is told the number of each process group that starts (True) or has ended (False).
    """

    def __init__(
        self,
        root: Path,
        log_of: Callable[[Unit], Path],
        places: int,
        gpus: list[str],
        note: Callable[[int, bool], None],
    ) -> None:
        self._root, self._log_of, self._note = root, log_of, note
        self._free = {True: gpus[:places], False: [""] * places} if gpus else {False: [""] * places}
        self._cores = max(1, len(os.sched_getaffinity(0)) // (places * len(self._free)))
        self.places = {kind: len(free) for kind, free in self._free.items()}

    def on_gpu(self, unit: Unit) -> bool:
        """Return whether a unit takes a GPU's place."""
        return bool(unit.trains) and True in self._free

    def has_room(self, unit: Unit) -> bool:
        """Return whether a place for the unit is free."""
        return bool(self._free[self.on_gpu(unit)])

    def start(self, unit: Unit) -> _Process:
        """Start a unit in a process group of its own, which a terminal's Ctrl-C does not reach."""
        kind = self.on_gpu(unit)
        gpu = self._free[kind].pop(0)
        log = self._log_of(unit)
        log.parent.mkdir(parents=True, exist_ok=True)
        # The second is joblib's, and holds for the processes that load images, too.
        shares = {"CUDA_VISIBLE_DEVICES": gpu, "LOKY_MAX_CPU_COUNT": str(self._cores)}
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: S603 - our own command
                dvc_command("repro", "--single-item", *unit.stages),
                cwd=self._root,
                env=dvc_environment() | shares,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._note(process.pid, True)

        def end() -> None:
            self._note(process.pid, False)
            self._free[kind].append(gpu)

        return _Process(process, end)

    def stop(self, jobs: list[_Process]) -> None:
        """Let units save their states and end."""
        end_groups(job.group for job in jobs)


class _Process:
    """A unit that runs on this machine."""

    def __init__(self, process: subprocess.Popen[bytes], at_end: Callable[[], None]) -> None:
        self._process, self._at_end = process, at_end
        self.group = process.pid

    def poll(self) -> int | str | None:
        """Return DVC's exit status or what ended it, and give the place back; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        if status < 0:
            end_groups([self.group])  # what DVC left behind
        self._at_end()
        return status if status >= 0 else f"DVC was killed by {signal.Signals(-status).name}"


@contextmanager
def guard(lock: Path) -> Iterator[Callable[[int, bool], None]]:
    """Start a process that ends this one's process groups should this one die, and holds a lock until they have ended.

    Args:
        lock: held shared until then.

    Yields:
        What notes that a group has started (True) or has ended (False).
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            _watch(read, lock)
        finally:
            os._exit(0)
    os.close(read)
    try:
        yield lambda group, runs: _tell(write, group if runs else -group)
    finally:
        os.close(write)
        os.waitpid(child, 0)


def _tell(pipe: int, number: int) -> None:
    os.write(pipe, b"%d\n" % number)


def _watch(pipe: int, lock: Path) -> None:
    """Read which groups run until the pipe's other end is closed, however that happened, and end those."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    for open_file in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
        if open_file > 2 and open_file != pipe:  # the launcher's locks go with the launcher
            with suppress(OSError):
                os.close(open_file)
    groups: set[int] = set()
    with lock.open("a") as held, os.fdopen(pipe) as lines:
        fcntl.flock(held, fcntl.LOCK_SH)
        for line in lines:
            group = int(line)
            groups = groups | {group} if group > 0 else groups - {-group}
        end_groups(groups)
