"""What one worker does: let DVC run the stages of one unit, and stop them cleanly when it is told to.

Nothing here imports torch: a worker only waits.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from submitit.helpers import DelayedSubmission

__all__ = ["STOPPED", "StageRunner", "dvc_command", "dvc_environment", "end_group"]

STOPPED = 130  # exit status of a unit that was told to stop
_GRACE_S = 60.0  # that a training has to save its state
_POLL_S = 0.2


@dataclass(frozen=True)
class StageRunner:
    """A job: runs stages in order through ``dvc repro --single-item`` and returns DVC's exit status.

    DVC holds its repository lock only while it reads and writes its own files, not while a command runs, so that
    several of these work in one workspace; ``dvc.lock`` is read and written anew under that lock for each stage.

    Attributes:
        stages: in the order in which they are to run; the first that fails ends the job.
        root: the repository.
        log: file for what DVC and the stages print.
        group_file: where the process group is written while it runs, for whoever must end it.
        workers_lock: held, shared, while the job lives.
        launcher_lock: held by the launcher; the job stops when it no longer is. None: the job outlives it.
        environment: variables for the stages, in addition to those of the job.
    """

    stages: tuple[str, ...]
    root: Path
    log: Path
    group_file: Path
    workers_lock: Path
    launcher_lock: Path | None
    environment: dict[str, str] = field(default_factory=dict)

    def __call__(self) -> int:
        """Run the stages; return 0 if all of them are up to date now."""
        stop: list[int] = []
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda received, _: stop.append(received))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # blocked by the launcher for the job's parent
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.workers_lock.open("a") as lock, self.log.open("wb") as log:
            fcntl.flock(lock, fcntl.LOCK_SH)
            return STOPPED if self._orphaned() else self._run(log.fileno(), stop)

    def _run(self, output: int, stop: list[int]) -> int:
        with self._running(output) as process:
            while process.poll() is None:
                if stop or self._orphaned():
                    end_group(process.pid)
                    return STOPPED
                time.sleep(_POLL_S)
            return process.returncode

    def checkpoint(self) -> DelayedSubmission:
        """Let the training save its state and ask for the job to be queued again: time is up, or it is preempted."""
        if self.group_file.exists():
            end_group(int(self.group_file.read_text(encoding="utf-8")))
        return DelayedSubmission(self)

    @contextlib.contextmanager
    def _running(self, output: int) -> Iterator[subprocess.Popen[bytes]]:
        """Start DVC in a process group of its own, which a terminal's Ctrl-C does not reach."""
        process = subprocess.Popen(  # noqa: S603 - our own command
            dvc_command("repro", "--single-item", *self.stages),
            cwd=self.root,
            env=dvc_environment() | self.environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.group_file.write_text(str(process.pid), encoding="utf-8")
        try:
            yield process
        finally:
            self.group_file.unlink(missing_ok=True)

    def _orphaned(self) -> bool:
        if self.launcher_lock is None:
            return False
        try:
            with self.launcher_lock.open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except FileNotFoundError:
            return True
        return True


def dvc_command(*arguments: str) -> list[str]:
    """Return the command that runs this environment's DVC, waiting for its lock where another process has it."""
    return [sys.executable, "-P", "-m", "dvc", "--wait-for-lock", *arguments]


def dvc_environment() -> dict[str, str]:
    """Return this process's environment with its own programs first, so that stages find ``wsolbench``."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}


def end_group(group: int, grace: float = _GRACE_S) -> None:
    """Interrupt a process group as Ctrl-C would, and kill what is left of it after ``grace`` seconds.

    Args:
        group: number of the group.
        grace: seconds.
    """
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, signal.SIGINT)
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline:
            _reap(group, os.WNOHANG)
            os.killpg(group, 0)
            time.sleep(0.05)
        os.killpg(group, signal.SIGKILL)
        _reap(group, 0)


def _reap(child: int, options: int) -> None:
    """Take note of a child's end, without which its group does not vanish; nothing if it is not ours."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, options)
