"""The weights stage: the pinned file of a track's backbone, found, checked and put beside its data."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsolbench.backbones.weights import PINNED, PinnedWeights, find_weights
from wsolbench.data.index import file_sha256
from wsolbench.errors import SettingsError, WeightsError, nearest

__all__ = ["RECORD_FILE", "pinned_weights", "place_weights", "read_placed"]

RECORD_FILE = "weights.json"


def pinned_weights(backbone: str, name: str) -> PinnedWeights:
    """Return the table's entry for a backbone's weights.

    Raises:
        SettingsError: no such weights are pinned for the backbone.
    """
    table = PINNED.get(backbone, {})
    if name not in table:
        raise SettingsError(f"backbone '{backbone}' has no pinned weights '{name}'; {nearest(name, table)}")
    return table[name]


def place_weights(backbone: str, name: str | None, root: Path | None, directory: Path) -> None:
    """Copy the pinned weight file of a backbone into ``directory``, checked, beside a record of what it is.

    Args:
        backbone: stem of the backbone's file.
        name: key in its table of weights; None writes a record that says so, and no file.
        root: directory to search after the one that ``WSOLBENCH_WEIGHTS`` names.
        directory: output of the stage; replaced as a whole.

    Raises:
        WeightsError: the file is missing or is not the pinned one.
    """
    temporary = directory.with_name(directory.name + ".tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    record: dict[str, Any] = {"backbone": backbone, "weights": None}
    if name is not None:
        pinned = pinned_weights(backbone, name)
        shutil.copyfile(find_weights(pinned, root), temporary / pinned.file)
        record["weights"] = asdict(pinned)
    (temporary / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(directory, ignore_errors=True)
    temporary.replace(directory)


def read_placed(directory: Path, backbone: str, name: str | None) -> tuple[dict[str, Any] | None, Path | None]:
    """Return what ``run.yaml`` says of the initial weights, and their file.

    Returns:
        ``({"name": ..., "sha256": ...}, path)``, or ``(None, None)`` for random initialisation.

    Raises:
        WeightsError: the stage has not run for these weights, or the file changed since.
    """
    if name is None:
        return None, None
    pinned = pinned_weights(backbone, name)
    path = directory / pinned.file
    if not path.is_file():
        raise WeightsError(f"{path} is missing; run `dvc repro weights@{directory.name}`")
    found = file_sha256(path)
    if found != pinned.sha256:
        raise WeightsError(f"{path}: sha256 is {found}, pinned is {pinned.sha256}; delete it and run the stage again")
    return {"name": name, "sha256": pinned.sha256}, path
