"""The training loop: one recipe for every method."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook

from wsolbench.config.settings import Run, RuntimeSettings
from wsolbench.data.loader import SizedDataset, training_loader
from wsolbench.data.scoremaps import StoredMaps
from wsolbench.errors import TrainingError
from wsolbench.models.method import Method
from wsolbench.runs.device import loader_workers
from wsolbench.runs.processes import share_buffers, synchronised_statistics
from wsolbench.runs.progress import PROGRESS_FILE
from wsolbench.runs.provenance import device_name
from wsolbench.runs.state import StateKeeper, run_digest
from wsolbench.training.history import History
from wsolbench.training.model import TrainingModel
from wsolbench.training.optim import optim_wrapper, schedulers
from wsolbench.training.progress import ProgressMeter
from wsolbench.training.resume import SaveState, restore, stop_requests
from wsolbench.training.runner import TrainingRunner
from wsolbench.training.selection import Selection
from wsolbench.training.visual import Curves

__all__ = ["Judge", "fit"]

_log = logging.getLogger("wsolbench.train")


@dataclass(frozen=True)
class Judge:
    """How the epochs of a training are compared.

    Attributes:
        name: of the score, a column of the history.
        predict: returns the maps and classes of ``val``, at process 0.
        score: of them, percent.
    """

    name: str
    predict: Callable[[Method], StoredMaps]
    score: Callable[[StoredMaps], float]


def fit(
    method: Method,
    data: SizedDataset,
    run: Run,
    runtime: RuntimeSettings,
    device: torch.device,
    work: Path,
    defining: Mapping[str, Any],
    judge: Judge | None = None,
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
        judge: chooses the epoch whose weights are taken; None takes the last.

    Returns:
        The losses per epoch.

    Raises:
        TrainingError: a loss is not finite.
        InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
    """
    track = run.track
    keeper = StateKeeper(work / "state", _digest(method, runtime, device, defining))
    history = History(run.key, f"batch {track.batch}, amp {track.amp}, lr {track.lr:g}")
    selection = None if judge is None else Selection(method, judge.predict, judge.score, judge.name, history)
    progress = ProgressMeter(run.key, track.epochs * len(data), history, work / PROGRESS_FILE)
    with stop_requests() as stop:
        saving = SaveState(keeper, history, selection, stop, runtime.save_minutes, run.key)
        runner = _runner(method, data, run, runtime, device, work, history, selection, progress, saving, keeper.load())
        try:
            with explained(run, device):
                runner.train()
        finally:
            progress.close()
    if selection is not None:
        selection.take_over()
    share_buffers(method)
    return history


def _runner(
    method: Method,
    data: SizedDataset,
    run: Run,
    runtime: RuntimeSettings,
    device: torch.device,
    work: Path,
    history: History,
    selection: Selection | None,
    progress: Hook,
    saving: Hook,
    state: Any,
) -> TrainingRunner:
    """Put method, data and recipe together, at the start or, with a saved state, where that was saved."""
    track, (rank, processes) = run.track, get_dist_info()
    loader = training_loader(
        data,
        track.batch,
        run.seed,
        workers=loader_workers(runtime, device),
        pin=device.type == "cuda",
        rank=rank,
        processes=processes,
    )
    if track.sync_bn:
        synchronised_statistics(method, device)
    model = TrainingModel(method, run.seed, track.epochs * len(loader), channels_last=track.channels_last).to(device)
    if state is not None:
        _log.info("%s: goes on after iteration %d", run.key, state["iteration"])
    chosen = [] if selection is None else [selection]
    shown = [progress] if rank == 0 else []
    if shown and runtime.visualisers:
        shown.append(Curves(history, runtime.visualisers, work.parent.parent / "visual" / run.key))
    return TrainingRunner(
        model,
        loader,
        optim_wrapper(method, track, device),
        schedulers(track, len(loader)),
        [history, *chosen, *shown, saving],
        epochs=track.epochs,
        device=device,
        work_dir=work / "mmengine",
        name=run.key,
        start=None if state is None else lambda runner: restore(runner, history, selection, state),
    )


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
    chosen = runtime.model_dump(include={"threads", "deterministic", "tf32"})
    machine = {"device": str(device), "name": device_name(device), "processes": get_dist_info()[1], **chosen}
    return run_digest({**defining, **machine}, Path(inspect.getfile(type(method))))
