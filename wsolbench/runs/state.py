"""State of a training in progress, so that a killed run goes on and ends with the same bytes.

A state is a pair of files: tensors (safetensors), and JSON with everything else and the sha256 of the tensors and of
itself. The JSON is written last, so that a pair is either whole or not there; nothing in it can execute code.
Random states are not part of it: order, augmentation and the network's draws are functions of (seed, epoch, image) and
(seed, iteration).
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load, save
from torch import Tensor

import wsolbench
from wsolbench.errors import DataError
from wsolbench.files import check_record, file_sha256, parse_file, with_digest, write_bytes, write_text

__all__ = ["StateKeeper", "run_digest"]

_KEPT = 2  # a damaged file leaves the one before
_DEFINING = ("data", "models", "training")
_CURE = "the one before it is used"
_log = logging.getLogger("wsolbench.train")


def run_digest(record: Mapping[str, Any], method_file: Path | None) -> str:
    """Return the sha256 of everything that defines the bytes of a run.

    Args:
        record: settings, digests of index and weights, device, threads: plain data.
        method_file: source of the method; None for what is trained by the harness itself.
    """
    package = Path(wsolbench.__file__).parent
    sources = [path for name in _DEFINING for path in _python_files(package / name)]
    sources += [] if method_file is None else [method_file]
    code = [[path.name, file_sha256(path)] for path in sources]
    defining = {"record": record, "code": code, "torch": torch.__version__}
    return hashlib.sha256(json.dumps(defining, sort_keys=True, default=str).encode()).hexdigest()


def _python_files(path: Path) -> Iterator[Path]:
    return iter(sorted(path.rglob("*.py"))) if path.is_dir() else iter((path,))


@dataclass(frozen=True)
class StateKeeper:
    """Writes and reads the states of one run.

    Attributes:
        folder: of all states of the run's key; those of another digest are removed.
        digest: of everything that defines the run.
    """

    folder: Path
    digest: str

    def save(self, iteration: int, tree: Mapping[str, Any]) -> None:
        """Write the state after an iteration; of the earlier ones, the last is kept.

        Args:
            iteration: number of iterations done.
            tree: nested mappings, lists and tuples of tensors and plain values.
        """
        place = self._place()
        place.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, Tensor] = {}
        packed = _pack(tree, tensors)
        file = place / f"{iteration:09d}.safetensors"
        write_bytes(file, save(tensors))
        content = with_digest({"tensors": file_sha256(file), "tree": packed})
        write_text(file.with_suffix(".json"), json.dumps(content))
        for old in self._states()[_KEPT:]:
            for path in (old, old.with_suffix(".safetensors")):
                path.unlink(missing_ok=True)

    def load(self) -> Any:
        """Return the newest whole state as :meth:`save` was given it, or None.

        A damaged one is named in the log, and the one before is taken. States of another digest are removed.
        """
        for other in self.folder.glob("*"):
            if other != self._place():
                _log.info("%s belongs to another version of the run; removed", other)
                shutil.rmtree(other, ignore_errors=True)
        for path in self._states():
            try:
                return _read(path)
            except DataError as error:
                _log.warning("state %s", error)
        return None

    def _place(self) -> Path:
        return self.folder / self.digest[:16]

    def _states(self) -> list[Path]:
        return sorted(self._place().glob("*.json"), reverse=True)


def _read(path: Path) -> Any:
    content = check_record(parse_file(path, json.loads, _CURE), path, _CURE)
    tensors = parse_file(path.with_suffix(".safetensors"), load, _CURE, content["tensors"])
    return _unpack(content["tree"], tensors)


def _pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return ``value`` as JSON can hold it; its tensors go to ``tensors``."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, Mapping):
        return {"mapping": [[_pack(key, tensors), _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {type(value).__name__: [_pack(item, tensors) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a state cannot hold a {type(value).__name__}")


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, Mapping):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "mapping":
        return {_unpack(key, tensors): _unpack(item, tensors) for key, item in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
