"""Which epoch's weights make the maps: the last, or the best by a named number of ``val``.

A selection is part of a track, and so the same for all methods of a table. What Choe et al. (CVPR 2020) call the best
checkpoint is ``val_boxes``: BoxAcc at IoU 0.5, single contour, at the threshold that is best on ``val``; ``val_cls`` is
Top-1 accuracy. Choosing by boxes uses the truth of ``val``, which the stage ``prepare`` hands over for tracks that ask
for it, and for no other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from mmengine.dist import broadcast_object_list, get_dist_info
from torch import Tensor

from wsolbench.data.dataset import Split
from wsolbench.data.scoremaps import Stored
from wsolbench.errors import DataError
from wsolbench.models.method import Method

__all__ = ["EpochSelector", "box_accuracy_of_val", "class_accuracy"]

_THRESHOLD_STEP = 0.001
_log = logging.getLogger("wsolbench.train")


class EpochSelector:
    """Predicts ``val`` after every epoch and keeps the weights of the best one; of equals, the earliest.

    ``predict`` returns maps and classes of ``val`` at process 0, ``score`` percent of them, and ``name`` is its column
    of the history.
    """

    def __init__(self, name: str, predict: Callable[[Method], Stored], score: Callable[[Stored], float]) -> None:
        self._name, self._predict, self._score = name, predict, score
        self._best, self._epoch = -1.0, 0
        self._weights: dict[str, Tensor] = {}

    def score_epoch(self, method: Method, epoch: int) -> dict[str, float]:
        """Return an epoch's (from 1) score by its name, in all processes, and keep its weights if it is the best."""
        stored = self._predict(method)
        scores = [self._score(stored) if get_dist_info()[0] == 0 else 0.0]
        broadcast_object_list(scores)
        score = float(scores[0])
        if score > self._best:
            self._best, self._epoch = score, epoch
            self._weights = {name: value.detach().clone() for name, value in method.state_dict().items()}
        return {self._name: score}

    def load_best(self, method: Method) -> None:
        """Give the method the weights of the best epoch."""
        method.load_state_dict(self._weights)
        _log.info("weights of epoch %d are taken: %s %.1f", self._epoch, self._name, self._best)

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs to go on."""
        return {"best": self._best, "epoch": self._epoch, "weights": self._weights}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state."""
        self._best, self._epoch, self._weights = state["best"], state["epoch"], dict(state["weights"])


def class_accuracy(stored: Stored) -> float:
    """Return Top-1 accuracy in percent.

    Raises:
        DataError: nothing was classified.
    """
    if stored.top5.shape[1] == 0:
        raise DataError("selection: val_cls needs a method that classifies")
    return float((stored.top5[:, 0] == stored.labels).mean() * 100)


def box_accuracy_of_val(stored: Stored, split: Split) -> float:
    """Return BoxAcc of the single-contour box at IoU 0.5 and the best threshold, percent; box protocol ``choe2020``."""
    from wsolbench.evaluation.accuracy import IOUS  # noqa: PLC0415
    from wsolbench.evaluation.protocols import threshold_grid  # noqa: PLC0415 - imports numba, half a second
    from wsolbench.evaluation.scoring import Rules, score_image  # noqa: PLC0415

    rules = Rules(threshold_grid(_THRESHOLD_STEP))
    scores = [
        score_image(answer, item, split.truth(item.id), rules, masked=False)
        for answer, item in zip(stored.answers, split.items, strict=True)
    ]
    hits = np.sum([each.hits[0, 0, IOUS.index(50)] for each in scores], axis=0)
    return float(hits.max() * 100.0 / len(scores))
