"""What a stranger imports: maps and truth of any kind of array in, the benchmark's own numbers out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import wsolbench
from tests.evaluation.made_up_run import TRACK, MadeUpRun
from wsolbench import MapsOf
from wsolbench.data.index import read_split
from wsolbench.errors import DataError

BOX = (40, 30, 180, 150)
RNG = np.random.default_rng(0)
HEAT = RNG.random((14, 14), np.float32) + np.pad(np.ones((8, 8), np.float32) * 2, 3)


def equal(found: wsolbench.api.MapScore, expected: wsolbench.api.MapScore, tolerance: float = 0) -> bool:
    return all(
        np.allclose(getattr(found, name), getattr(expected, name), rtol=0, atol=tolerance)
        for name in ("thresholds", "single", "multi")
    )


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        (torch.from_numpy, 0),
        (lambda heat: torch.from_numpy(heat).requires_grad_()[None, None], 0),
        (lambda heat: heat[None].astype(np.float64), 0),
        (lambda heat: (torch.from_numpy(heat) * 64).to(torch.float16) / 64, 0.05),
        (lambda heat: torch.from_numpy(heat).to(torch.bfloat16), 0.1),
        (lambda heat: (heat * 80).astype(np.uint8), 0.1),
    ],
)
def test_a_map_is_scored_alike_whatever_holds_it(change: Callable[[Any], Any], tolerance: float) -> None:
    expected = wsolbench.score(HEAT, BOX, size=(224, 224), step=0.1)
    assert 0.5 < expected.single.max() <= expected.multi.max()
    assert equal(wsolbench.score(change(HEAT), torch.tensor(BOX), size=(224, 224), step=0.1), expected, tolerance)


@pytest.mark.parametrize(
    ("heat", "box", "named"),
    [
        (np.zeros((2, 7, 7)), BOX, "(2, 7, 7)"),
        (np.zeros((7, 7, 1)), BOX, "(7, 7, 1)"),
        (np.zeros((1, 0, 7)), BOX, "(0, 7)"),
        (np.zeros(7), BOX, "(7,)"),
        (np.zeros((7, 7), complex), BOX, "complex"),
        (np.full((7, 7), np.nan), BOX, "NaN"),
        ([[1, 2], [3]], BOX, "no array"),
        (HEAT, BOX, "14x14"),
        (HEAT, (5, 5, 5, 9), "14x14"),
        (HEAT, (1, 2, 3), "(3,)"),
    ],
)
def test_what_is_no_map_or_no_box_of_it_is_refused(heat: Any, box: Any, named: str) -> None:
    with pytest.raises(DataError) as caught:
        wsolbench.score(heat, box)
    assert named in str(caught.value)


def test_the_numbers_of_arrays_are_those_of_files(run: MadeUpRun, maps: Path) -> None:
    asked = MapsOf(maps, read_split(run.layout.prepared(TRACK), "test"))
    boxed = [item for item in asked.split.items if len(asked.split.truth(item.id).boxes)]
    expected = wsolbench.score_folder(asked, jobs=1).numbers
    found = wsolbench.evaluate_maps(
        [torch.from_numpy(file.read())[None] for file in wsolbench.find_maps(maps, asked.split)],
        [asked.split.truth(item.id).boxes for item in boxed],
        sizes=[(item.width, item.height) for item in boxed],
        labels=[item.label for item in boxed],
    )
    for key in ("max_box_acc", "max_box_acc_v2", "gt_known", "threshold", "mean_iou", "pixel"):
        assert found[key] == expected[key], key


def test_masks_classes_and_val_are_taken_as_arrays() -> None:
    mask = np.zeros((14, 14), bool)
    mask[3:11, 3:11] = True
    found = wsolbench.evaluate_maps([HEAT] * 2, [mask] * 2, labels=[0, 1], predictions=torch.tensor([[0, 1], [0, 1]]))
    assert found["max_box_acc"] is None
    assert found["px_ap"] > 80
    assert found["cls"]["top1"] == 50
    boxed = wsolbench.evaluate_maps([HEAT], [BOX], sizes=(224, 224), val=([HEAT], [BOX]))
    assert boxed["threshold"]["val"] == boxed["threshold"]["oracle"]


@pytest.mark.parametrize(
    ("maps", "truth", "more", "named"),
    [
        ([HEAT], [], {}, "0 truths"),
        ([], [], {}, "no maps"),
        (HEAT, [BOX] * 14, {"sizes": (224, 224)}, "map 0 of test"),
        ([HEAT], [BOX], {}, "truth 0 of test"),
        ([HEAT], [BOX], {"sizes": (224, 224), "labels": [0, 1]}, "2 labels"),
        ([HEAT], [BOX], {"sizes": (224, 224), "predictions": [1]}, "predictions"),
    ],
)
def test_sets_that_do_not_fit_are_refused(maps: Any, truth: Any, more: dict[str, Any], named: str) -> None:
    with pytest.raises(DataError) as caught:
        wsolbench.evaluate_maps(maps, truth, **more)
    assert named in str(caught.value)


def test_no_box_lies_in_a_map_that_says_nothing() -> None:
    assert wsolbench.boxes_of(np.ones((5, 5)), 0.5).shape == (0, 4)
    with pytest.raises(DataError, match=r"1\.5"):
        wsolbench.boxes_of(HEAT, 1.5)


def test_a_wrong_size_or_box_is_named() -> None:
    heat = np.eye(8)
    for size in (224, (8, 8, 3), "8x8"):
        with pytest.raises(DataError, match=r"size must be \(width, height\)"):
            wsolbench.score(heat, (0, 0, 4, 4), size=size)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"truth 0 of test must be numbers x0, y0, x1, y1.*boxes"):
        wsolbench.evaluate_maps([heat], [{"boxes": (0, 0, 4, 4)}])
