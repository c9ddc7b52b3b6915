"""The whole image as the box."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wsolbench.baselines.base import Baseline, BaselineInputs
from wsolbench.data.scoremaps import StoredBoxes

__all__ = ["WholeImage"]


class WholeImage(Baseline):
    """A box around all of the image: right wherever the object covers half of it."""

    title = "whole image"
    reference = "box around the image"
    seeded = False

    def predictions(self, inputs: BaselineInputs) -> Mapping[str, StoredBoxes]:
        """Return the image's own size as the box of every image of ``val`` and ``test``."""
        return {
            split.name: StoredBoxes(
                ids=np.array([item.id for item in split.items], np.str_),
                labels=np.array([item.label for item in split.items], np.int64),
                boxes=np.array([(0, 0, item.width, item.height) for item in split.items], np.float64).reshape(-1, 4),
            )
            for split in (inputs.val, inputs.test)
        }
