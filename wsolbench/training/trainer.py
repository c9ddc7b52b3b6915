"""Train one run from its settings to its stored maps."""

from __future__ import annotations

import json
import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from mmengine.dist import get_dist_info
from safetensors.torch import save

from wsolbench.acquire.building import build_dataset
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.schema import validated_arguments
from wsolbench.config.settings import Run, Settings
from wsolbench.data.cache import Reading, pictures_of
from wsolbench.data.dataset import Split
from wsolbench.data.index import read_selection, read_split
from wsolbench.data.loader import TrainingSet
from wsolbench.data.scoremaps import MAPS_FILE, Stored, write_maps
from wsolbench.errors import DataError
from wsolbench.files import bytes_sha256, file_sha256, replace_directory, write_bytes, write_text
from wsolbench.models.method import Method
from wsolbench.models.pretrained import read_placed
from wsolbench.runs.device import set_up_device
from wsolbench.runs.machine import check_precision
from wsolbench.runs.processes import Launcher, distributed
from wsolbench.runs.provenance import write_provenance
from wsolbench.runs.run_folder import CHECKPOINT_FILE, HISTORY_FILE, write_record
from wsolbench.runs.scratch import exclusive, log_file
from wsolbench.training.building import build_method
from wsolbench.training.history import History
from wsolbench.training.hooks import check_visualisers
from wsolbench.training.loop import fit
from wsolbench.training.outcome import Outcome, training_outcome
from wsolbench.training.prediction import EVALUATED, predict_split
from wsolbench.training.selection import EpochSelector, box_accuracy_of_val, class_accuracy

__all__ = ["train"]

_log = logging.getLogger("wsolbench.train")


@dataclass(frozen=True)
class _Inputs:
    """What a training reads: the weakly supervised split, where its images are, and initial weights."""

    split: Split
    image_root: Path
    prepared: Path
    weights: dict[str, Any] | None
    weights_file: Path | None


def train(run: Run, settings: Settings, layout: Layout, launcher: Launcher = "none") -> None:
    """Train a run, predict its maps and put its files in place, all at once.

    Writes ``checkpoint.safetensors``, ``maps.npz``, ``history.csv`` and ``run.yaml`` to the run's directory (only
    ``skipped.json`` where the method declares the pair unsupported), the log, and the provenance. Until the last
    moment everything lies in a scratch directory, so that a killed training leaves no half-written result. Of several
    processes that a launcher started, the first one writes.

    Raises:
        SettingsError: wrong arguments of the method, backbone or data set, or of the launcher; or no such visualiser.
        DataError: the data set is not prepared, or changed since.
        TrainingError: the loss is not finite, or another process trains the same run.
        InterruptedTrainingError: SIGINT or SIGTERM came while training; calling it again goes on.
    """
    check_visualisers(settings.runtime.visualisers)
    reason = settings.unsupported(run)
    method_class = registry.load("method", run.component)
    validated_arguments(method_class, run.on_track.args, f"methods.{run.method}.args", given=2)  # before data are read
    with distributed(launcher, settings.runtime) as (rank, _):
        if rank == 0:
            _train_and_write(run, settings, layout, reason)
        elif reason is None:
            _log.setLevel(logging.WARNING)  # the first process says it all
            _train_into(layout.work(run.key) / "out", run, settings, layout)


def _train_and_write(run: Run, settings: Settings, layout: Layout, reason: str | None) -> None:
    with exclusive(layout.work(run.key)) as work, log_file(layout.log(run.key)):
        out = work / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        if reason is None:
            _train_into(out, run, settings, layout)
        else:
            write_record(out, _description(run, registry.load("method", run.component)) | {"reason": reason})
            _log.info("%s: skipped: %s", run.key, reason)
        replace_directory(out, layout.run(run.key))
        shutil.rmtree(work, ignore_errors=True)


