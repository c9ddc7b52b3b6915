"""Scoring, evaluation and prediction from Python, on arrays and tensors of anybody's; no repository is needed.

A map is an array of numpy, or a tensor of torch on any device, of any real type (uint8, float16, bfloat16): ``(H, W)``,
or that with leading axes of length one, ``(1, H, W)`` and ``(1, 1, H, W)``, as pytorch-grad-cam returns it, or a list
with one such tensor, as torchcam does.
Its size and range are free: it is upsampled to 224 x 224 and normalised as the benchmark's own maps are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wsolbench.config.settings import EvaluateSettings
from wsolbench.data.dataset import Item, Split, Truth
from wsolbench.data.masks import encode
from wsolbench.data.scoremaps import upsample_and_normalise
from wsolbench.errors import DataError
from wsolbench.evaluation.boxes import candidates
from wsolbench.evaluation.evaluate import Answers, score_answers
from wsolbench.evaluation.numbers import numbers
from wsolbench.evaluation.protocols import CHOE2020, PIXEL, SIDE, threshold_grid
from wsolbench.evaluation.scoring import Rules

if TYPE_CHECKING:
    from PIL import Image

    from wsolbench.tools.predictions import Prediction
    from wsolbench.tools.trained_run import TrainedRun

__all__ = ["MapScore", "boxes_of", "evaluate_maps", "load_run", "predict", "score"]

Floats = NDArray[np.float64]
Size = tuple[int, int]


@dataclass(frozen=True)
class MapScore:
    """Overlaps of a map's boxes with the true ones.

    Attributes:
        thresholds: ``(n,)`` in [0, 1), of the map's maximum.
        single: ``(n,)`` IoU of the largest component's box, 0 to 1.
        multi: ``(n,)`` best IoU of the boxes of all components.
    """

    thresholds: Floats
    single: Floats
    multi: Floats


def score(
    map: Any,  # noqa: A002 - the field's word
    box: ArrayLike,
    *,
    size: Size | None = None,
    protocol: Literal["choe2020", "pixel"] = "choe2020",
    step: float = 0.001,
) -> MapScore:
    """Score one map against the true boxes of its image, at all thresholds.

    Examples:
        >>> import numpy as np
        >>> import wsolbench
        >>> heat = np.zeros((224, 224))
        >>> heat[50:150, 60:160] = 1
        >>> found = wsolbench.score(heat, (60, 50, 160, 150), protocol="pixel")
        >>> found.single.shape, float(found.single[200])  # at a threshold of 0.2
        ((1000,), 1.0)
        >>> float(wsolbench.score(heat, (60, 50, 110, 150), protocol="pixel").single.max())
        0.5

    Args:
        map: see :mod:`wsolbench.api`.
        box: one or several true boxes, half-open ``x0, y0, x1, y1``: ``(4,)`` or ``(n, 4)``.
        size: width and height of the image in whose pixels the boxes are; by default those of the map.
        protocol: ``choe2020`` as published, or ``pixel`` without its rounding; see :mod:`wsolbench.evaluation`.
        step: distance of the thresholds.

    Raises:
        DataError: the map is none, or a box does not lie in the image.
    """
    raw, thresholds = _map(map, "the map"), threshold_grid(step)
    width, height = _size(size, raw)
    boxes = _boxes(box, (width, height), "box")
    contours, pieces = candidates(upsample_and_normalise(raw, SIDE, SIDE)[None], thresholds)
    found, rules = (pieces, PIXEL) if protocol == PIXEL.name else (contours, CHOE2020)
    single, multi = found.best_ious(rules, rules.on_grid(boxes, width, height))
    return MapScore(thresholds, single, multi)


def boxes_of(
    map: Any,  # noqa: A002 - the field's word
    threshold: float,
    *,
    size: Size | None = None,
) -> NDArray[np.int64]:
    """Return the boxes of a map at a threshold: of the largest component first, then of all others by area.

    Examples:
        >>> import numpy as np
        >>> import wsolbench
        >>> heat = np.zeros((1, 224, 224), np.uint8)
        >>> heat[0, 50:150, 60:160] = 255
        >>> heat[0, 200:210, 0:20] = 128
        >>> wsolbench.boxes_of(heat, 0.2).tolist()
        [[60, 50, 160, 150], [0, 200, 20, 210]]
        >>> wsolbench.boxes_of(heat, 0.7, size=(448, 224)).tolist()
        [[120, 50, 320, 150]]

    Args:
        map: see :mod:`wsolbench.api`.
        threshold: in [0, 1), of the map's maximum; protocol ``pixel``.
        size: width and height of the image in whose pixels the boxes are to be; by default those of the map.

    Returns:
        ``(n, 4)`` half-open ``x0, y0, x1, y1``; none where the map is the same everywhere.

    Raises:
        DataError: the map is none, or the threshold is out of its range.
    """
    from wsolbench.tools.predictions import boxes_at, score_map_of  # noqa: PLC0415 - imports matplotlib

    if not 0 <= threshold < 1:
        raise DataError(f"threshold: {threshold} is not in [0, 1)")
    raw = _map(map, "the map")
    found = boxes_at(score_map_of(raw), _size(size, raw), threshold, every=True)
    return np.array([box.corners for box in found], np.int64).reshape(-1, 4)


def evaluate_maps(
    maps: Iterable[Any],
    truth: Iterable[Any],
    *,
    sizes: Size | Sequence[Size] | None = None,
    labels: Sequence[int] | None = None,
    predictions: ArrayLike | None = None,
    val: tuple[Iterable[Any], Iterable[Any]] | None = None,
    settings: EvaluateSettings | None = None,
    jobs: int = 1,
) -> dict[str, Any]:
    """Return all numbers of a set of maps, as ``results/metrics`` has them for a run.

    Examples:
        >>> import numpy as np
        >>> import wsolbench
        >>> heat = np.zeros((3, 224, 224))
        >>> heat[:, 50:150, 60:160] = 1
        >>> found = wsolbench.evaluate_maps(heat, [(60, 50, 160, 150), (60, 50, 150, 150), (0, 0, 20, 20)])
        >>> round(found["max_box_acc"], 1), round(found["gt_known"]["fixed"], 1)
        (66.7, 66.7)

    Args:
        maps: one per image: a sequence, or an array ``(N, H, W)`` or ``(N, 1, H, W)``, or a list with one such tensor;
            see :mod:`wsolbench.api`.
        truth: of each image its boxes, ``(4,)`` or ``(n, 4)`` half-open ``x0, y0, x1, y1``, or its mask, ``(H, W)``
            of booleans.
        sizes: width and height of each image, or of all, in whose pixels the boxes are; by default those of each map
            (of a mask, its own).
        labels: classes, from 0.
        predictions: ``(N, k)`` classes by each image, best first, for Top-1 and Top-5.
        val: maps and truth of other images, on which thresholds are chosen; their sizes are those of ``sizes`` where
            that is one for all, else their maps'.
        settings: thresholds and normalisations; those of ``params.yaml``'s defaults if None.
        jobs: parallel processes.

    Raises:
        DataError: there is not one truth (size, label, prediction) per map, or a map or a truth is none; the image is
            named by its position.
    """
    test, arrays = _split("test", maps, truth, sizes, labels)
    guesses = np.zeros((len(test), 0), np.int64) if predictions is None else np.asarray(_plain(predictions), np.int64)
    if guesses.ndim != 2 or len(guesses) != len(test):
        raise DataError(f"predictions must be ({len(test)}, k) classes, not of shape {guesses.shape}")
    of_val = None
    if val is not None:
        split, own = _split("val", *val, sizes if np.ndim(sizes or 0) == 1 else None, None)
        of_val = Answers(split, own, np.zeros((len(own), 0), np.int64))
    rules = Rules.of(settings or EvaluateSettings())
    return numbers(score_answers(Answers(test, arrays, guesses), of_val, rules, jobs))


def load_run(run: str | Path, *, device: Literal["auto", "cpu", "cuda"] = "auto") -> TrainedRun:
    """Load a trained run, for :func:`predict`; its ``network`` is the method, a ``torch.nn.Module`` in ``eval`` mode.

    Args:
        run: its folder (with ``run.yaml``), or its key in the repository in which the process runs.
        device: where its network goes.

    Raises:
        SettingsError: there is no such run.
        DataError: it is not trained, or damaged.
    """
    from wsolbench.config.paths import Layout  # noqa: PLC0415
    from wsolbench.config.settings import PARAMS_FILE, read_settings  # noqa: PLC0415
    from wsolbench.tools.trained_run import open_run  # noqa: PLC0415 - imports torch

    settings = read_settings() if PARAMS_FILE.is_file() else None
    return open_run(settings, str(run), Layout(), device=device)


def predict(
    run: TrainedRun, images: Iterable[str | Path | Image.Image | NDArray[np.uint8]], *, class_name: str | None = None
) -> list[Prediction]:
    """Classify and localize photographs: class, probability, boxes, map and mask of each, in order.

    Args:
        run: of :func:`load_run`.
        images: files (turned as viewers do), pictures of Pillow, or ``(H, W, 3)`` uint8 arrays in RGB.
        class_name: name, or number, of the class to localize in all; None localizes the predicted one of each.

    Raises:
        SettingsError: the run knows no such class.
        DataError: an image cannot be read, or the run has no maps.
    """
    from PIL import Image  # noqa: PLC0415

    from wsolbench.data.images import read_displayed  # noqa: PLC0415
    from wsolbench.tools.photographs import Photograph  # noqa: PLC0415
    from wsolbench.tools.trained_run import label_of, localize  # noqa: PLC0415 - imports torch

    wanted = None if class_name is None else label_of(class_name, run.class_names)
    found = []
    for number, image in enumerate(images):
        if isinstance(image, (str, Path)):
            picture, name = read_displayed(Path(image)), str(image)
        else:
            picture, name = image if isinstance(image, Image.Image) else Image.fromarray(image), str(number)
        found += localize(run, [Photograph.of(picture.convert("RGB"), name, run.side)], wanted, every=True, masks=True)
    return found


def _plain(value: Any) -> NDArray[Any]:
    """Return an array or a tensor on any device as an array, floating tensors as float64."""
    if hasattr(value, "detach"):  # torch, which is not imported for that
        value = value.detach().cpu()
        value = (value.double() if value.is_floating_point() else value).numpy()
    try:
        return np.asarray(value)
    except ValueError as error:  # ragged
        raise DataError(f"what is given is no array ({error})") from None


def _map(value: Any, name: str) -> NDArray[np.floating[Any]]:
    found = _plain(_of_one_layer(value, name))
    while found.ndim > 2 and found.shape[0] == 1:
        found = found[0]
    if found.ndim != 2 or 0 in found.shape:
        several = "; maps of several images go to evaluate_maps, or here one by one" if found.ndim == 3 else ""
        raise DataError(
            f"{name} must be one map, (H, W), (1, H, W) or (1, 1, H, W), not of shape {found.shape}{several}"
        )
    if found.dtype.kind not in "fiub" and found.dtype.name != "bfloat16":
        raise DataError(f"{name} must hold real numbers, not {found.dtype}")
    real = found.astype(np.float64)
    if not np.isfinite(real).all():
        raise DataError(f"{name} holds a NaN or an infinite value")
    return real


def _of_one_layer(value: Any, name: str) -> Any:
    """Return the only one of a list of layers' maps, as torchcam's extractors return them, or what is no such list."""
    if not isinstance(value, (list, tuple)) or not value or any(getattr(each, "ndim", 0) < 2 for each in value):
        return value
    if len(value) > 1:
        raise DataError(
            f"{name} is a list of {len(value)} arrays, as torchcam returns it for so many layers; fuse them first "
            "(`extractor.fuse_cams(maps)`), or give one of them"
        )
    return value[0]


def _size(given: Size | None, raw: NDArray[Any]) -> Size:
    """Return an image's width and height, by default those of its map."""
    if given is None:
        return raw.shape[1], raw.shape[0]
    if np.shape(given) != (2,):
        raise DataError(f"size must be (width, height) in pixels, not {given!r}")
    return given


