"""Pretrained weights as the weights stage has put them beside a track's data, and the table that pins them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from wsolbench.config.recipe import Track
from wsolbench.errors import SettingsError, WeightsError, nearest
from wsolbench.files import parse_file
from wsolbench.models.backbones.weights import PINNED, PinnedWeights, check_weights

__all__ = ["RECORD_FILE", "backbone_arguments", "pinned_weights", "read_placed"]

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


def read_placed(directory: Path, backbone: str, name: str | None) -> tuple[dict[str, Any] | None, Path | None]:
    """Return what ``run.yaml`` says of the initial weights, and their file.

    Returns:
        ``({"name": ..., "sha256": ...}, path)``, or ``(None, None)`` for random initialisation.

    Raises:
        WeightsError: the stage has not run for these weights, or the file changed since.
        DataError: the record that the stage wrote is missing or damaged.
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


def backbone_arguments(track: Track) -> dict[str, Any]:
    """Return the arguments of a track's backbone: what its weights were trained with, its recipe, its own over them.

    Raises:
        SettingsError: no such weights are pinned for the backbone.
    """
    pinned = {} if track.weights is None else dict(pinned_weights(track.backbone, track.weights).backbone_args)
    dropped = {"drop_path": track.drop_path} if track.drop_path else {}
    return pinned | dropped | track.backbone_args


def _recorded_digest(path: Path) -> str:
    cure = f"run `dvc repro -f weights@{path.parent.name}`"
    return parse_file(path, lambda content: str(json.loads(content)["weights"]["sha256"]), cure)
