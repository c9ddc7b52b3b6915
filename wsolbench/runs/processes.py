"""One training on several devices: who takes part, and what they tell one another.

Every process computes its share of the same batch, so that a run on N devices has the recipe's batch, learning rate and
order of images; nothing is scaled. Processes draw differently for their images (dropout), and alike for the batch: a
coin that decides whether it is erased comes from a generator of its own, and what a method does to a batch before the
network sees it from another, both seeded alike everywhere.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TypeVar

import torch
from mmengine.dist import get_dist_info, init_dist
from torch import Tensor, distributed, nn

from wsolbench.config.settings import RuntimeSettings
from wsolbench.errors import SettingsError

__all__ = [
    "Launcher",
    "batch_means",
    "gathered",
    "joined",
    "largest",
    "share_buffers",
    "synchronised_statistics",
    "wait_for_all",
]

_POLL_SECONDS, _GRACE_SECONDS = 1.0, 3.0  # how often others are looked after; how long one has to end by itself
_log = logging.getLogger("wsolbench.train")
Launcher = Literal["none", "pytorch", "slurm"]
T = TypeVar("T")


@contextmanager
def joined(launcher: Launcher, runtime: RuntimeSettings) -> Iterator[tuple[int, int]]:
    """Take part in a group of processes while the context is open: NCCL on CUDA devices, gloo on CPUs.

    Args:
        launcher: what started the processes, as mmengine has it: ``pytorch`` is torchrun; ``none`` is one process.
        runtime: on which device.

    Yields:
        This process's number from 0, and how many there are.

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
            distributed.init_process_group("gloo")  # mmengine's own would set a CUDA device
        else:
            raise SettingsError(f"--launcher {launcher} needs CUDA devices; on CPUs use torchrun and 'pytorch'")
    except (KeyError, ValueError) as error:
        raise SettingsError(f"--launcher {launcher}: this process was not started by it ({error})") from error
    with _ending_together():
        yield get_dist_info()
        wait_for_all()
    distributed.destroy_process_group()  # not after an error, when it would wait for the others


@contextmanager
def _ending_together() -> Iterator[None]:
    """Tell the other processes when this one fails, and end it when another one does."""
    # A connection of its own to where all met: the main thread may be waiting in the first.
    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    store = distributed.TCPStore(host, port, is_master=False)  # type: ignore[attr-defined]
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
    """End this process soon after another one has failed, for which it would wait in vain.

    Args:
        store: a ``TCPStore`` where a process that fails leaves its reason.
        key: under which.
        left: set when this process has done its part, or has failed by itself.
    """
    while not left.wait(_POLL_SECONDS):
        try:
            reason = store.get(key).decode() if store.check([key]) else None
        except RuntimeError as error:  # the process that keeps it is gone
            reason = str(error)
        if reason is not None and not left.wait(_GRACE_SECONDS):
            _log.error("another process of this training has failed, and this one ends with it: %s", reason)
            os._exit(1)


def batch_means(losses: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """Return mean losses over all processes' shares of a batch, and the factor that makes gradients theirs.

    Averaging gradients over processes counts every process alike; multiplied by ``images * processes / all images``,
    the sum of losses counts every image alike.

    Args:
        losses: ``(L,)`` means over this process's share.
        images: size of the share.

    Returns:
        ``(L,)`` float64 means; a scalar float64 factor.
    """
    share = losses.double()
    total = torch.cat([share * images, share.new_full((1,), images)])
    distributed.all_reduce(total)
    return total[:-1] / total[-1], images * distributed.get_world_size() / total[-1]


def largest(*numbers: int) -> list[int]:
    """Return for each number the largest that any process has, the same in all."""
    values = torch.tensor(numbers)
    if get_dist_info()[1] > 1:
        distributed.all_reduce(values, distributed.ReduceOp.MAX, group=_cpu_group())
    return values.tolist()


def wait_for_all() -> None:
    """Wait until all processes are here."""
    if get_dist_info()[1] > 1:
        distributed.barrier(group=_cpu_group())


def gathered(item: T) -> list[T]:
    """Return the items of all processes in their order, at process 0; elsewhere only one's own."""
    rank, count = get_dist_info()
    if count == 1:
        return [item]
    items: list[T] | None = [item] * count if rank == 0 else None
    distributed.gather_object(item, items, group=_cpu_group())
    return [item] if items is None else items


def share_buffers(method: nn.Module) -> None:
    """Give all processes the first one's running statistics, which its checkpoint holds, before they predict."""
    if get_dist_info()[1] > 1:
        for buffer in method.buffers():
            distributed.broadcast(buffer, 0)


def synchronised_statistics(method: nn.Module, device: torch.device) -> None:
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
    """What is told on the CPU makes no process wait for its device."""
    return distributed.new_group(backend="gloo")
