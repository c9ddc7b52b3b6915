"""Load a weight file into a network, all of it or none of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from wsolbench.errors import WeightsError

__all__ = ["load_strictly", "read_tensors"]

_SHOWN = 3
_COUNTER = "num_batches_tracked"  # torch counts batches since 2018; official files are older


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a ``.safetensors`` file, or a ``.pth`` state dict without executing anything in it.

    Raises:
        WeightsError: the file cannot be read, or holds something else than named tensors.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, EOFError, RuntimeError, ValueError, SafetensorError, UnpicklingError) as error:
        kind = "safetensors" if path.suffix == ".safetensors" else "a state dict"
        raise WeightsError(f"{path} cannot be read as {kind}: {error}") from None
    if isinstance(tensors, Mapping) and list(tensors) == ["model"]:  # as DeiT's authors store theirs
        tensors = tensors["model"]
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise WeightsError(f"{path} is not a state dict: named tensors and nothing else are expected")
    return dict(tensors)


def load_strictly(
    network: nn.Module, path: Path, *, optional: str, hint: str = "", rename: Callable[[str], str | None] | None = None
) -> bool:
    """Copy a file's tensors into a network whose keys and shapes they must have exactly.

    Args:
        network: changed in place, or not at all. Parameters on the ``meta`` device are checked, but hold nothing.
        path: safetensors file, or ``.pth`` state dict.
        optional: prefix of keys that the file may leave out, all together (a classifier).
        hint: what to look at when shapes differ.
        rename: turns a key of the file into the network's, or into None where the network has no use for it.

    Returns:
        Whether the file had the optional keys.

    Raises:
        WeightsError: the file cannot be read, or keys are missing or unexpected, or shapes differ; they are named.
    """
    tensors = read_tensors(path)
    if rename is not None:
        tensors = {name: value for key, value in tensors.items() if (name := rename(key)) is not None}
    wanted: dict[str, Tensor] = network.state_dict()
    complete = any(key.startswith(optional) for key in tensors)
    if not complete:
        wanted = {key: value for key, value in wanted.items() if not key.startswith(optional)}
    problems = [f"missing {key}" for key in wanted if key not in tensors and not key.endswith(_COUNTER)]
    problems += [f"unexpected {key}" for key in tensors if key not in wanted]
    if problems:
        raise WeightsError(f"{path} does not fit {type(network).__name__}: {_listed(problems)}")
    wrong = [
        f"{key} is {list(tensors[key].shape)}, not {list(value.shape)}"
        for key, value in wanted.items()
        if key in tensors and tensors[key].shape != value.shape
    ]
    if wrong:
        advice = f"; {hint}" if hint else ""
        raise WeightsError(f"{path} does not fit {type(network).__name__}: {_listed(wrong)}{advice}")
    with torch.no_grad():
        for key, value in tensors.items():
            if not wanted[key].is_meta:
                wanted[key].copy_(value)
    return complete


def _listed(problems: list[str]) -> str:
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return ", ".join(problems[:_SHOWN]) + more
