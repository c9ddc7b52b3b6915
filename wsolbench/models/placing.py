"""The weights stage: the pinned file of a track's backbone, found, checked and put beside its data."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsolbench.acquire.download import fetch
from wsolbench.errors import DataError, WeightsError
from wsolbench.files import locked, replace_directory, write_text
from wsolbench.models.backbones.weights import WEIGHTS_VARIABLE, PinnedWeights, check_weights, find_weights
from wsolbench.models.pretrained import RECORD_FILE, pinned_weights

__all__ = ["place_weights"]


def place_weights(backbone: str, name: str | None, root: Path | None, directory: Path) -> None:
    """Put the pinned weight file of a backbone into ``directory``, checked, beside a record of what it is.

    A local copy is preferred; without one the file is fetched from its official address.

    Raises:
        WeightsError: the file is missing and cannot be fetched, or is not the pinned one.
    """
    with locked(directory.with_name(f".{directory.name}.lock")):  # a second one waits, and finds the file
        _place(backbone, None if name is None else pinned_weights(backbone, name), root, directory)


def _place(backbone: str, pinned: PinnedWeights | None, root: Path | None, directory: Path) -> None:
    temporary = directory.with_name(directory.name + ".tmp")
    temporary.mkdir(parents=True, exist_ok=True)
    for left in temporary.iterdir():
        if pinned is None or left.name != f"{pinned.file}.part":  # an interrupted download is gone on with
            left.unlink()
    record: dict[str, Any] = {"backbone": backbone, "weights": None}
    if pinned is not None:
        local = find_weights(pinned, root)
        if local is None:
            _fetch(pinned, temporary / pinned.file)
        else:
            shutil.copyfile(local, temporary / pinned.file)
        found = check_weights(temporary / pinned.file, pinned)
        record["weights"] = asdict(pinned) | {"sha256": found, "pinned_sha256": pinned.sha256}
    write_text(temporary / RECORD_FILE, json.dumps(record, indent=2) + "\n")
    replace_directory(temporary, directory)


def _fetch(pinned: PinnedWeights, target: Path) -> None:
    try:
        fetch(pinned.url, target, size=pinned.bytes, sha256=pinned.sha256 or None)
    except DataError as error:
        raise WeightsError(
            f"{error}\nWithout a network, put {pinned.file} into a directory and name that in the variable "
            f"{WEIGHTS_VARIABLE} or in weights.root of params.yaml."
        ) from None