def _train_into(out: Path, run: Run, settings: Settings, layout: Layout) -> None:
    times = [time.monotonic()]
    track, device, reading = run.track, set_up_device(settings.runtime), Reading.of(settings.runtime, layout)
    if device.type == "cpu":
        check_precision([run])
    inputs = _read_inputs(run, settings, layout)
    method = build_method(run, inputs.split.num_classes, inputs.weights_file)

    def predict(method: Method, split: Split) -> Stored:
        sizes = {"side": track.test_side, "batch": track.batch}
        return predict_split(method, split, inputs.image_root, device=device, reading=reading, **sizes)

    if track.epochs:
        pictures = pictures_of(inputs.split, inputs.image_root, track.resize, reading)
        data = TrainingSet(inputs.split, pictures, track.crop, run.seed)
        selector, definition = _selector(run, inputs, layout, predict), _definition(run, inputs, layout)
        times.append(time.monotonic())
        history = fit(method, data, run, settings.runtime, device, out.parent, definition, selector)
    else:
        times.append(time.monotonic())
        method, history = method.to(device), History()
    times.append(time.monotonic())
    stored: dict[str, Stored] = {
        name: predict(method, read_split(inputs.prepared, name, with_truth=False)) for name in EVALUATED
    }
    rank, processes = get_dist_info()
    if rank:
        return
    write_maps(out / MAPS_FILE, stored)
    write_text(out / HISTORY_FILE, history.as_csv())
    tensors = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    write_bytes(out / CHECKPOINT_FILE, save(tensors))
    outcome = training_outcome(stored, history.rows)
    record = {"num_classes": inputs.split.num_classes, "class_names": list(inputs.split.class_names)}
    record |= {"index_digest": inputs.split.digest, "weights": inputs.weights}
    record |= {"training": {"at_chance": outcome.at_chance, "loss_grew": outcome.loss_grew}}
    write_record(out, _description(run, type(method)) | record)
    times.append(time.monotonic())
    phases = zip(("loading", "training", "prediction"), pairwise(times), strict=True)
    seconds = {name: end - start for name, (start, end) in phases}
    params_digest = bytes_sha256(json.dumps(run.as_dict(), sort_keys=True).encode())
    identity = {"key": run.key, "seed": run.seed, "params_digest": params_digest, "amp": track.amp}
    identity |= {"index_digest": inputs.split.digest, "weights": inputs.weights, "processes": processes}
    identity |= settings.runtime.model_dump(include={"deterministic", "tf32"})
    write_provenance(layout.provenance(run.key), identity, device, seconds)
    _log_end(run, seconds, outcome)


def _read_inputs(run: Run, settings: Settings, layout: Layout) -> _Inputs:
    dataset = build_dataset(settings, run.track.dataset)
    prepared = layout.prepared(run.track_name)
    split = read_split(prepared, "train")
    if run.track.epochs and not len(split):
        raise DataError(
            f"data set '{run.track.dataset}' has no training images: it can be evaluated only, with tracks."
            f"{run.track_name}.epochs: 0 and backbone_args.keep_classifier"
        )
    weights, weights_file = read_placed(layout.weights(run.track_name), run.track.backbone, run.track.weights)
    return _Inputs(split, dataset.image_root(prepared), prepared, weights, weights_file)


def _selector(
    run: Run, inputs: _Inputs, layout: Layout, predict: Callable[[Method, Split], Stored]
) -> EpochSelector | None:
    """Return what chooses an epoch, None if the last is taken.

    Raises:
        DataError: there is no ``val`` to compare epochs on.
    """
    chosen = run.track.selection
    if chosen == "last":
        return None
    val = read_selection(inputs.prepared, layout.selection(run.track_name))
    if not len(val):
        raise DataError(f"tracks.{run.track_name}.selection: {chosen} needs a val split, and there is none; take last")
    score = class_accuracy if chosen == "val_cls" else partial(box_accuracy_of_val, split=val)
    return EpochSelector(chosen, lambda method: predict(method, val), score)


def _definition(run: Run, inputs: _Inputs, layout: Layout) -> dict[str, Any]:
    """Return what the bytes of a run depend on beside code and machine."""
    seen = None if run.track.selection == "last" else file_sha256(layout.selection(run.track_name))
    return {"run": run.as_dict(), "index_digest": inputs.split.digest, "weights": inputs.weights, "selection": seen}


def _log_end(run: Run, seconds: dict[str, float], outcome: Outcome) -> None:
    spent = ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items())
    if outcome.problems:
        problems = "; ".join(outcome.problems)
        advice = "try another learning rate (lr, head_lr_mult) or more epochs"
        _log.warning("%s: done (%s), but it learned nothing that shows: %s; %s", run.key, spent, problems, advice)
    else:
        _log.info("%s: done; %s", run.key, spent)


def _description(run: Run, method_class: type[Method]) -> dict[str, Any]:
    record = run.as_dict()
    record["method"] |= method_class.describe()
    return record
