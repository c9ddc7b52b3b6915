"""Train one run from its settings to its stored maps."""

from __future__ import annotations

import fcntl
import hashlib
import inspect
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from ruamel.yaml import YAML
from safetensors.torch import save_file

from wsolbench import registry
from wsolbench.backbones.base import Backbone
from wsolbench.data.index import read_split
from wsolbench.data.loader import SizedDataset, TrainingSet, pictures_of, training_loader
from wsolbench.data.prepare import build_dataset
from wsolbench.data.pretrained import placed_arguments, read_placed
from wsolbench.data.seeding import torch_seed
from wsolbench.dataset import Split, SplitName
from wsolbench.engine.device import set_up_device
from wsolbench.engine.ema import MovingAverage
from wsolbench.engine.history import History, TrainingError
from wsolbench.engine.model import TrainingModel
from wsolbench.engine.optim import optim_wrapper, schedulers
from wsolbench.engine.prediction import predict_split
from wsolbench.engine.processes import Launcher, joined, share_buffers, synchronised_statistics
from wsolbench.engine.progress import ProgressMeter
from wsolbench.engine.provenance import device_name, write_provenance
from wsolbench.engine.resume import SaveState, restore, stop_requests
from wsolbench.engine.runner import TrainingRunner
from wsolbench.engine.state import StateKeeper, run_digest
from wsolbench.engine.visual import Curves
from wsolbench.errors import DataError, SettingsError
from wsolbench.layout import Layout
from wsolbench.method import Method
from wsolbench.scoremaps import MAPS_FILE, StoredMaps, write_maps
from wsolbench.settings import Run, RuntimeSettings, Settings, validated_arguments

__all__ = ["build_backbone", "build_method", "exclusive", "fit", "log_file", "train"]

