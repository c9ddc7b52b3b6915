"""State of a training in progress, so that a killed run goes on and ends with the same bytes.

A state is one file: the sha256 of the rest, and the tensors and plain values that torch wrote. It is put in place
whole, checked before it is read, and read in torch's mode that executes nothing. Random states are not part of it:
order, augmentation and the network's draws are functions of (seed, epoch, image) and (seed, iteration).
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import wsolbench
from wsolbench.errors import DataError
from wsolbench.files import bytes_sha256, file_sha256, parse_file, replacing

__all__ = ["StateKeeper", "run_digest"]

_KEPT = 2  # a damaged file leaves the one before
_DEFINING = ("data", "models", "training", "evaluation")
_CURE = "the one before it is used"
_HEX = 64
_log = logging.getLogger("wsolbench.train")


def run_digest(record: Mapping[str, Any], method_file: Path | None) -> str:
    """Return the sha256 of what defines a run: plain data (settings, digests, device), code and the method's source."""
    package = Path(wsolbench.__file__).parent
    sources = [path for name in _DEFINING for path in sorted((package / name).rglob("*.py"))]
    sources += [] if method_file is None else [method_file]
    code = [[path.name, file_sha256(path)] for path in sources]
    defining = {"record": record, "code": code, "torch": torch.__version__}
    return hashlib.sha256(json.dumps(defining, sort_keys=True, default=str).encode()).hexdigest()


@dataclass(frozen=True)
class StateKeeper:
    """Writes and reads the states of one run, below the folder of its key, by the digest of what defines it."""

    folder: Path
    digest: str

    def save(self, iteration: int, state: Mapping[str, Any]) -> None:
        """Write the state after an iteration, tensors and plain values; of the earlier ones, the last is kept."""
        buffer = io.BytesIO()
        torch.save(state, buffer)
        with replacing(self._place / f"{iteration:09d}.pt") as temporary, temporary.open("wb") as stream:
            stream.write(hashlib.sha256(buffer.getbuffer()).hexdigest().encode())
            stream.write(buffer.getbuffer())
        for old in self._states()[_KEPT:]:
            old.unlink(missing_ok=True)

    def load(self) -> Any:
        """Return the newest whole state, on the CPU, or None; a damaged one is named, those of other runs removed."""
        for other in self.folder.glob("*"):
            if other != self._place:
                _log.info("%s belongs to another version of the run; removed", other)
                shutil.rmtree(other, ignore_errors=True)
        for path in self._states():
            try:
                return parse_file(path, _parse, _CURE)
            except DataError as error:
                _log.warning("state %s", error)
        return None

    @property
    def _place(self) -> Path:
        return self.folder / self.digest[:16]

    def _states(self) -> list[Path]:
        return sorted(self._place.glob("*.pt"), reverse=True)


def _parse(content: bytes) -> Any:
    if bytes_sha256(content[_HEX:]).encode() != content[:_HEX]:
        raise ValueError("its content is not what its digest says")
    return torch.load(io.BytesIO(content[_HEX:]), map_location="cpu", weights_only=True)
