"""A method as mmengine's training loop wants it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.model import BaseModel
from mmengine.optim import OptimWrapper
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from wsolbench.data.seeding import torch_seed
from wsolbench.models.layers import coins_from
from wsolbench.models.method import Method
from wsolbench.runs.processes import batch_means
from wsolbench.training.normalising import NormalisationTable

__all__ = ["TrainingModel"]


class TrainingModel(BaseModel):  # type: ignore[misc]
    """Normalises a batch, lets the method transform it, and minimises the sum of the method's losses.

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
        self.seed = seed
        self.iterations = iterations
        self.iteration = 0
        self.terms: tuple[str, ...] = ()
        self.losses = torch.zeros(0)
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        self.to(memory_format=self._format)
        self._call: Callable[..., dict[str, Tensor]] = self.forward
        self._share: tuple[int, ...] = ()  # this process's number, but for the first
        self._shared = False
        self._table: NormalisationTable | None = None
        self._coin_generator: torch.Generator | None = None

    def distribute(self) -> None:
        """From now on, average gradients over the processes that share every batch."""
        wrapped = DistributedDataParallel(self, find_unused_parameters=self.method.skips_parameters)
        # Not the module itself, which would make this one its own child.
        self._shared, self._call = True, wrapped.__call__
        rank = get_dist_info()[0]
        self._share = (rank,) if rank else ()

    def train_step(self, data: Any, optim_wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Do one optimiser step on ``(images uint8, labels, positions)``.

        Returns:
            Nothing to log: reading a loss would wait for the device. Hooks read :attr:`losses` when they need it.
        """
        device = next(self.method.parameters()).device
        _seed(torch_seed("iteration", self.seed, self.iteration, *self._share), device)
        with coins_from(self._coins(device)):
            losses = self._call(*data[:2], wrapper=optim_wrapper)
        stacked = torch.stack(list(losses.values()))
        total = stacked.sum()
        self.terms, self.losses = tuple(losses), stacked.detach()
        if self._shared:
            self.losses, factor = batch_means(self.losses, len(data[1]))
            total = total * factor.to(total.dtype)
        optim_wrapper.update_params(total)
        self.iteration += 1
        return {}

    def forward(self, images: Tensor, labels: Tensor, *, wrapper: OptimWrapper) -> dict[str, Tensor]:
        """Compute the method's losses of a uint8 batch."""
        device = next(self.method.parameters()).device
        targets = labels.to(device, non_blocking=True)
        inputs = self._normalised(images, device)
        generator = torch.Generator().manual_seed(torch_seed("batch_transform", self.seed, self.iteration))
        inputs, targets = self.method.batch_transform(inputs, targets, generator)
        with wrapper.optim_context(self):
            inputs = inputs.contiguous(memory_format=self._format)
            return self.method.losses(inputs, targets, self.iteration / self.iterations)

    def _coins(self, device: torch.device) -> torch.Generator:
        if self._coin_generator is None:
            self._coin_generator = torch.Generator(device)
        return self._coin_generator.manual_seed(torch_seed("coin", self.seed, self.iteration))

    def _normalised(self, images: Tensor, device: torch.device) -> Tensor:
        if device.type != "cpu":
            return self.method.backbone.normalise(images.to(device, non_blocking=True))
        self._table = self._table or NormalisationTable(self.method.backbone)
        return self._table(images)


def _seed(seed: int, device: torch.device) -> None:
    """Seed what draws on the CPU and on this kind of device.

    ``torch.manual_seed`` also notes the seed, with a stack trace, for devices that are not in use: two milliseconds,
    and a list that grows with every call.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