EVALUATED: tuple[SplitName, ...] = ("val", "test")

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
        SettingsError: wrong arguments of the method, backbone or data set, or of the launcher.
        DataError: the data set is not prepared, or changed since.
        TrainingError: the loss is not finite, or another process trains the same run.
        InterruptedTrainingError: SIGINT or SIGTERM came while training; calling it again goes on.
    """
    method_class = registry.load("method", run.method)
    dataset_class = registry.load("dataset", run.track.dataset)
    reason = method_class.unsupported(run.track.backbone, dataset_class.traits)
    with joined(launcher, settings.runtime) as (rank, _):
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
            record = {**run.as_dict(), "reason": reason}
            record["method"] |= registry.load("method", run.method).describe()
            (out / "skipped.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
            _log.info("%s: skipped: %s", run.key, reason)
        _move_into_place(out, layout.run(run.key))


def build_method(run: Run, num_classes: int, weights_file: Path | None) -> Method:
    """Build a run's backbone and method, initialised from the run's seed.

    Raises:
        SettingsError: an argument in ``params.yaml`` does not fit the constructor, or the method has no use for the
            pretrained classifier that the track asks for.
    """
    method_class = registry.load("method", run.method)
    method_args = validated_arguments(method_class, run.on_track.args, run.arguments_key, given=2)
    backbone = build_backbone(run, weights_file)
    method: Method = method_class(backbone, num_classes, **method_args)
    if backbone.pretrained_classifier is not None:
        raise SettingsError(
            f"tracks.{run.track_name}.backbone_args.keep_classifier: method '{run.method}' brings its own classifiers; "
            "remove keep_classifier for it"
        )
    return method


def build_backbone(run: Run, weights_file: Path | None) -> Backbone:
    """Build a run's backbone, and seed torch with the run's seed for it and what is put on top.

    Raises:
        SettingsError: an argument in ``params.yaml`` does not fit the constructor.
    """
    track = run.track
    backbone_class = registry.load("backbone", track.backbone)
    where = f"tracks.{run.track_name}.backbone_args"
    arguments = placed_arguments(track.backbone, track.weights) | track.backbone_args
    checked = validated_arguments(backbone_class, arguments, where, given=1)
    torch.manual_seed(torch_seed("initialisation", run.seed))
    backbone: Backbone = backbone_class(weights_file, **checked)
    return backbone


def _train_into(out: Path, run: Run, settings: Settings, layout: Layout) -> None:
    start = time.monotonic()
    device = set_up_device(settings.runtime)
    inputs = _read_inputs(run, settings, layout)
    method = build_method(run, inputs.split.num_classes, inputs.weights_file)
    threads = settings.runtime.threads
    history, loaded = History(), time.monotonic()
    if run.track.epochs:
        pictures = pictures_of(inputs.split, inputs.image_root, run.track.resize, threads=threads)
        loaded = time.monotonic()
        data = TrainingSet(inputs.split, pictures, run.track.crop, run.seed)
        history = fit(method, data, run, settings.runtime, device, out.parent, _defining(run, inputs))
    else:
        method.to(device)
    trained = time.monotonic()
    stored: dict[str, StoredMaps] = {
        name: predict_split(
            method,
            read_split(inputs.prepared, name, with_truth=False),
            inputs.image_root,
            crop=run.track.crop,
            batch=run.track.batch,
            device=device,
            threads=threads,
        )
        for name in EVALUATED
    }
    rank, processes = get_dist_info()
    if rank:
        return
    write_maps(out / MAPS_FILE, stored)
    (out / "history.csv").write_text(history.as_csv(), encoding="utf-8")
    tensors = {name: value.detach().cpu().contiguous() for name, value in method.state_dict().items()}
    save_file(tensors, out / "checkpoint.safetensors")
    _write_run(out / "run.yaml", run, method, inputs)
    seconds = {"loading": loaded - start, "training": trained - loaded, "prediction": time.monotonic() - trained}
    identity = {"key": run.key, "seed": run.seed, "params_digest": _params_digest(run), "amp": run.track.amp}
    identity |= {"index_digest": inputs.split.digest, "weights": inputs.weights, "processes": processes}
    write_provenance(layout.provenance(run.key), identity, device, seconds)
    _log.info("%s: done; %s", run.key, ", ".join(f"{name} {value:.1f} s" for name, value in seconds.items()))


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


def fit(
    method: Method,
    data: SizedDataset,
    run: Run,
    runtime: RuntimeSettings,
    device: torch.device,
    work: Path,
    defining: Mapping[str, Any],
) -> History:
    """Train a method in place with a run's recipe, from its start or from where an interrupted training was saved.

    Args:
        method: initialised on the CPU; left on ``device``.
        data: training items by (epoch, position).
        run: recipe and seed.
        runtime: loader workers, threads, how often states are saved.
        device: where to train.
        work: scratch directory of the run, which outlives a killed process.
        defining: everything else that the bytes of the result depend on; a state that was saved under anything
            different is not resumed.

    Returns:
        The losses per epoch.

    Raises:
        TrainingError: a loss is not finite.
        InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
    """
    track, history = run.track, History()
    rank, processes = get_dist_info()
    pin = device.type == "cuda"
    loader = training_loader(
        data, track.batch, run.seed, workers=runtime.workers, pin=pin, rank=rank, processes=processes
    )
    if track.sync_bn:
        synchronised_statistics(method, device)
    model = TrainingModel(method, run.seed, track.epochs * len(loader), channels_last=track.channels_last).to(device)
    average = None if track.ema is None else MovingAverage(method, track.ema)
    keeper = StateKeeper(work / "state", _digest(method, runtime, device, defining))
    state = keeper.load()
    if state is not None:
        _log.info("%s: goes on after iteration %d", run.key, state["iteration"])
    parts = {} if average is None else {"average": average}
    progress = ProgressMeter(run.key, track.epochs * len(data))
    shown: list[Hook] = [] if rank else [progress, Curves(history)]
    with stop_requests() as stop, compiled(method.backbone, runtime.compile):
        saving = SaveState(keeper, history, parts, stop, runtime.save_minutes, run.key)
        runner = TrainingRunner(
            model,
            loader,
            optim_wrapper(method, track, device),
            schedulers(track, len(loader)),
            [history, *parts.values(), *shown, saving],
            epochs=track.epochs,
            device=device,
            work_dir=work / "mmengine",
            name=run.key,
            visualisers=runtime.visualisers,
            visual_dir=work.parent.parent / "visual" / run.key,
            start=None if state is None else lambda runner: restore(runner, history, parts, state),
        )
        try:
            with explained(run, device):
                runner.train()
        finally:
            progress.close()
    if average is not None:
        average.take_over()
    share_buffers(method)
    return history


@contextmanager
def compiled(backbone: Backbone, wanted: bool) -> Iterator[None]:
    """Send a backbone's forward pass through ``torch.compile`` while the context is open."""
    if not wanted:
        yield
        return
    backbone.forward_taps = torch.compile(backbone.forward_taps)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del backbone.forward_taps


