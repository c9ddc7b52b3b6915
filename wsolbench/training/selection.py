"""Which epoch's weights make the maps: the last, or the best by a named number of ``val``.

A selection is part of a track, and so the same for all methods of a table. What Choe et al. (CVPR 2020) call the best
checkpoint is ``val_boxes``: BoxAcc at IoU 0.5, single contour, at the threshold that is best on ``val``; ``val_cls`` is
Top-1 accuracy. Choosing by boxes uses the truth of ``val``, which the stage ``selection`` hands over for tracks that
ask for it, and for no other.

BoxAcc is computed here once more, and not by :mod:`wsolbench.evaluation`, so that an edit of the metrics trains nothing
again; a test holds the two equal.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from numpy.typing import NDArray
from torch import Tensor

from wsolbench.data.dataset import Split
from wsolbench.data.scoremaps import StoredMaps
from wsolbench.errors import DataError
from wsolbench.models.method import Method
from wsolbench.training.history import History

__all__ = ["Selection", "box_accuracy_of_val", "class_accuracy"]

_SIDE, _GREYS, _STEP, _IOU = 224, 255, 0.001, 0.5
_log = logging.getLogger("wsolbench.train")


class Selection(Hook):  # type: ignore[misc]
    """Predicts ``val`` after every epoch and keeps the weights of the best one; of equals, the earliest.

    Args:
        method: what is trained, and predicts; given the best weights by :meth:`take_over`.
        predict: returns the maps and classes of ``val``, at process 0.
        score: of them, percent.
        name: of the score, a column of the history.
        history: where the score is noted.
    """

    priority = "BELOW_NORMAL"  # before the history writes its row

    def __init__(
        self,
        method: Method,
        predict: Callable[[Method], StoredMaps],
        score: Callable[[StoredMaps], float],
        name: str,
        history: History,
    ) -> None:
        self._method, self._predict, self._score = method, predict, score
        self._name, self._history = name, history
        self._best, self._epoch = -1.0, 0
        self._weights: dict[str, Tensor] = {}

    def after_train_epoch(self, runner: Any) -> None:
        """Judge the epoch."""
        stored = self._predict(self._method)
        runner.model.train()
        told = [self._score(stored) if runner.rank == 0 else 0.0]
        broadcast_object_list(told)
        score = float(told[0])
        self._history.noted[self._name] = score
        if score > self._best:
            self._best, self._epoch = score, runner.epoch + 1
            self._weights = {name: value.detach().clone() for name, value in self._method.state_dict().items()}

    def take_over(self) -> None:
        """Give the method the weights of the best epoch."""
        self._method.load_state_dict(self._weights)
        _log.info("weights of epoch %d are taken: %s %.1f", self._epoch, self._name, self._best)

    def state_dict(self) -> dict[str, Any]:
        """Return what :meth:`load_state_dict` needs to go on."""
        return {"best": self._best, "epoch": self._epoch, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state."""
        self._best, self._epoch, self._weights = state["best"], state["epoch"], dict(state["weights"])


def class_accuracy(stored: StoredMaps) -> float:
    """Return Top-1 accuracy in percent.

    Raises:
        DataError: nothing was classified.
    """
    if stored.top5.shape[1] == 0:
        raise DataError("selection: val_cls needs a method that classifies")
    return float((stored.top5[:, 0] == stored.labels).mean() * 100)


def box_accuracy_of_val(stored: StoredMaps, split: Split) -> float:
    """Return BoxAcc of the single-contour box at IoU 0.5 and the best threshold, percent; box protocol ``choe2020``.

    Args:
        stored: maps, in the order of ``split``.
        split: with true boxes.
    """
    thresholds = np.arange(0, 1, _STEP)
    hits = np.zeros(len(thresholds), np.int64)
    for raw, item in zip(stored.maps, split.items, strict=True):
        size = np.array([item.width, item.height] * 2)
        truth = (split.truth(item.id).choe2020_boxes * _SIDE / size).astype(np.int64)
        grey = _grey(raw)
        cuts = (thresholds * float(grey.max())).astype(np.int64)
        right = {cut: _overlap(_largest_box(grey > cut), truth) >= _IOU for cut in np.unique(cuts).tolist()}
        hits += np.array([right[cut] for cut in cuts.tolist()])
    return float(hits.max() * 100.0 / len(split))


def _grey(raw: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Upsample, take to 0 .. 1 and then to 8 bits; a map that says nothing is all zero."""
    upsampled = cv2.resize(raw.astype(np.float64), (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC)
    shifted = upsampled - upsampled.min()
    highest = shifted.max()
    return (shifted / highest * _GREYS).astype(np.uint8) if highest > 0 else np.zeros((_SIDE, _SIDE), np.uint8)


def _largest_box(foreground: NDArray[np.bool_]) -> NDArray[np.int64]:
    contours, _ = cv2.findContours(foreground.view(np.uint8), cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return np.zeros(4, np.int64)
    x, y, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return np.array([x, y, min(x + width, _SIDE - 1), min(y + height, _SIDE - 1)])


def _overlap(box: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """Best intersection over union with any true box; both ends of a box count."""
    shared = np.maximum(np.minimum(box[2:], truth[:, 2:]) - np.maximum(box[:2], truth[:, :2]) + 1, 0).prod(1)
    areas = (truth[:, 2:] - truth[:, :2] + 1).prod(1)
    return float((shared / ((box[2:] - box[:2] + 1).prod() + areas - shared)).max())
