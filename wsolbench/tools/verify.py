"""``wsolbench verify``: compute a stored run again, from its maps, its checkpoint or from nothing, and compare."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from wsolbench.acquire.building import build_dataset
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.cache import Reading
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import MAPS_FILE, write_maps
from wsolbench.errors import DataError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.files import parse_file
from wsolbench.runs.device import set_up_device
from wsolbench.runs.run_folder import write_record
from wsolbench.training.prediction import predict_split
from wsolbench.training.readout import read_out
from wsolbench.training.trained import load_trained, read_trained, run_of_record
from wsolbench.training.trainer import train

__all__ = ["TOLERANCES", "Origin", "Verdict", "compared", "run_keys", "verify"]

Origin = Literal["maps", "checkpoint", "scratch"]
TOLERANCES: dict[Origin, float] = {"maps": 0.0, "checkpoint": 0.5, "scratch": 5.0}
"""Points by which any number may differ and still count as within tolerance.

Maps give the same numbers everywhere. Another processor or library rounds a network's maps differently, which moves a
few boxes; a training amplifies the first rounding, and ends like another seed. Differences count for accuracies.
"""

_ACCURACIES = ("cls", "gt_known", "top1_loc", "top5_loc", "mean_iou", "max_box_acc", "max_box_acc_v2", "p_iou", "px_ap")
_log = logging.getLogger("wsolbench.tools.verify")


@dataclass(frozen=True)
class Verdict:
    """What was found about a run.

    Attributes:
        key: of the run.
        outcome: ``reproduced`` (every stored number and, where they were made again, the same bytes of maps),
            ``within tolerance`` or ``differs``.
        detail: the largest difference, or what is different in kind.
    """

    key: str
    outcome: Literal["reproduced", "within tolerance", "differs"]
    detail: str


def run_keys(settings: Settings) -> list[str]:
    """Return the keys of all runs of methods and read-outs that ``run`` names; baselines are made from scratch only."""
    keys = [settings.run.keys(track) for track in settings.run.tracks]
    return [key for each in keys for key in each["train"] + each["readout"]]


def verify(
    settings: Settings, key: str, origin: Origin, layout: Layout, jobs: int | None, tolerance: float | None = None
) -> Verdict:
    """Compute the results of a run again, in a scratch place, and compare them with the stored ones.

    It starts from stored maps, stored weights, or nothing; nothing below ``results`` is written. The weights of a
    read-out are those of the run that it reads, which is trained, too, where it starts from nothing. Numbers may differ
    by ``tolerance`` points; None takes :data:`TOLERANCES`.

    Raises:
        DataError: stored results, maps or weights are not here; the message says how to get them.
        SettingsError: the key names no run.
    """
    run = settings.resolve(key)
    if run.method in registry.names("baseline"):
        raise DataError(f"'{key}' is a baseline, whose maps and weights are not stored; run `wsolbench baseline {key}`")
    stored_file = layout.metrics(run.track_name, key)
    if not stored_file.is_file():
        raise DataError(f"{stored_file} is missing: there is nothing to compare with; run `wsolbench evaluate {key}`")
    stored = parse_file(stored_file, json.loads, f"run `wsolbench evaluate {key}`")
    scratch = layout.root / ".wsolbench" / "verify" / key
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    (scratch / "data").symlink_to((layout.root / "data").resolve())
    place = Layout(scratch)
    try:
        _made_again(settings, key, origin, layout, place)
        evaluate_key(settings, key, place, jobs)
        found = json.loads(place.metrics(run.track_name, key).read_text(encoding="utf-8"))
        same_maps = origin == "maps" or _same_bytes(layout.run(key) / MAPS_FILE, place.run(key) / MAPS_FILE)
        return compared(key, stored, found, TOLERANCES[origin] if tolerance is None else tolerance, same_maps)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def compared(
    key: str, stored: Mapping[str, Any], found: Mapping[str, Any], tolerance: float, same_maps: bool
) -> Verdict:
    """Compare the stored metrics of a run with those made now; only with the same bytes of maps are they reproduced."""
    if found == stored:
        what = "all numbers equal" if same_maps else "all numbers equal, maps not to the last bit"
        return Verdict(key, "reproduced" if same_maps else "within tolerance", what)
    ours, theirs = dict(_leaves(found)), dict(_leaves(stored))
    for name in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(name), theirs.get(name)
        if one != other and not (_is_number(one) and _is_number(other)):
            return Verdict(key, "differs", f"{name} is {one!r}, stored is {other!r}")
    counted = [name for name, one in ours.items() if name.split(".")[0] in _ACCURACIES and one is not None]
    points = {name: abs(ours[name] - theirs[name]) for name in counted}
    name = max(points, key=lambda each: points[each])
    detail = f"largest difference {points[name]:.2f} points, in {name}: {ours[name]:.4g}, stored {theirs[name]:.4g}"
    return Verdict(key, "within tolerance" if points[name] <= tolerance else "differs", detail)


def _made_again(settings: Settings, key: str, origin: Origin, layout: Layout, place: Layout) -> None:
    """Put a run into the scratch place."""
    run = settings.resolve(key)
    trained = settings.resolve(run.read_key) if run.reads else run
    place.run(key).parent.mkdir(parents=True)
    if origin == "maps":
        _link(key, layout, place)
    elif origin == "scratch":
        train(trained, settings, place)
    elif run.reads:
        _link(trained.key, layout, place)
    else:
        _predict_again(settings, key, layout, place)
    if run.reads and origin != "maps":
        read_out(run, settings, place)


def _link(key: str, layout: Layout, place: Layout) -> None:
    read_trained(layout, key)
    place.run(key).symlink_to(layout.run(key).resolve())


def _predict_again(settings: Settings, key: str, layout: Layout, place: Layout) -> None:
    """Predict by stored weights what a training predicted."""
    record, target = read_trained(layout, key), place.run(key)
    run = run_of_record(record)
    device = set_up_device(settings.runtime)
    method = load_trained(record, layout, device)
    if run.track.channels_last:
        method.to(memory_format=torch.channels_last)  # as training left it; another layout rounds differently
    prepared = layout.prepared(run.track_name)
    root = build_dataset(settings, run.track.dataset).image_root(prepared)
    target.mkdir()
    common: dict[str, Any] = {
        "side": run.track.test_side,
        "batch": run.track.batch,
        "reading": Reading.of(settings.runtime, layout),
    }
    splits = {name: read_split(prepared, name, with_truth=False) for name in ("val", "test")}
    maps = {name: predict_split(method, split, root, device=device, **common) for name, split in splits.items()}
    write_maps(target / MAPS_FILE, maps)
    write_record(target, record)


def _same_bytes(one: Path, other: Path) -> bool:
    if not one.is_file():
        return False
    return one.read_bytes() == other.read_bytes()


def _leaves(tree: Mapping[str, Any], start: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{start}{name}.")
        else:
            yield f"{start}{name}", value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and bool(np.isfinite(value))
