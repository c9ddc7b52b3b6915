"""Batches of augmented training images and of plain evaluation images, as uint8.

Order and augmentation are functions of (seed, epoch, image id) alone, so that every method sees the same pictures in
the same order, and the number of workers changes nothing.
"""

from __future__ import annotations

import math
import multiprocessing
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from wsolbench.data.cache import Pictures, Reading, pictures_of
from wsolbench.data.dataset import Split
from wsolbench.data.seeding import generator, image_key
from wsolbench.errors import SettingsError, StorageError
from wsolbench.files import reason

__all__ = [
    "Batch",
    "EpochOrder",
    "RankBatches",
    "SizedDataset",
    "TrainingSet",
    "augment",
    "evaluation_batches",
    "training_loader",
]

Image = NDArray[np.uint8]
Batch = tuple[Tensor, Tensor, Tensor]

_HALF = 0.5


class SizedDataset(Dataset[Batch], ABC):
    """What a training draws from: uint8 image ``(3, crop, crop)``, target and position, by ``(epoch, position)``."""

    @abstractmethod
    def __getitem__(self, where: tuple[int, int]) -> Batch:
        """Return one item, a function of ``where`` and the seed alone."""

    def __getitems__(self, places: Sequence[tuple[int, int]]) -> Batch:
        """Return a batch of items: what the loader asks for."""
        batch: Batch = default_collate([self[where] for where in places])
        return batch

    def plain(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return images without augmentation, and their labels, for a method that keeps a state by them."""
        raise NotImplementedError

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""


class EpochOrder(Sampler[tuple[int, int]]):
    """Yields ``(epoch, position)`` pairs: a new permutation per epoch.

    The epoch travels with the position, so that a worker needs no state to know which draw of the augmentation it is
    to make. The training loop calls :meth:`set_epoch` before each epoch.
    """

    def __init__(self, size: int, seed: int) -> None:
        self._size, self._seed, self._epoch = size, seed, 0
        self._skipped = 0

    def skip(self, images: int) -> None:
        """Leave out the first images of the next epoch, once: a resumed training has seen them."""
        self._skipped = images

    def set_epoch(self, epoch: int) -> None:
        """Choose the permutation of ``epoch`` (from 0)."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        order = generator("order", self._seed, self._epoch).permutation(self._size)[self._skipped :]
        self._skipped = 0
        return iter([(self._epoch, int(position)) for position in order])

    def __len__(self) -> int:
        return self._size


class RankBatches(Sampler[list[tuple[int, int]]]):
    """One process's share of every batch: each ``processes``-th image from the ``rank``-th on.

    Args:
        sampler: the order of images, the same in all processes.
        batch_size: images of a batch, over all processes.
        rank: number of this process, from 0.
        processes: how many there are.

    Raises:
        SettingsError: the last batch of an epoch is too small to be shared.
    """

    def __init__(self, sampler: EpochOrder, batch_size: int, rank: int, processes: int) -> None:
        self.sampler, self.batch_size = sampler, batch_size
        self._rank, self._processes = rank, processes
        last = len(sampler) % batch_size or batch_size
        if last < processes:
            raise SettingsError(
                f"tracks.*.batch: of {len(sampler)} images in batches of {batch_size}, {last} remain for {processes} "
                "processes; choose another batch or fewer processes"
            )

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        places = list(self.sampler)
        for start in range(0, len(places), self.batch_size):
            yield places[start : start + self.batch_size][self._rank :: self._processes]

    def __len__(self) -> int:
        return math.ceil(len(self.sampler) / self.batch_size)


class TrainingSet(SizedDataset):
    """Augmented training images: random crop and horizontal flip of the resized picture."""

    def __init__(self, split: Split, pictures: Pictures, crop: int, seed: int) -> None:
        self._pictures, self._crop, self._seed = pictures, crop, seed
        self._labels = [item.label for item in split.items]
        self._keys = [image_key(item.id) for item in split.items]

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, where: tuple[int, int]) -> Batch:
        images, targets, positions = self.__getitems__([where])
        return images[0], targets[0], positions[0]

    def __getitems__(self, places: Sequence[tuple[int, int]]) -> Batch:
        """Return a batch; each crop is written straight to its place in it, channels last as pictures have them."""
        images = np.empty((len(places), self._crop, self._crop, 3), np.uint8)
        for image, (epoch, position) in zip(images, places, strict=True):
            random = generator("augmentation", self._seed, epoch, self._keys[position])
            augment(self._pictures[position], self._crop, random, image)
        positions = [position for _, position in places]
        labels = torch.tensor([self._labels[position] for position in positions])
        return torch.from_numpy(images).permute(0, 3, 1, 2), labels, torch.tensor(positions)

    def plain(self, positions: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Return the centres of the resized pictures, uint8 ``(B, 3, crop, crop)``, and their labels."""
        pictures = np.stack([self._pictures[position] for position in positions])
        start = (pictures.shape[1] - self._crop) // 2
        centre = slice(start, start + self._crop)
        labels = torch.tensor([self._labels[position] for position in positions])
        return torch.from_numpy(pictures[:, centre, centre]).permute(0, 3, 1, 2), labels


def training_loader(
    dataset: SizedDataset, batch: int, seed: int, *, workers: int, pin: bool, rank: int = 0, processes: int = 1
) -> DataLoader[Batch]:
    """Return the loader of a training: uint8 images ``(B, 3, crop, crop)``, targets ``(B, ...)``, positions ``(B,)``.

    Images lie in memory channels last, so that a network in that format need not rearrange them.

    The last batch of an epoch may be smaller; no image is left out. Several processes share each batch, see
    :class:`RankBatches`.
    """
    if workers:
        _check_shared_memory()
    order = EpochOrder(len(dataset), seed)
    share: dict[str, Any] = {"sampler": order, "batch_size": batch}
    if processes > 1:
        share = {"batch_sampler": RankBatches(order, batch, rank, processes)}
    share |= {"num_workers": workers, "pin_memory": pin, "persistent_workers": workers > 0}
    if workers:
        share["multiprocessing_context"] = "fork"  # pictures are shared, not copied
    return DataLoader(dataset, collate_fn=_as_it_is, **share)


def _check_shared_memory() -> None:
    """Refuse processes where they cannot share anything, as in a container with a read-only ``/dev/shm``."""
    try:
        multiprocessing.Lock()
    except OSError as error:
        raise StorageError(
            f"loader processes need /dev/shm, which cannot be written ({reason(error)}); set runtime.workers: 0"
        ) from None


def evaluation_batches(split: Split, image_root: Path, side: int, batch: int, reading: Reading) -> Iterator[Batch]:
    """Yield uint8 images resized straight to ``(side, side)`` without a crop, labels and positions, in index order."""
    pictures = pictures_of(split, image_root, side, reading)
    batches = [range(start, min(start + batch, len(split))) for start in range(0, len(split), batch)]
    with ThreadPoolExecutor(reading.workers) as pool:
        # One batch ahead, so that images that have to be decoded are while the network runs.
        coming = [pool.submit(pictures.__getitem__, position) for positions in batches[:1] for position in positions]
        for number, positions in enumerate(batches):
            ready = [future.result() for future in coming]
            following = batches[number + 1] if number + 1 < len(batches) else range(0)
            coming = [pool.submit(pictures.__getitem__, position) for position in following]
            images = torch.stack([_chw(picture) for picture in ready])
            yield images, torch.tensor([split.items[p].label for p in positions]), torch.tensor(list(positions))


def augment(picture: Image, crop: int, random: np.random.Generator, out: Image) -> None:
    """Write a random crop of ``(crop, crop)``, flipped left to right half of the time, to ``out``.

    Args:
        picture: ``(side, side, channels)`` uint8; a mask may travel as a further channel.
        crop: side in pixels, at most ``side``.
        random: the generator of (seed, epoch, image); three draws are made whatever the sizes.
        out: ``(crop, crop, channels)`` uint8, contiguous.
    """
    height, width = picture.shape[:2]
    top = int(random.integers(height - crop + 1))
    left = int(random.integers(width - crop + 1))
    window = picture[top : top + crop, left : left + crop]
    if random.random() < _HALF:
        cv2.flip(window, 1, out)
    else:
        np.copyto(out, window)


def _chw(picture: Image) -> Tensor:
    planes = np.empty((picture.shape[2], *picture.shape[:2]), np.uint8)
    cv2.split(picture, list(planes))
    return torch.from_numpy(planes)


def _as_it_is(batch: Any) -> Any:
    """Return what the data set has put together."""
    return batch
