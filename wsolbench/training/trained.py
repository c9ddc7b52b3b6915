"""A trained method, read back from what its training wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load

from wsolbench.config.paths import Layout
from wsolbench.config.settings import MethodOnTrack, Run, Track
from wsolbench.errors import DataError
from wsolbench.models.method import Method
from wsolbench.models.pretrained import read_placed
from wsolbench.runs.run_folder import CHECKPOINT_FILE, read_part, read_record
from wsolbench.training.building import build_method

__all__ = ["load_trained", "read_trained", "run_of_record"]


def read_trained(layout: Layout, key: str) -> dict[str, Any]:
    """Return the record of a run that was trained.

    Raises:
        DataError: the run was not trained here, was skipped, or its record is damaged.
    """
    record = read_record(layout, key)
    if "reason" in record:
        raise DataError(f"run '{key}' was skipped: its method does not support the track; there is nothing to load")
    return record


def run_of_record(record: dict[str, Any]) -> Run:
    """Return the run as it was trained, whatever ``params.yaml`` says by now."""
    track, method = dict(record["track"]), record["method"]
    chosen = {name: method[name] for name in MethodOnTrack.model_fields if name in method}
    return Run(
        key=record["key"],
        track_name=track.pop("name"),
        method=method["name"],
        seed=record["seed"],
        track=Track.model_validate(track),
        on_track=MethodOnTrack.model_validate(chosen),
        variant_of=method.get("variant_of"),
        title=method.get("variant_title"),
    )


def load_trained(record: dict[str, Any], layout: Layout, device: torch.device) -> Method:
    """Build the method of a record of :func:`read_trained` and load its checkpoint, ready for prediction on a device.

    Raises:
        DataError: the checkpoint is missing, damaged, or not that of this method as it is now.
    """
    run = run_of_record(record)
    weights: Path | None = None
    if run.track.backbone_args.get("keep_classifier"):
        _, weights = read_placed(layout.weights(run.track_name), run.track.backbone, run.track.weights)
    method = build_method(run, len(record["class_names"]), weights).to(device)
    path = layout.run(run.key) / CHECKPOINT_FILE
    try:
        method.load_state_dict(load(read_part(layout, record, CHECKPOINT_FILE)))
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise DataError(
            f"{path} does not fit method '{run.method}' as it is now ({first}); train the run again"
        ) from None
    return method.eval()
