"""Random numbers as a function of names, not of history.

Whatever is random in a run is drawn from a generator keyed by what it is for: (seed, epoch, image) for augmentation,
(seed, iteration) for the network. Nothing has to be saved to resume, and neither loader workers nor what ran before
can change a draw.
"""

from __future__ import annotations

import hashlib
from typing import Literal, get_args

import numpy as np

__all__ = ["Purpose", "generator", "image_key", "torch_seed"]

Purpose = Literal[
    "order", "augmentation", "initialisation", "iteration", "batch_transform", "bound", "baseline", "coin", "epoch"
]
_PURPOSES: dict[Purpose, int] = {purpose: number for number, purpose in enumerate(get_args(Purpose))}
_WORD = 2**32 - 1


def image_key(image_id: str) -> int:
    """Return a 64-bit key of an image id, the same on every machine and in every process."""
    return int.from_bytes(hashlib.sha256(image_id.encode()).digest()[:8], "little")


def generator(purpose: Purpose, *key: int) -> np.random.Generator:
    """Return a numpy generator for one purpose and key; keys that differ give independent streams."""
    return np.random.default_rng(_sequence(purpose, key))


def torch_seed(purpose: Purpose, *key: int) -> int:
    """Return a 63-bit seed for ``torch.manual_seed`` for one purpose and key."""
    return int(_sequence(purpose, key).generate_state(1, np.uint64)[0]) >> 1


def _sequence(purpose: Purpose, key: tuple[int, ...]) -> np.random.SeedSequence:
    """Return numpy's sequence of these numbers, split into words as it would do, but in half the time."""
    words: list[int] = []
    for number in (_PURPOSES[purpose], *key):
        words.append(number & _WORD)
        while (number := number >> 32) > 0:
            words.append(number & _WORD)
    return np.random.SeedSequence(np.array(words, np.uint32))
