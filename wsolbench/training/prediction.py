"""Localization maps and class scores of a trained method."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch import Tensor

from wsolbench.data.cache import Reading
from wsolbench.data.dataset import Split, SplitName
from wsolbench.data.loader import evaluation_batches
from wsolbench.data.scoremaps import Stored, StoredBoxes, StoredMaps
from wsolbench.errors import DivergedError
from wsolbench.models.layers import to_device
from wsolbench.models.method import Localizer
from wsolbench.runs.processes import gather

__all__ = ["EVALUATED", "predict_split"]

EVALUATED: tuple[SplitName, ...] = ("val", "test")

_TOP = 5


def predict_split(
    method: Localizer, split: Split, image_root: Path, *, side: int, batch: int, device: torch.device, reading: Reading
) -> Stored:
    """Store the true label's raw map, or box, and the five best classes of every image of a split.

    Images are resized straight to ``(side, side)``; the network runs in evaluation mode and float32 whatever the
    training's precision, so that maps do not inherit rounding of the optimiser's making. Several processes share the
    images, each of which is seen by one of them.

    Returns:
        Maps in index order, at process 0 (elsewhere those of the process's own images); for an empty split (a data
        set without ``val``), arrays of length 0.

    Raises:
        DivergedError: a map or box is not finite; the image is named.
    """
    rank, processes = get_dist_info()
    own = replace(split, items=split.items[rank::processes])
    parts = gather(_predict(method, own, image_root, side, batch, device, reading))
    if len(parts) == 1:
        return parts[0]
    seen = [part for part in parts if len(part.ids)] or parts[:1]
    places = [rank + step * len(seen) for rank, part in enumerate(seen) for step in range(len(part.ids))]
    together = (np.concatenate(arrays) for arrays in zip(*(vars(part).values() for part in seen), strict=True))
    return type(seen[0])(*(array[np.argsort(places)] for array in together))


def _predict(
    method: Localizer, split: Split, image_root: Path, side: int, batch: int, device: torch.device, reading: Reading
) -> Stored:
    method.eval()
    answers, logits, boxed = [], [], False
    with torch.set_grad_enabled(method.needs_grad):
        for images, labels, _ in evaluation_batches(split, image_root, side, batch, reading):
            found = method.predict(method.backbone.normalise(to_device(images, device)), to_device(labels, device))
            boxed = found.boxes is not None
            answer = cast("Tensor", found.boxes if boxed else found.maps)
            answers.append(answer.detach().float().to("cpu", non_blocking=True))
            logits.append(found.logits.detach().float().to("cpu", non_blocking=True))
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # until now, nothing has waited for it
    labels_array = np.array([item.label for item in split.items], np.int64)
    ids = np.array([item.id for item in split.items], np.str_)
    if not answers:
        empty = np.zeros((0, 0), np.float32)
        return StoredMaps(ids, labels_array, np.zeros((0, 1, 1), np.float32), empty.astype(np.int64), empty)
    localized = torch.cat(answers).numpy()
    finite = np.isfinite(localized.reshape(len(ids), -1)).all(1)
    if not finite.all():
        what, image = "box" if boxed else "map", ids[int(np.argmin(finite))]
        raise DivergedError(f"the {what} of image '{image}' is not finite; the training has diverged")
    # A stable descending sort: equal logits keep class order, on every device.
    best, order = torch.sort(torch.cat(logits), dim=1, descending=True, stable=True)
    top5, top5_logits = order[:, :_TOP].numpy(), best[:, :_TOP].numpy()
    if boxed:
        sizes = np.array([[item.width, item.height] * 2 for item in split.items], np.float64)
        return StoredBoxes(ids, labels_array, localized.clip(0, 1) * sizes, top5, top5_logits)
    return StoredMaps(ids, labels_array, localized, top5, top5_logits)
