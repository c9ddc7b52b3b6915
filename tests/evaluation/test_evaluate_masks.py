"""The evaluate stage where truth has masks: pixels beside boxes, or in their place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.by_definition import px_ap_by_definition
from tests.evaluation.made_up_run import KEY, SIDE, TEST, TRACK, MadeUpRun, evaluate, rectangle, rounded_up
from wsolbench.data.index import read_split
from wsolbench.errors import DataError
from wsolbench.evaluation.protocols import threshold_grid
from wsolbench.evaluation.scoring import Rules, score_split

approx = pytest.approx


def test_px_ap_where_all_test_images_have_masks(tmp_path: Path) -> None:
    found = evaluate(MadeUpRun(tmp_path, masks=len(TEST)).write()).metrics()
    scores = np.stack([picture.raw for picture in TEST])
    masks = np.stack([rectangle(picture.true) for picture in TEST]) > 0
    # Scores are 0, 0.5 and 1, so that a coarse grid serves as well as the fine one.
    expected = px_ap_by_definition(scores, masks, np.ones_like(masks), threshold_grid(0.1))
    assert found["px_ap"] == found["px_ap_per_class"] == approx(expected, abs=1e-9)  # of the one class


def test_overlap_with_masks_at_the_fixed_and_the_best_threshold(tmp_path: Path) -> None:
    run = evaluate(MadeUpRun(tmp_path, masks=len(TEST)).write())
    found = run.metrics()
    halo = [1, 1 / 4, 1, 400 / 10400, 10000 / 48400]
    core = [0.01, 1, 1, 400 / 10400, 0.6]
    assert found["p_iou"] == {"fixed": approx(sum(halo) * 20), "val": None, "oracle": approx(sum(core) * 20)}
    assert found["p_iou_threshold"] == {"fixed": 0.2, "val": None, "oracle": 0.75}
    shared, either = 4 * 10000 + 400, 10000 + 40000 + 10000 + 10400 + 48400
    assert found["p_iou_pooled"]["fixed"] == approx(100 * shared / either)
    rows = pd.read_parquet(run.layout.per_image(TRACK, KEY))
    assert rows["mask_iou_fixed"].tolist() == [rounded_up(share) for share in halo]
    assert rows["mask_iou_oracle"].tolist() == [rounded_up(share) for share in core]
    assert pd.read_csv(run.layout.curves(TRACK, KEY))["p_iou"].iloc[20] == approx(sum(halo) * 20)
    masked_on_val = evaluate(MadeUpRun(tmp_path / "both", masks=len(TEST), val_masks=True).write()).metrics()
    assert masked_on_val["p_iou_threshold"]["val"] == 0.25  # 0.001 .. 0.5 is best on val


def test_a_data_set_of_masks_has_no_box_numbers_and_chooses_by_overlap(tmp_path: Path) -> None:
    run = evaluate(MadeUpRun(tmp_path, masks=len(TEST), boxless=len(TEST), val_masks=True).write())
    found = run.metrics()
    assert found["threshold"] == {"fixed": 0.2, "val": 0.25, "oracle": 0.75, "published": None}
    assert found["max_box_acc"] is found["pixel"]["max_box_acc"] is found["regret"] is None
    assert set(found["gt_known"].values()) == set(found["max_box_acc_v2"].values()) == {None}
    assert found["p_iou"]["val"] == found["p_iou"]["fixed"] is not None
    assert found["px_ap"] is not None
    assert found["by_size"]["medium"]["images"] == 4
    rows = pd.read_parquet(run.layout.per_image(TRACK, KEY))
    assert rows["iou_val"].isna().all()
    assert rows["mask_iou_val"].notna().all()


def test_px_ap_is_null_where_a_test_image_has_no_mask(tmp_path: Path) -> None:
    assert evaluate(MadeUpRun(tmp_path, masks=len(TEST) - 1).write()).metrics()["px_ap"] is None


def test_an_image_without_a_box_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"'test': 4 images have boxes, and 1 have masks only \(test0\)"):
        MadeUpRun(tmp_path, masks=len(TEST), boxless=1).write()


def test_boxes_on_a_data_set_of_masks_are_scored_as_filled_masks(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, masks=len(TEST), boxless=len(TEST), val_masks=True).write()
    split = read_split(run.layout.prepared(TRACK), "test")
    found = score_split(list(np.tile([0.0, 0, 9, 9], (5, 1))), split, Rules(threshold_grid(0.1), (0.2,)), 1)
    assert found.areas.tolist() == [10000 / SIDE**2] * 3 + [400 / SIDE**2, 10000 / SIDE**2]
    assert not found.boxed
    assert not found.histograms.size
    # 9 x 9 pixels off four objects of 100 x 100 (and of 20 x 20, at 10 .. 30), whatever the threshold.
    shares = found.shares(3)
    assert np.array_equal(shares, found.shares(0))
    assert shares[0].tolist() == approx([0, 10000 / 10081, 0, 81 / 10081])
    assert shares[3].tolist() == approx([0, 400 / 481, 81 / 481, 0])
    assert found.drawn["choe2020"].at(0).tolist() == [[0, 0, 9, 9]] * 5


def test_what_an_overlap_with_a_mask_lacks_adds_up_to_100(tmp_path: Path) -> None:
    run = evaluate(MadeUpRun(tmp_path, masks=len(TEST), boxless=len(TEST), val_masks=True).write())
    found, rows = run.metrics(), pd.read_parquet(run.layout.per_image(TRACK, KEY))
    for at in ("fixed", "val", "oracle"):
        assert found["p_iou"][at] + sum(found["pixel_errors"][at].values()) == approx(100)
    kinds = rows[["mask_missed", "mask_context", "mask_background"]]
    assert np.allclose(rows["mask_iou_val"] + kinds.sum(axis=1), 1)
    # The halo of the second image is 0 .. 200, its object 50 .. 150; the third's halo is its object.
    rows_off, columns_off = np.mgrid[:200, :200]
    away = [np.maximum(np.maximum(50 - each, each - 149), 0) for each in (rows_off, columns_off)]
    near = np.hypot(*away) <= SIDE / 10
    near[50:150, 50:150] = False
    assert kinds["mask_context"][1] == approx(near.sum() / 200**2)
    assert kinds["mask_background"][1] == approx(1 - (near.sum() + 100**2) / 200**2)
    assert kinds.loc[2].tolist() == [0, 0, 0]


def test_sizes_have_the_overlap_of_their_masks(tmp_path: Path) -> None:
    run = evaluate(MadeUpRun(tmp_path, masks=len(TEST), boxless=len(TEST), val_masks=True).write())
    rows, sizes = pd.read_parquet(run.layout.per_image(TRACK, KEY)), run.metrics()["by_size"]
    for size in ("small", "medium"):
        assert sizes[size]["p_iou"]["val"] == approx(100 * rows["mask_iou_val"][rows["size"] == size].mean())
    assert sizes["large"]["p_iou"] == {"fixed": None, "val": None, "oracle": None}


def test_curves_hold_precision_and_recall_of_pixels(tmp_path: Path) -> None:
    run = evaluate(MadeUpRun(tmp_path, masks=len(TEST)).write())
    curves = pd.read_csv(run.layout.curves(TRACK, KEY)).set_index("threshold")
    masks = np.stack([rectangle(picture.true) for picture in TEST]) > 0
    for threshold in (0.0, 0.2, 0.75):
        claimed = np.stack([picture.raw for picture in TEST]) >= threshold
        row = curves.iloc[curves.index.get_indexer([threshold], method="nearest")[0]]
        assert row["px_precision"] == approx(100 * (claimed & masks).sum() / claimed.sum())
        assert row["px_recall"] == approx(100 * (claimed & masks).sum() / masks.sum())


def test_the_curve_named_localization_is_of_pixels_without_boxes(tmp_path: Path) -> None:
    run = evaluate(MadeUpRun(tmp_path, masks=len(TEST), boxless=len(TEST)).write())
    curves = pd.read_csv(run.layout.curves(TRACK, KEY))
    assert curves["box_acc_iou50"].isna().all()
    assert curves["localization"].tolist() == curves["p_iou"].tolist()
