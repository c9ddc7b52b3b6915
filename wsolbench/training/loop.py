"""The training loop: everything that happens to a network between its first weights and its last, top to bottom.

:func:`fit` puts data, network, optimiser and schedule together, goes on from a saved state if there is one, and runs
epochs of steps. Order, augmentation and the network's draws are functions of (seed, epoch, image) and (seed,
iteration), so that a state holds no random numbers and a killed run ends with the same bytes. Several processes each
compute their share of every batch; nothing is scaled, and gradients count every image alike.
"""

from __future__ import annotations

import inspect
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.hooks import Hook
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from wsolbench.config.settings import Run, RuntimeSettings
from wsolbench.data.loader import SizedDataset, training_loader
from wsolbench.data.seeding import torch_seed
from wsolbench.errors import DivergedError, InterruptedTrainingError, TrainingError
from wsolbench.models.layers import coins_from, to_device
from wsolbench.models.method import Method
from wsolbench.runs.device import loader_workers
from wsolbench.runs.processes import maximum, share_buffers, synchronise_statistics, wait_for_all
from wsolbench.runs.progress import PROGRESS_FILE
from wsolbench.runs.provenance import device_name
from wsolbench.runs.scratch import StopRequest, stop_requests
from wsolbench.runs.state import StateKeeper, run_digest
from wsolbench.training.history import BLOCK, History
from wsolbench.training.hooks import Curves, ProgressHook
from wsolbench.training.optim import Optimiser, build_optimiser, build_schedules
from wsolbench.training.selection import EpochSelector

__all__ = ["Training", "TrainingModel", "batch_means", "fit"]

_log = logging.getLogger("wsolbench.train")


def fit(
    method: Method,
    data: SizedDataset,
    run: Run,
    runtime: RuntimeSettings,
    device: torch.device,
    work: Path,
    definition: Mapping[str, Any],
    selector: EpochSelector | None = None,
) -> History:
    """Train a method in place with a run's recipe, from its start or from where an interrupted training was saved.

    A state in ``work`` that was saved under another ``definition`` (all else that the bytes depend on) is not resumed.

    Raises:
        DivergedError: a loss is not finite.
        TrainingError: memory runs out, or a loss changes its name.
        InterruptedTrainingError: SIGINT or SIGTERM came; the state is saved.
    """
    chosen = runtime.model_dump(include={"threads", "deterministic", "tf32"})
    machine = {"device": str(device), "name": device_name(device), "processes": get_dist_info()[1], **chosen}
    states = StateKeeper(work / "state", run_digest({**definition, **machine}, Path(inspect.getfile(type(method)))))
    with _memory_errors(run, device), stop_requests() as stop:
        training = Training(method, data, run, runtime, device, selector, states, stop)
        training.restore(states.load())
        hooks: list[Hook] = []
        if get_dist_info()[0] == 0:
            hooks.append(ProgressHook(run.key, training.history, work / PROGRESS_FILE))
            folder = work.parent.parent / "visual" / run.key
            hooks += [Curves(training.history, runtime.visualisers, folder)] if runtime.visualisers else []
        training.run(hooks)
    if selector is not None:
        selector.load_best(method)
    share_buffers(method)
    return training.history


