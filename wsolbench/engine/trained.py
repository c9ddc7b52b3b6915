"""A trained method, read back from what its training wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from safetensors import SafetensorError
from safetensors.torch import load_file

from wsolbench.data.pretrained import read_placed
from wsolbench.engine.building import build_method
from wsolbench.errors import DataError
from wsolbench.layout import Layout
from wsolbench.method import Method
from wsolbench.settings import MethodOnTrack, Run, RunCell, Track

__all__ = ["CHECKPOINT_FILE", "RUN_FILE", "load_trained", "read_record", "run_of_record"]

RUN_FILE = "run.yaml"
CHECKPOINT_FILE = "checkpoint.safetensors"


def read_record(layout: Layout, key: str) -> dict[str, Any]:
    """Return the contents of a run's ``run.yaml``.

    Raises:
        DataError: the run was not trained here, was skipped, or the file is damaged.
    """
    folder = layout.run(key)
    path = folder / RUN_FILE
    if (folder / "skipped.json").is_file():
        raise DataError(f"run '{key}' was skipped: its method does not support the track; there is nothing to load")
    try:
        record = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"{path} is missing; train the run first (`wsolbench train {key}`), or fetch it (`dvc pull {folder}`)"
        ) from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged ({error}); train the run again") from None
    if not isinstance(record, dict) or not {"key", "track", "method", "seed", "class_names"} <= record.keys():
        raise DataError(f"{path} is damaged; train the run again")
    return record


def run_of_record(record: dict[str, Any]) -> Run:
    """Return the run as it was trained, whatever ``params.yaml`` says by now."""
    track, method = dict(record["track"]), record["method"]
    chosen = {name: method[name] for name in MethodOnTrack.model_fields if name in method}
    cell = record.get("cell")
    return Run(
        key=record["key"],
        track_name=track.pop("name"),
        method=method["name"],
        seed=record["seed"],
        track=Track.model_validate(track),
        on_track=MethodOnTrack.model_validate(chosen),
        cell=None if cell is None else RunCell(**cell),
    )


def load_trained(record: dict[str, Any], layout: Layout, device: torch.device) -> Method:
    """Build the method of a record and load its checkpoint, ready for prediction.

    Args:
        record: of :func:`read_record`.
        layout: where the run lies, and the backbone's weights if its own classifier was kept.
        device: where the method goes.

    Raises:
        DataError: the checkpoint is missing, damaged, or not that of this method as it is now.
    """
    run = run_of_record(record)
    weights: Path | None = None
    if run.track.backbone_args.get("keep_classifier"):
        _, weights = read_placed(layout.weights(run.track_name), run.track.backbone, run.track.weights)
    method = build_method(run, len(record["class_names"]), weights)
    path = layout.run(run.key) / CHECKPOINT_FILE
    try:
        method.load_state_dict(load_file(path))
    except FileNotFoundError:
        raise DataError(f"{path} is missing; fetch it (`dvc pull {path.parent}`) or train the run again") from None
    except SafetensorError as error:
        raise DataError(f"{path} is damaged ({error}); train the run again") from None
    except RuntimeError as error:
        first = str(error).splitlines()[0]
        raise DataError(
            f"{path} does not fit method '{run.method}' as it is now ({first}); train the run again"
        ) from None
    return method.to(device).eval()
