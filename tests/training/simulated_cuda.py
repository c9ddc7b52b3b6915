"""A CUDA device that computes on the CPU, so that what only CUDA executes is tested where there is none.

Tensors have real values and real gradients, and a place that every operation looks at: one that mixes devices, or hands
a tensor on the device to numpy, raises as it would on a GPU. What is not simulated: kernels of CUDA and their rounding,
streams and time, memory, several devices, and mixed devices in the middle of a backward pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Self

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
CPU = torch.device("cpu")
_MOVES = {torch.Tensor.to: None, torch.Tensor.cpu: CPU, torch.Tensor.cuda: CUDA}
_NAMES_DEVICES = (torch.device, torch._C._nn._parse_to)
_READS_MEMORY = (torch.Tensor.numpy, torch.Tensor.__array__)
_TAKES_BOTH = (torch.Tensor.copy_, torch.Tensor.data.__set__, torch._has_compatible_shallow_copy_type)
_TAKES_INDICES = (torch.Tensor.__getitem__, torch.Tensor.__setitem__)
_TAKES_NO_SCALARS = (torch.stack, torch.cat)


def place(tensor: Tensor) -> torch.device:
    """Return where a tensor is: storages know it, so that views and parameters agree with what they share."""
    return getattr(tensor.untyped_storage(), "simulated", CPU)


def _put(tensor: Tensor, device: torch.device) -> Tensor:
    tensor.untyped_storage().simulated = device
    return tensor


class SimulatedGenerator(torch.Generator):
    """A generator that remembers for which device it was made."""

    def __new__(cls, device: torch.device | str = CPU) -> Self:
        made = super().__new__(cls, CPU)
        made.place = torch.device(device)
        return made

    @property
    def device(self) -> torch.device:
        return self.place


class SimulatedCuda(TorchFunctionMode):
    """Sees every call of torch from Python, and keeps its tensors' places."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _NAMES_DEVICES:
            return func(*args, **kwargs)
        if func == torch.Tensor.device.__get__:
            return place(args[0])
        if func == torch.Tensor.is_cuda.__get__:
            return place(args[0]) == CUDA
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func in _READS_MEMORY and place(tensors[0]) == CUDA:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func == torch.Tensor.pin_memory:
            return args[0]
        asked = _asked(func, args, kwargs)
        args, kwargs = tree_map(_here, (args, kwargs))
        if func in _MOVES:
            return self._moved(func, asked, tensors, args, kwargs)
        _check(func, tensors, asked, kwargs.get("generator"))
        there = asked or (CUDA if any(place(tensor) == CUDA for tensor in tensors) else CPU)
        found = func(*args, **kwargs)
        if there == CUDA and func not in _TAKES_BOTH:
            tree_map(lambda leaf: _put(leaf, CUDA) if isinstance(leaf, Tensor) else leaf, found)
        return found

    @staticmethod
    def _moved(func: Any, asked: torch.device | None, tensors: list[Tensor], args: Any, kwargs: Any) -> Tensor:
        before, target = place(tensors[0]), asked or place(tensors[-1])
        found = func(*args, **kwargs) if func == torch.Tensor.to else tensors[0]
        if target == before:
            return _put(found, before)
        return _put(found.clone() if found.data_ptr() == tensors[0].data_ptr() else found, target)


def _asked(func: Any, args: Any, kwargs: Any) -> torch.device | None:
    """Return the device that a call names."""
    if _MOVES.get(func) is not None:
        return _MOVES[func]
    named = kwargs.get("device")
    if func == torch.Tensor.to and named is None:
        named = next((arg for arg in args[1:] if isinstance(arg, (str, torch.device))), None)
    if named is None:
        return None
    return CUDA if torch.device(named).type == "cuda" else CPU


def _here(leaf: Any) -> Any:
    """Replace the simulated device by the one that computes."""
    if isinstance(leaf, torch.device) and leaf.type == "cuda":
        return CPU
    return "cpu" if isinstance(leaf, str) and leaf.startswith("cuda") else leaf


def _check(func: Any, tensors: list[Tensor], asked: torch.device | None, generator: Any) -> None:
    if func not in _TAKES_BOTH:
        met = tensors[:1] if func in _TAKES_INDICES and tensors and place(tensors[0]) == CUDA else tensors
        places = {place(each) for each in met if each.ndim or place(each) == CUDA or func in _TAKES_NO_SCALARS}
        if len(places) > 1:
            raise RuntimeError(f"{func.__name__}: Expected all tensors to be on the same device, found cuda:0 and cpu")
    if isinstance(generator, SimulatedGenerator) and generator.device.type != (asked or CPU).type:
        raise RuntimeError(f"Expected a '{asked or CPU}' device type for generator but found '{generator.device}'")


class _Event:
    def record(self) -> None:
        """Note nothing: everything has happened."""

    def synchronize(self) -> None:
        """Wait for nothing."""


@contextmanager
def simulated_cuda(patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let torch see the simulated device, and take back afterwards what a training sets for it."""
    autocast = torch.autocast

    def on_the_cpu(device_type: str, *args: Any, **kwargs: Any) -> Any:
        return autocast("cpu", *args, **kwargs)

    replaced: dict[str, Callable[..., Any]] = {
        "cuda.is_available": lambda: True,
        "cuda.device_count": lambda: 1,
        "cuda.manual_seed": torch.default_generator.manual_seed,
        "cuda.synchronize": lambda device=None: None,
        "cuda.get_device_name": lambda device=None: "simulated",
        "cuda.max_memory_allocated": lambda device=None: 0,
        "cuda.Event": _Event,
        "backends.cudnn.version": lambda: 0,
        "optim.Optimizer._accelerator_graph_capture_health_check": lambda optimiser: None,
        "autocast": on_the_cpu,
        "Generator": SimulatedGenerator,
    }
    for name, function in replaced.items():
        patch.setattr(f"torch.{name}", function)
    strict, warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn
    former, precision = (cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32), torch.get_float32_matmul_precision()
    try:
        with SimulatedCuda():
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warn)
        cudnn.deterministic, cudnn.benchmark, cudnn.allow_tf32 = former
        torch.set_float32_matmul_precision(precision)