class Training:
    """A training in progress; mmengine's hooks find in it what they know of a runner (``iter`` counts what is done)."""

    def __init__(
        self,
        method: Method,
        data: SizedDataset,
        run: Run,
        runtime: RuntimeSettings,
        device: torch.device,
        selector: EpochSelector | None,
        states: StateKeeper,
        stop: StopRequest,
    ) -> None:
        track, (rank, processes) = run.track, get_dist_info()
        share = {"rank": rank, "processes": processes}
        workers, pin = loader_workers(runtime, device), device.type == "cuda"
        self.train_dataloader = training_loader(data, track.batch, run.seed, workers=workers, pin=pin, **share)
        self.iter = self.epoch = 0
        self.max_epochs, self.max_iters = track.epochs, track.epochs * len(self.train_dataloader)
        if track.sync_bn:
            synchronise_statistics(method, device)
        self.method, self._data, self._batch = method, data, track.batch
        self.model = TrainingModel(method, run.seed, self.max_iters, channels_last=track.channels_last).to(device)
        if processes > 1:
            self.model.distribute()
        self.optimiser = build_optimiser(method, track, device)
        self.schedules = build_schedules(self.optimiser, track, len(self.train_dataloader))
        recipe = f"batch {track.batch}, amp {track.amp}, lr {track.lr:g}"
        self.history = History(run.key, type(method).__name__, recipe, self.max_epochs, self.max_iters)
        self.selector, self._states, self._stop, self._name = selector, states, stop, run.key
        self._save_seconds, self._saved = runtime.save_minutes * 60, time.monotonic()

    def run(self, hooks: list[Hook]) -> None:
        """Train to the end; hooks only observe."""
        per_epoch = len(self.train_dataloader)
        try:
            _call(hooks, "before_train", self)
            for epoch in range(self.iter // per_epoch, self.max_epochs):
                self.epoch = epoch
                self.train_dataloader.batch_sampler.sampler.set_epoch(epoch)  # type: ignore[union-attr]
                if self.iter % per_epoch == 0:  # what was saved within an epoch has what its start did
                    self.model.start_epoch(epoch, self._data, self._batch)
                self.history.start_epoch(epoch, self.optimiser.rate)
                _call(hooks, "before_train_epoch", self)
                self.model.train()
                for batch in self.train_dataloader:
                    self.model.train_step(batch, self.optimiser)
                    self.iter += 1
                    self._step_schedules(by_epoch=False)
                    self.history.add(self.iter, self.model.terms, self.model.losses)
                    _call(hooks, "after_train_iter", self, self.iter - 1)
                    if self.iter % per_epoch:  # at an epoch's end, its row comes first
                        self._save_if_due()
                scores = {} if self.selector is None else self.selector.score_epoch(self.method, epoch + 1)
                self._step_schedules(by_epoch=True)
                self.history.end_epoch(scores)
                _call(hooks, "after_train_epoch", self)
                self._save_if_due()
        finally:
            _call(hooks, "after_train", self)

    def restore(self, state: Any) -> None:
        """Go on where a state was saved; None is the start."""
        if state is None:
            return
        self.iter = self.model.iteration = int(state["iteration"])
        self.method.load_state_dict(state["method"])
        self.optimiser.load_state_dict(state["optimiser"])
        for schedule, saved in zip(self.schedules, state["schedules"], strict=True):
            schedule.load_state_dict(saved)
        self.history.load_state_dict(state["history"], next(self.method.parameters()).device)
        if self.selector is not None:
            self.selector.load_state_dict(state["selection"])
        batches: Any = self.train_dataloader.batch_sampler
        batches.sampler.skip(self.iter % len(self.train_dataloader) * batches.batch_size)
        _log.info("%s: goes on after iteration %d", self._name, self.iter)

    def _step_schedules(self, *, by_epoch: bool) -> None:
        for schedule in self.schedules:
            if schedule.by_epoch == by_epoch:
                schedule.step()

    def _save_if_due(self) -> None:
        """Save every so many minutes, and when any process is asked to stop.

        Raises:
            InterruptedTrainingError: it is; the state is saved.
        """
        between = self.iter % BLOCK and self.iter % len(self.train_dataloader)
        if between and get_dist_info()[1] > 1:  # several processes wait for one another here
            return
        late = time.monotonic() - self._saved >= self._save_seconds
        asked, due = maximum(self._stop.number or 0, int(late))
        if not asked and not due:
            return
        self._save()
        if asked:
            raise InterruptedTrainingError(
                f"{self._name}: stopped by {signal.Signals(asked).name} after iteration {self.iter} of "
                f"{self.max_iters}; its state is saved, and the same command goes on from there",
                asked,
            )

    def _save(self) -> None:
        """Save the state; one with a loss, a weight or a statistic that is not finite is not.

        Raises:
            DivergedError: there is such a one.
        """
        self.history.check()
        weights = self.method.state_dict()
        finite = {name: value.isfinite().all() for name, value in weights.items() if value.is_floating_point()}
        for name, good in zip(finite, torch.stack(list(finite.values())).tolist(), strict=True):
            if not good:  # the loss shows it one iteration later
                raise DivergedError(
                    f"{self._name}: '{name}' is not finite after iteration {self.iter}: a gradient was not, or the "
                    "step was too long. Lower the learning rate, set clip_grad_norm, or set amp: off; the last state "
                    "that was saved is good"
                )
        if get_dist_info()[0] == 0:
            state = {
                "iteration": self.iter,
                "method": weights,
                "optimiser": self.optimiser.state_dict(),
                "schedules": [schedule.state_dict() for schedule in self.schedules],
                "history": self.history.state_dict(),
                "selection": None if self.selector is None else self.selector.state_dict(),
            }
            self._states.save(self.iter, state)
        wait_for_all()  # a process that leaves makes its launcher stop the one that writes
        self._saved = time.monotonic()


class TrainingModel(nn.Module):
    """Does a step: normalises a batch, lets the method transform it, and minimises the sum of the method's losses.

    Args:
        method: what is trained.
        seed: seed of the run; every iteration seeds torch from (seed, iteration), so that the network's draws do not
            depend on anything that happened before. Several processes draw differently for their images, and alike
            for the batch.
        iterations: length of the training, for the method's ``progress``.
        channels_last: NHWC memory format.

    Attributes:
        terms: names of the method's losses.
        losses: ``(terms,)`` of the last step, detached, on the device; over all processes, if there are several.
        iteration: number of steps done.
    """

    def __init__(self, method: Method, seed: int, iterations: int, *, channels_last: bool) -> None:
        super().__init__()
        self.method = method
        self.seed, self.iterations, self.iteration = seed, iterations, 0
        self.terms: tuple[str, ...] = ()
        self.losses = torch.zeros(0)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self._format)
        self._call: Callable[..., dict[str, Tensor]] = self.__call__
        self._coins: torch.Generator | None = None

    def distribute(self) -> None:
        """From now on, average gradients over the processes that share every batch."""
        wrapped = DistributedDataParallel(self, find_unused_parameters=self.method.skips_parameters)
        self._call = wrapped.__call__  # not the module itself, which would make this one its own child

    @torch.no_grad()
    def start_epoch(self, epoch: int, data: SizedDataset, batch: int) -> None:
        """Let the method bring its own state up to date; in all processes alike."""
        device = next(self.method.parameters()).device
        _seed(torch_seed("epoch", self.seed, epoch), device)
        self.method.eval()

        def images() -> Iterator[tuple[Tensor, Tensor]]:
            for start in range(0, len(data), batch):
                pictures, labels = data.plain(range(start, min(start + batch, len(data))))
                inputs = self.method.backbone.normalise(to_device(pictures, device))
                yield inputs.contiguous(memory_format=self._format), to_device(labels, device)

        self.method.on_epoch_start(epoch, images())

    def train_step(self, batch: Any, optimiser: Optimiser) -> None:
        """Do one optimiser step on ``(images uint8, labels, positions)``; no loss is read, which would wait."""
        device, (rank, processes) = next(self.method.parameters()).device, get_dist_info()
        _seed(torch_seed("iteration", self.seed, self.iteration, *([rank] if rank else [])), device)
        self._coins = self._coins or torch.Generator(device)
        with coins_from(self._coins.manual_seed(torch_seed("coin", self.seed, self.iteration))):
            losses = self._call(*batch[:2], optimiser=optimiser)
        stacked = torch.stack(list(losses.values()))
        total = stacked.sum()
        self.terms, self.losses = tuple(losses), stacked.detach()
        if processes > 1:
            self.losses, factor = batch_means(self.losses, len(batch[1]))
            total = total * factor.to(total.dtype)
        optimiser.minimise(total)
        self.iteration += 1

    def forward(self, images: Tensor, labels: Tensor, *, optimiser: Optimiser) -> dict[str, Tensor]:
        """Compute the method's losses of a uint8 batch."""
        device = next(self.method.parameters()).device
        images, targets = (tensor.to(device, non_blocking=True) for tensor in (images, labels))
        generator = torch.Generator().manual_seed(torch_seed("batch_transform", self.seed, self.iteration))
        inputs, targets = self.method.batch_transform(self.method.backbone.normalise(images), targets, generator)
        with optimiser.autocast():
            inputs = inputs.contiguous(memory_format=self._format)
            return self.method.losses(inputs, targets, self.iteration / self.iterations)


def batch_means(losses: Tensor, images: int) -> tuple[Tensor, Tensor]:
    """Return mean losses over all processes' shares of a batch, and the factor that makes gradients theirs.

    Averaging gradients over processes counts every process alike; multiplied by ``images * processes / all images``,
    the sum of losses counts every image alike.
    """
    share = losses.double()
    total = torch.cat([share * images, share.new_full((1,), images)])
    distributed.all_reduce(total)
    return total[:-1] / total[-1], images * distributed.get_world_size() / total[-1]


def _seed(seed: int, device: torch.device) -> None:
    """Seed what draws on the CPU and on this kind of device.

    ``torch.manual_seed`` also notes the seed, with a stack trace, for devices that are not in use: two milliseconds,
    and a list that grows with every call.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def _call(hooks: list[Hook], name: str, *arguments: Any) -> None:
    for hook in hooks:
        getattr(hook, name)(*arguments)


@contextmanager
def _memory_errors(run: Run, device: torch.device) -> Iterator[None]:
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
