"""One training on several devices: who takes part, and what they send one another."""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar

import torch
from mmengine.dist import gather_object, get_dist_info, init_dist
from torch import distributed as dist
from torch import nn

from wsolbench.config.settings import RuntimeSettings
from wsolbench.errors import SettingsError

__all__ = ["Launcher", "distributed", "gather", "maximum", "share_buffers", "synchronise_statistics", "wait_for_all"]

_POLL_SECONDS, _GRACE_SECONDS = 1.0, 3.0  # how often others are looked after; how long one has to end by itself
_log = logging.getLogger("wsolbench.train")
Launcher = Literal["none", "pytorch", "slurm"]
T = TypeVar("T")


@contextmanager
def distributed(launcher: Launcher, runtime: RuntimeSettings) -> Iterator[tuple[int, int]]:
    """Take part in a group of processes while the context is open: NCCL on CUDA devices, gloo on CPUs.

    The launcher is what started the processes, as mmengine has it: ``pytorch`` is torchrun; ``none`` is one process.
    Yields this process's number from 0, and how many there are.

    Raises:
        SettingsError: the launcher did not start this process, or cannot work without CUDA.
    """
    if launcher == "none":
        yield 0, 1
        return
    try:
        if launcher == "slurm" and torch.cuda.is_available():
            # With --gpus-per-task=1, each task sees one device, which has the number 0 in all of them.
            os.environ["SLURM_LOCALID"] = str(int(os.environ["SLURM_LOCALID"]) % torch.cuda.device_count())
        if runtime.device != "cpu" and torch.cuda.is_available():
            init_dist(launcher, backend="nccl")
        elif launcher == "pytorch":
            dist.init_process_group("gloo")  # mmengine's own would set a CUDA device
        else:
            raise SettingsError(f"--launcher {launcher} needs CUDA devices; on CPUs use torchrun and 'pytorch'")
    except (KeyError, ValueError) as error:
        raise SettingsError(f"--launcher {launcher}: this process was not started by it ({error})") from error
    with _ending_together():
        yield get_dist_info()
        wait_for_all()
    dist.destroy_process_group()  # not after an error, when it would wait for the others


@contextmanager
def _ending_together() -> Iterator[None]:
    """Tell the other processes when this one fails, and end it when another one does."""
    # A connection of its own to where all met: the main thread may be waiting in the first.
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = dist.TCPStore(host, port, is_master=False)  # type: ignore[attr-defined]
    key, left = f"wsolbench/failure/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", threading.Event()
    watch = threading.Thread(target=_end_with_the_others, args=(store, key, left), daemon=True)
    watch.start()
    try:
        yield
    except BaseException as error:
        with suppress(RuntimeError):  # where the first process is gone, the others see that by themselves
            store.set(key, f"{type(error).__name__}: {error}")
        raise
    finally:
        left.set()
        watch.join()


def _end_with_the_others(store: Any, key: str, left: threading.Event) -> None:
    """End this process soon after another one has left its reason to fail in a ``TCPStore``, unless it ends itself."""
    while not left.wait(_POLL_SECONDS):
        try:
            reason = store.get(key).decode() if store.check([key]) else None
        except RuntimeError as error:  # the process that keeps it is gone
            reason = str(error)
        if reason is not None and not left.wait(_GRACE_SECONDS):
            _log.error("another process of this training has failed, and this one ends with it: %s", reason)
            os._exit(1)


def maximum(*numbers: int) -> list[int]:
    """Return for each number the largest that any process has, the same in all."""
    values = torch.tensor(numbers)
    if get_dist_info()[1] > 1:
        dist.all_reduce(values, dist.ReduceOp.MAX, group=_cpu_group())
    return values.tolist()


def wait_for_all() -> None:
    """Wait until all processes are here."""
    if get_dist_info()[1] > 1:
        dist.barrier(group=_cpu_group())


def gather(item: T) -> list[T]:
    """Return the items of all processes in their order, at process 0; elsewhere only one's own."""
    items = gather_object(item, group=_cpu_group()) if get_dist_info()[1] > 1 else None
    return items or [item]


def share_buffers(method: nn.Module) -> None:
    """Give all processes the first one's running statistics, which its checkpoint holds, before they predict."""
    if get_dist_info()[1] > 1:
        for buffer in method.buffers():
            dist.broadcast(buffer, 0)


def synchronise_statistics(method: nn.Module, device: torch.device) -> None:
    """Let batch normalisation take its statistics over all processes' shares; for one process there is nothing to do.

    Raises:
        SettingsError: several processes on CPUs, for which torch has no such layer.
    """
    if get_dist_info()[1] == 1:
        return
    if device.type != "cuda":
        raise SettingsError("tracks.*.sync_bn: torch has it for CUDA devices only; set it to false")
    from timm.layers.norm_act import convert_sync_batchnorm  # noqa: PLC0415 - slow; it knows fused activations

    convert_sync_batchnorm(method)  # type: ignore[no-untyped-call]


@functools.cache
def _cpu_group() -> Any:
    """Return a group over which to send what lies on the CPU, so that no process waits for its device."""
    return dist.new_group(backend="gloo")
