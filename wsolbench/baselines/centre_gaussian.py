"""The centre of the image, whatever is in it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from wsolbench.baselines.base import Baseline, BaselineInputs
from wsolbench.data.dataset import Split
from wsolbench.data.scoremaps import StoredMaps

__all__ = ["CentreGaussian"]

_SIDE = 28  # cells
_SIGMA = 0.25  # share of the side


class CentreGaussian(Baseline):
    """A Gaussian at the centre of every image: what a data set gives away without being looked at.

    Choe et al. (CVPR 2020, arXiv 2001.07437) put it beside their methods. Isotropic on the square that every image is
    resized to. Its width, which they do not need, decides what a fixed threshold cuts; no metric that maximises over
    thresholds depends on it. Ours is a quarter of the side; at 28x28 cells, which the harness upsamples as any map.
    """

    title = "centre Gaussian"
    reference = "Choe et al., CVPR 2020 (arXiv 2001.07437)"
    seeded = False

    def predictions(self, inputs: BaselineInputs) -> Mapping[str, StoredMaps]:
        """Return the same map for every image of ``val`` and ``test``."""
        cells = (np.arange(_SIDE) + 0.5) / _SIDE - 0.5
        profile = np.exp(-(cells**2) / (2 * _SIGMA**2))
        centre = np.outer(profile, profile).astype(np.float32)
        return {split.name: _repeated(centre, split) for split in (inputs.val, inputs.test)}


def _repeated(centre: np.ndarray[tuple[int, int], np.dtype[np.float32]], split: Split) -> StoredMaps:
    count = len(split)
    return StoredMaps(
        ids=np.array([item.id for item in split.items], np.str_),
        labels=np.array([item.label for item in split.items], np.int64),
        maps=np.broadcast_to(centre, (count, _SIDE, _SIDE)),
        top5=np.zeros((count, 0), np.int64),
        top5_logits=np.zeros((count, 0), np.float32),
    )
