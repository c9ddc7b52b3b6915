"""``wsolbench launch``: several runs at once, each executed by DVC.

The graph, what is stale in it, and the execution of every stage are DVC's. What is added is that stages of different
runs, which depend on nothing of each other, are handed to workers instead of one after the other. Afterwards ``dvc
repro`` finds them done.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from wsolbench.errors import SettingsError, WsolbenchError
from wsolbench.layout import Layout
from wsolbench.progress import meter
from wsolbench.settings import Settings

__all__ = ["LaunchError", "Workers", "launch", "stale_runs", "worker_devices"]

_FIRST = ("prepare", "weights")  # what runs share
_PER_RUN = (("train", "evaluate"), ("train_cell", "evaluate_cell"), ("baseline",))  # groups that follow one another
_TAIL = 15  # lines of a failed run's output that are shown
_log = logging.getLogger("wsolbench")


class LaunchError(WsolbenchError):
    """Some runs failed, or cannot be launched."""


def worker_devices(settings: Settings, workers: int | None) -> list[str | None]:
    """Return what each local worker computes on: the number of a GPU, or None for the CPU.

    Args:
        settings: device and threads of a run.
        workers: how many; None takes one per GPU, or as many as the CPU has room for.

    Raises:
        SettingsError: more workers than GPUs are asked for.
    """
    gpus = _gpus() if settings.runtime.device != "cpu" else []
    if not gpus:
        cores = len(os.sched_getaffinity(0))
        return [None] * (workers or max(cores // settings.runtime.threads, 1))
    if workers is not None and workers > len(gpus):
        raise SettingsError(f"{workers} workers were asked for, and there are {len(gpus)} GPUs")
    return list(gpus[:workers])


def stale_runs(changed: Sequence[str], keys: Sequence[str]) -> dict[str, list[str]]:
    """Return the stages of each run that DVC would execute, in order.

    Args:
        changed: names of changed stages, as ``dvc status`` has them.
        keys: of all runs and cells that params.yaml asks for, as they stand behind the ``@``.
    """
    found: dict[str, list[str]] = {}
    for key in keys:
        for groups in _PER_RUN:
            stale = [f"{group}@{key}" in changed for group in groups]
            if any(stale):  # what follows a stage that runs will have changed
                found[key] = [f"{group}@{key}" for group in groups[stale.index(True) :]]
    return found


def launch(settings: Settings, layout: Layout, workers: int | None) -> None:
    """Bring all stale runs up to date on local workers, then everything else.

    Args:
        settings: all of ``params.yaml``.
        layout: of the repository, in which this process runs.
        workers: see :func:`worker_devices`.

    Raises:
        LaunchError: runs failed (the others were finished), or another launch is going on.
    """
    devices = worker_devices(settings, workers)
    with _alone(layout.root / ".wsolbench" / "launch.lock"):
        changed = _changed()
        if not changed:
            _log.info("everything is up to date")
            return
        if any(name.partition("@")[0] in _FIRST for name in changed):
            _dvc("repro", "-k", *_FIRST)
            changed = _changed()
        runs = stale_runs(changed, _keys(settings))
        failed = Workers(devices, layout).run(runs) if runs else []
        status = _dvc("repro", "-k", *(["--quiet"] if failed else []))
    if failed:
        raise LaunchError(f"{len(failed)} of {len(runs)} runs failed: {', '.join(failed)}; the others are done")
    if status:
        raise LaunchError("dvc repro failed; its messages are above")


@dataclass
class Workers:
    """Local workers, each with one run at a time.

    Attributes:
        devices: of each worker, see :func:`worker_devices`.
        layout: where logs go.
    """

    devices: Sequence[str | None]
    layout: Layout
    _running: set[subprocess.Popen[bytes]] = field(default_factory=set)
    _stopped: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, runs: Mapping[str, Sequence[str]]) -> list[str]:
        """Execute the stages of every run; return the keys of those that failed.

        SIGINT and SIGTERM are passed on to what is running, which saves its state, and end the launch.
        """
        free: SimpleQueue[str | None] = SimpleQueue()
        for device in self.devices:
            free.put(device)
        failed: list[str] = []
        former = signal.signal(signal.SIGTERM, _as_interrupt)
        pool = ThreadPoolExecutor(len(self.devices))
        try:
            futures = {pool.submit(self._one, key, stages, free): key for key, stages in runs.items()}
            with meter(f"{len(self.devices)} workers", len(futures), "runs") as progress:
                for future in as_completed(futures):
                    key = futures[future]
                    if not future.result():
                        failed.append(key)
                        self._show_end(key)
                    progress.advance(1, f"{key} {'failed' if key in failed else 'done'}")
        except KeyboardInterrupt:
            self._stop()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
            signal.signal(signal.SIGTERM, former)
        return sorted(failed)

    def _one(self, key: str, stages: Sequence[str], free: SimpleQueue[str | None]) -> bool:
        device = free.get()
        try:
            log = self._log_file(key)
            log.parent.mkdir(parents=True, exist_ok=True)
            environment = dict(os.environ) if device is None else os.environ | {"CUDA_VISIBLE_DEVICES": device}
            with log.open("wb") as stream:
                return all(self._stage(stage, environment, stream) for stage in stages)
        finally:
            free.put(device)

    def _stage(self, stage: str, environment: Mapping[str, str], stream: Any) -> bool:
        command = [*_DVC, "--wait-for-lock", "repro", "--single-item", stage]
        with self._lock:
            if self._stopped:
                return False
            process = subprocess.Popen(  # noqa: S603 - our own command
                command, env=environment, stdout=stream, stderr=subprocess.STDOUT, start_new_session=True
            )
            self._running.add(process)
        try:
            return process.wait() == 0
        finally:
            with self._lock:
                self._running.discard(process)

    def _stop(self) -> None:
        with self._lock:
            self._stopped = True
            for process in self._running:
                os.killpg(process.pid, signal.SIGTERM)

    def _log_file(self, key: str) -> Path:
        return self.layout.root / ".wsolbench" / "launch" / f"{key}.log"

    def _show_end(self, key: str) -> None:
        file = self._log_file(key)
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
        _log.error("%s failed; the end of %s:\n%s", key, file, "\n".join(f"    {line}" for line in lines[-_TAIL:]))


_DVC = (sys.executable, "-m", "dvc")


def _dvc(*arguments: str) -> int:
    return subprocess.run([*_DVC, *arguments], check=False).returncode  # noqa: S603 - our own command


def _changed() -> list[str]:
    done = subprocess.run([*_DVC, "status", "--json"], check=False, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise LaunchError(f"dvc status failed: {done.stderr.strip()}")
    return list(json.loads(done.stdout))


def _keys(settings: Settings) -> list[str]:
    chosen = settings.run
    names = [*chosen.methods, *chosen.baselines]
    runs = [f"{track}-{name}-{seed}" for track in chosen.tracks for name in names for seed in chosen.seeds]
    return [*runs, *chosen.cells]


def _gpus() -> list[str]:
    """Return the GPUs that may be used; asks the driver, because importing torch takes seconds."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.split(",") if name.strip()]
    try:
        listed = subprocess.run(["nvidia-smi", "-L"], check=True, capture_output=True, text=True).stdout  # noqa: S607
    except (OSError, subprocess.CalledProcessError):
        return []
    return [str(number) for number, line in enumerate(listed.splitlines()) if line.startswith("GPU")]


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise LaunchError(f"another launch is going on in this directory (it holds {path})") from None
        yield


def _as_interrupt(number: int, frame: Any) -> None:
    del number, frame
    raise KeyboardInterrupt
