"""The contract of a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from wsolbench.config.settings import Run, RuntimeSettings
from wsolbench.data.cache import Reading
from wsolbench.data.dataset import Split
from wsolbench.data.scoremaps import Stored, StoredBoxes, StoredMaps

__all__ = ["Baseline", "BaselineInputs"]


@dataclass(frozen=True)
class BaselineInputs:
    """What a baseline may use.

    Attributes:
        run: track (with its recipe), baseline and seed.
        train_size: number of images of the weakly supervised split, whose truth nobody has.
        val: images with truth.
        test: images whose truth only the evaluation reads.
        image_root: folder that item and mask paths are relative to.
        weights_file: pretrained weights of the track's backbone, or None.
        runtime: device and threads.
        work: scratch directory.
        reading: how pictures are read.
    """

    run: Run
    train_size: int
    val: Split
    test: Split
    image_root: Path
    weights_file: Path | None
    runtime: RuntimeSettings
    work: Path
    reading: Reading = field(default_factory=Reading)


class Baseline:
    """Something to compare methods against that is not one of them.

    Attributes:
        title: name in tables and plots.
        reference: what it is, or where it comes from.
        seeded: whether it depends on the seed. One that does is named in ``run.seeded_baselines`` and runs with each;
            one that does not is named in ``run.baselines`` and runs once.
        trains: whether it trains the track's backbone by the track's recipe.
    """

    title: ClassVar[str]
    reference: ClassVar[str]
    seeded: ClassVar[bool]
    trains: ClassVar[bool] = False

    def predictions(self, inputs: BaselineInputs) -> Mapping[str, Stored]:
        """Return maps or boxes of ``val`` (of those images that may choose the threshold) and of all of ``test``."""
        return {split.name: self._stored(split, inputs.run.seed) for split in (inputs.val, inputs.test)}

    def answers(self, split: Split, seed: int) -> NDArray[np.floating[Any]]:
        """Return a box ``(N, 4)``, in pixels, or a map ``(N, h, w)`` for each image of a split, without training."""
        raise NotImplementedError

    def _stored(self, split: Split, seed: int) -> Stored:
        ids = np.array([item.id for item in split.items], np.str_)
        labels = np.array([item.label for item in split.items], np.int64)
        found = self.answers(split, seed)
        if found.ndim == 2:
            return StoredBoxes(ids, labels, found.astype(np.float64))
        nothing = np.zeros((len(ids), 0), np.float32)
        return StoredMaps(ids, labels, found.astype(np.float32, copy=False), nothing.astype(np.int64), nothing)
