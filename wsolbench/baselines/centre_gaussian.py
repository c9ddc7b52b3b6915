"""The centre of the image, whatever is in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wsolbench.baselines.base import Baseline
from wsolbench.data.dataset import Split

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

    def answers(self, split: Split, seed: int) -> NDArray[np.float32]:
        """Return the same map for every image."""
        cells = (np.arange(_SIDE) + 0.5) / _SIDE - 0.5
        profile = np.exp(-(cells**2) / (2 * _SIGMA**2))
        return np.broadcast_to(np.outer(profile, profile).astype(np.float32), (len(split), _SIDE, _SIDE))