def _boxes(value: ArrayLike, size: Size, name: str) -> Floats:
    plain = np.atleast_2d(_plain(value))
    if plain.dtype.kind not in "fiu":
        raise DataError(f"{name} must be numbers x0, y0, x1, y1, (4,) or (n, 4), not {value!r}")
    boxes = plain.astype(np.float64)
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not len(boxes):
        raise DataError(f"{name} must be (4,) or (n, 4), not of shape {np.shape(_plain(value))}")
    low, high = boxes[:, :2], boxes[:, 2:]
    if not ((low >= 0) & (low < high) & (high <= size)).all():
        raise DataError(
            f"{name}: {boxes.tolist()} does not lie in an image of {size[0]}x{size[1]} pixels (width, height) as "
            "x0, y0, x1, y1; give the image's size, where the map has another"
        )
    return boxes


def _split(
    name: Literal["val", "test"],
    maps: Iterable[Any],
    truth: Iterable[Any],
    sizes: Size | Sequence[Size] | None,
    labels: Sequence[int] | None,
) -> tuple[Split, list[NDArray[np.floating[Any]]]]:
    """Return a made-up split with its truth, and its maps."""
    if isinstance(maps, (list, tuple)) and len(maps) == 1 and getattr(maps[0], "ndim", 0) == 3:
        maps = maps[0]  # torchcam's of one layer, (N, H, W)
    arrays = [_map(each, f"map {number} of {name}") for number, each in enumerate(maps)]
    truths = [_plain(each) for each in truth]
    own: Any = [sizes] * len(arrays) if np.ndim(sizes or 0) == 1 else sizes
    for what, given in (("truths", truths), ("sizes", own), ("labels", labels)):
        if given is not None and len(given) != len(arrays):
            raise DataError(f"{name}: {len(given)} {what} are given for {len(arrays)} maps; give one for each")
    if not arrays:
        raise DataError(f"{name}: there are no maps")
    items, known = [], {}
    for number, (array, one) in enumerate(zip(arrays, truths, strict=True)):
        masked = one.ndim == 2 and one.dtype.kind == "b"
        height, width = one.shape if masked else array.shape
        if own is not None and not masked:
            width, height = own[number]
        key = str(number)
        items.append(Item(key, key, 0 if labels is None else int(labels[number]), width, height, name))
        boxes = np.zeros((0, 4)) if masked else _boxes(one, (width, height), f"truth {number} of {name}")
        known[key] = Truth(boxes, masks=(encode(one),) if masked else ())
    classes = max(item.label for item in items) + 1
    return Split(name, items, [str(k) for k in range(classes)], "", known), arrays
