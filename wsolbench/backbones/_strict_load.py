"""Load a safetensors file into a network, all of it or none of it."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from wsolbench.errors import WeightsError

__all__ = ["load_strictly"]

_SHOWN = 3


def load_strictly(network: nn.Module, path: Path, *, optional: str, hint: str) -> None:
    """Copy a file's tensors into a network whose keys and shapes they must have exactly.

    Args:
        network: changed in place, or not at all.
        path: safetensors file.
        optional: prefix of keys that the file may leave out, all together (a classifier).
        hint: what to look at when shapes differ.

    Raises:
        WeightsError: the file cannot be read, or keys are missing or unexpected, or shapes differ; they are named.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"{path} cannot be read as safetensors: {error}") from None
    wanted: dict[str, Tensor] = network.state_dict()
    if not any(key.startswith(optional) for key in tensors):
        wanted = {key: value for key, value in wanted.items() if not key.startswith(optional)}
    problems = [f"missing {key}" for key in wanted if key not in tensors]
    problems += [f"unexpected {key}" for key in tensors if key not in wanted]
    if problems:
        raise WeightsError(f"{path} does not fit {type(network).__name__}: {_listed(problems)}")
    wrong = [
        f"{key} is {list(tensors[key].shape)}, not {list(value.shape)}"
        for key, value in wanted.items()
        if tensors[key].shape != value.shape
    ]
    if wrong:
        raise WeightsError(f"{path} does not fit {type(network).__name__}: {_listed(wrong)}; {hint}")
    network.load_state_dict(tensors, strict=False)


def _listed(problems: list[str]) -> str:
    more = f" and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return ", ".join(problems[:_SHOWN]) + more
