"""A box drawn blindly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from wsolbench.baselines.base import Baseline, BaselineInputs
from wsolbench.data.dataset import Item
from wsolbench.data.scoremaps import StoredBoxes
from wsolbench.data.seeding import generator, image_key

__all__ = ["RandomBox"]


class RandomBox(Baseline):
    """The box between two points that are drawn uniformly over the image: what chance alone scores.

    The draw depends on the seed and the image's id alone. A box covers a ninth of the image on average.
    """

    title = "random box"
    reference = "two uniform corners"
    seeded = True

    def predictions(self, inputs: BaselineInputs) -> Mapping[str, StoredBoxes]:
        """Return a box for every image of ``val`` and ``test``."""
        return {
            split.name: StoredBoxes(
                ids=np.array([item.id for item in split.items], np.str_),
                labels=np.array([item.label for item in split.items], np.int64),
                boxes=np.array([_drawn(item, inputs.run.seed) for item in split.items]).reshape(-1, 4),
            )
            for split in (inputs.val, inputs.test)
        }


def _drawn(item: Item, seed: int) -> NDArray[np.float64]:
    corners = generator("baseline", seed, image_key(item.id)).random((2, 2)) * [item.width, item.height]
    return np.concatenate([corners.min(0), corners.max(0)])
