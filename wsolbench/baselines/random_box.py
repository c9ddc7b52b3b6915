"""A box drawn blindly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.baselines.base import Baseline
from wsolbench.data.dataset import Item, Split
from wsolbench.data.seeding import generator, image_key

__all__ = ["RandomBox"]


class RandomBox(Baseline):
    """The box between two points that are drawn uniformly over the image: what chance alone scores.

    The draw depends on the seed and the image's id alone. A box covers a ninth of the image on average.
    """

    title = "random box"
    reference = "two uniform corners"
    seeded = True

    def answers(self, split: Split, seed: int) -> NDArray[np.float64]:
        """Return a box for every image."""
        return np.array([_drawn(item, seed) for item in split.items]).reshape(-1, 4)


def _drawn(item: Item, seed: int) -> NDArray[np.float64]:
    corners = generator("baseline", seed, image_key(item.id)).random((2, 2)) * [item.width, item.height]
    return np.concatenate([corners.min(0), corners.max(0)])