@contextmanager
def explained(run: Run, device: torch.device) -> Iterator[None]:
    """Say what to do about memory that runs out."""
    try:
        yield
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not isinstance(error, torch.OutOfMemoryError) and "not enough memory" not in str(error):
            raise
        track = run.track
        raise TrainingError(
            f"{run.key}: {device} has not enough memory for method '{run.method}' on backbone '{track.backbone}' with "
            f"batch {track.batch} at {track.crop} pixels, amp {track.amp}. Lower tracks.{run.track_name}.batch (and "
            f"the learning rate with it), or set amp: bf16. The last state that was saved is kept. ({error})"
        ) from None


def _digest(method: Method, runtime: RuntimeSettings, device: torch.device, defining: Mapping[str, Any]) -> str:
    chosen = runtime.model_dump(include={"threads", "deterministic", "tf32", "compile"})
    machine = {"device": str(device), "name": device_name(device), "processes": get_dist_info()[1], **chosen}
    return run_digest({**defining, **machine}, Path(inspect.getfile(type(method))))


def _params_digest(run: Run) -> str:
    return hashlib.sha256(json.dumps(run.as_dict(), sort_keys=True).encode()).hexdigest()


def _defining(run: Run, inputs: _Inputs) -> dict[str, Any]:
    return {"run": run.as_dict(), "index_digest": inputs.split.digest, "weights": inputs.weights}


def _write_run(path: Path, run: Run, method: Method, inputs: _Inputs) -> None:
    record = run.as_dict()
    record["method"] |= type(method).describe()
    record |= {
        "num_classes": inputs.split.num_classes,
        "class_names": list(inputs.split.class_names),
        "index_digest": inputs.split.digest,
        "weights": inputs.weights,
    }
    with path.open("w", encoding="utf-8") as stream:
        YAML(typ="safe", pure=True).dump(record, stream)


def _move_into_place(out: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.exists():
        shutil.rmtree(target)
    out.replace(target)
    shutil.rmtree(out.parent, ignore_errors=True)


_held: set[TextIO] = set()


def _let_go() -> None:
    """Close a parent's locks in its child: a loader's worker that outlives a killed trainer must not hold them."""
    for lock in _held:
        lock.close()


os.register_at_fork(after_in_child=_let_go)


@contextmanager
def exclusive(work: Path) -> Iterator[Path]:
    """Hold the run's scratch directory; a second trainer of the same run is refused.

    A killed ``dvc repro`` leaves its training running, and the next one would start a second in the same place.
    """
    work.mkdir(parents=True, exist_ok=True)
    with (work.parent / f"{work.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(
                f"another process is training '{work.name}' (it holds {lock.name}); wait for it or stop it"
            ) from None
        _held.add(lock)
        try:
            yield work
        finally:
            _held.discard(lock)


@contextmanager
def log_file(path: Path) -> Iterator[None]:
    """Write the package's log lines to ``path`` while the context is open."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(path, mode="w", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger = logging.getLogger("wsolbench")
    level = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        handler.close()
