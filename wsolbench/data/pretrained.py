"""The weights stage: the pinned file of a track's backbone, found, checked and put beside its data."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from wsolbench.backbones.weights import PINNED, WEIGHTS_VARIABLE, PinnedWeights, check_weights, find_weights
from wsolbench.data.download import fetch
from wsolbench.errors import DataError, SettingsError, WeightsError, nearest

__all__ = ["RECORD_FILE", "pinned_weights", "place_weights", "placed_arguments", "read_placed"]

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
    """Put the pinned weight file of a backbone into ``directory``, checked, beside a record of what it is.

    A local copy is preferred; without one the file is fetched from its official address.

    Args:
        backbone: stem of the backbone's file.
        name: key in its table of weights; None writes a record that says so, and no file.
        root: directory to search after the one that ``WSOLBENCH_WEIGHTS`` names.
        directory: output of the stage; replaced as a whole.

    Raises:
        WeightsError: the file is missing and cannot be fetched, or is not the pinned one.
    """
    temporary = directory.with_name(directory.name + ".tmp")
    pinned = None if name is None else pinned_weights(backbone, name)
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
    found = check_weights(path, pinned)
    recorded = _recorded_digest(directory / RECORD_FILE)
    if found != recorded:
        raise WeightsError(
            f"{path}: sha256 is {found}, {RECORD_FILE} says {recorded}; run `dvc repro -f weights@{directory.name}`"
        )
    return {"name": name, "sha256": found}, path


def placed_arguments(backbone: str, name: str | None) -> dict[str, Any]:
    """Return the backbone's constructor arguments that weights were trained with; none for random initialisation.

    Raises:
        SettingsError: no such weights are pinned for the backbone.
    """
    return {} if name is None else dict(pinned_weights(backbone, name).backbone_args)


def _recorded_digest(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["weights"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        raise WeightsError(f"{path} is missing or damaged; run `dvc repro -f weights@{path.parent.name}`") from None


def _fetch(pinned: PinnedWeights, target: Path) -> None:
    try:
        fetch(pinned.url, target, size=pinned.bytes, sha256=pinned.sha256 or None)
    except DataError as error:
        raise WeightsError(
            f"{error}\nWithout a network, put {pinned.file} into a directory and name that in the variable "
            f"{WEIGHTS_VARIABLE} or in weights.root of params.yaml."
        ) from None
