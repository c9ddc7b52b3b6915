"""The evaluate stage end to end, on a run whose numbers are worked out by hand."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.made_up_run import (
    KEY,
    OBJECT,
    OUTPUTS,
    SIDE,
    TEST,
    TRACK,
    MadeUpRun,
    Picture,
    evaluate,
    record,
    rounded_up,
)
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import StoredBoxes, read_maps, write_maps
from wsolbench.evaluation.tables import per_image_bytes
from wsolbench.evaluation.thumbnails import candidates, read_thumbnails
from wsolbench.runs.run_folder import write_record

HALO_IOUS = [1, 10201 / 40401, 1, 0, 10201 / 48841]
CORE_IOUS = [121 / 10201, 1, 1, 0, 6161 / 10201]
HALO_MISSES = {"multi_instance": 0, "part": 0, "more": 40, "background": 20, "other": 0}
SAME = {"gt_known": {"fixed": 40, "val": 40, "oracle": 60}, "max_box_acc": 60, "px_ap": None}
SAME["max_box_acc_v2"] = pytest.approx(220 / 3)
approx = pytest.approx


@pytest.fixture
def run(tmp_path: Path) -> MadeUpRun:
    return MadeUpRun(tmp_path).write()


def test_all_numbers_of_a_run(run: MadeUpRun) -> None:
    found = evaluate(run, published_threshold={"cam": {TRACK: 0.5}}).metrics()
    halo, core = 100 * sum(HALO_IOUS) / 5, pytest.approx(100 * sum(CORE_IOUS) / 5)
    no_masks = {"fixed": None, "val": None, "oracle": None}
    # On test the halo is right for 2 of 5 images, the core for 3; on val the halo for 2 of 2, the core for 1.
    assert found == {
        "status": "ok", "key": KEY, "track": TRACK, "dataset": "shapes", "backbone": "convnet", "method": "cam",
        "title": "CAM", "method_status": "published", "recipe": "common", "seed": 0, "weights": None,
        "selection": "last",
        "data_digest": read_split(run.layout.prepared(TRACK), "test").digest,
        "truth_digest": read_split(run.layout.prepared(TRACK), "test").truth_digest,
        "val_truth": "gt", "boxes_used": {"val": 2}, "masks_used": {"val": 0},
        "protocol": "choe2020", "protocol_version": "1.0",
        "images": {"val": 2, "test": 5},
        "cls": {"top1": 60, "top5": 80},
        # The middle of 0 .. 0.498 on val, and of 0.499 .. 0.999 on test.
        "threshold": {"fixed": 0.2, "val": 0.249, "oracle": 0.749, "published": 0.5},
        "gt_known": {"fixed": 40, "val": 40, "oracle": 60, "published": 60},
        "top1_loc": {"fixed": 40, "val": 40, "oracle": 20, "published": 20},
        "top5_loc": {"fixed": 40, "val": 40, "oracle": 40, "published": 40},
        "mean_iou": {"fixed": halo, "val": halo, "oracle": core, "published": core},
        "max_box_acc": 60, "regret": 20, "peak_width": 50.1,  # 0.499 .. 0.999
        # With all contours, one more image is always right; at IoU 0.7 the last is not.
        "max_box_acc_v2": {"iou30": 80, "iou50": 80, "iou70": 60, "mean": approx(220 / 3)},
        "max_box_acc_v2_val": {"iou30": 60, "iou50": 60, "iou70": 60, "mean": 60},
        "px_ap": None, "px_ap_per_class": None, "p_iou": no_masks, "p_iou_pooled": no_masks,
        "p_iou_threshold": no_masks,
        # 20 x 20 of 224 x 224 pixels is small, 100 x 100 medium.
        "by_size": {
            "small": {"images": 1, "gt_known": {"fixed": 0, "val": 0, "oracle": 0}, "p_iou": no_masks},
            "medium": {"images": 4, "gt_known": {"fixed": 50, "val": 50, "oracle": 75}, "p_iou": no_masks},
            "large": {"images": 0, "gt_known": no_masks, "p_iou": no_masks},
        },
        "misses": {"fixed": HALO_MISSES, "val": HALO_MISSES, "oracle": HALO_MISSES | {"more": 0, "part": 20}},
        "pixel_errors": no_masks,
        "pixel": {
            # A score of 0.5 reaches the threshold 0.5; at 0 all pixels are foreground.
            "threshold": {"fixed": 0.2, "val": 0.25, "oracle": 0.75, "published": 0.5},
            "gt_known": {"fixed": 40, "val": 40, "oracle": 60, "published": 40},
            "top1_loc": {"fixed": 40, "val": 40, "oracle": 20, "published": 40},
            "top5_loc": {"fixed": 40, "val": 40, "oracle": 40, "published": 40},
            "mean_iou": dict.fromkeys(("fixed", "val", "published"), approx((1 + 1 / 4 + 1 + 10000 / 48400) * 20))
            | {"oracle": approx((0.01 + 1 + 1 + 0.6) * 20)},
            "max_box_acc": 60, "regret": 20, "peak_width": 49.9,
            "max_box_acc_v2": {"iou30": 80, "iou50": 80, "iou70": 60, "mean": approx(220 / 3)},
            "max_box_acc_v2_val": {"iou30": 60, "iou50": 60, "iou70": 60, "mean": 60},
        },
        # The maps are min-max and positive as they are. A halo that covers most of an image vanishes under IVR.
        "normalisation": {
            "max": SAME, "percentile": SAME,
            "ivr": {
                "gt_known": {"fixed": 80, "val": 80, "oracle": 80},
                "max_box_acc": 80, "max_box_acc_v2": approx((100 + 100 + 80) / 3), "px_ap": None,
            },
        },
    }  # fmt: skip


def test_every_image_has_a_row_with_its_overlaps_and_its_box_at_the_val_threshold(tmp_path: Path) -> None:
    core_is_right = (Picture(halo=(0, 0, 200, 200), core=OBJECT),)
    run = evaluate(MadeUpRun(tmp_path, val=core_is_right).write())
    rows = pd.read_parquet(run.layout.per_image(TRACK, KEY))
    expected = pd.DataFrame(
        {
            "id": [f"test{k}" for k in range(5)],
            "label": 0,
            "predicted": [0, 1, 0, 0, 1],
            "in_top5": [True, True, True, True, False],
            "iou_fixed": HALO_IOUS,
            "iou_val": CORE_IOUS,
            "iou_oracle": CORE_IOUS,
            "iou_pixel_fixed": [1, 1 / 4, 1, 0, 10000 / 48400],
            "iou_pixel_val": [0.01, 1, 1, 0, 0.6],
            "iou_pixel_oracle": [0.01, 1, 1, 0, 0.6],
            "area": [10000 / SIDE**2] * 3 + [400 / SIDE**2, 10000 / SIDE**2],
            "size": ["medium"] * 3 + ["small", "medium"],
            "miss": ["part", "", "", "background", ""],
            "x0": [60, 50, 50, 100, 50],
            "y0": [60, 50, 50, 100, 50],
            "x1": [70, 150, 150, 200, 150],
            "y1": [70, 150, 150, 200, 110],
        }
    )
    shares = expected.select_dtypes("float64").map(rounded_up).astype("float32")
    pd.testing.assert_frame_equal(rows, expected.assign(**shares), check_exact=True)


def test_a_stored_overlap_reaches_an_iou_exactly_if_it_did_and_is_nearly_the_same() -> None:
    pairs = [
        (n, d)
        for d in (*range(1, 200), 10_000, 50_176, 1_000_000)
        for n in {*range(0, d, max(d // 200, 1)), 7 * d // 10}
    ]
    exact = pd.DataFrame({"iou_val": [n / d for n, d in pairs], "miss": ""})
    stored = pd.read_parquet(io.BytesIO(per_image_bytes(exact)))["iou_val"].to_numpy()
    assert stored.dtype == np.float32
    for iou in (0.1, 0.3, 0.5, 0.7, 0.9):
        assert (stored.astype(np.float64) >= iou).tolist() == [share >= iou for share in exact["iou_val"]]
    assert np.abs(stored - exact["iou_val"]).max() < 2**-23
    empty = pd.DataFrame({"iou_val": [np.nan, 0.0, 1.0]})
    assert pd.read_parquet(io.BytesIO(per_image_bytes(empty)))["iou_val"].fillna(-1).tolist() == [-1, 0, 1]


def test_the_curves_have_a_hundred_thresholds(run: MadeUpRun) -> None:
    evaluate(run)
    curves = pd.read_csv(run.layout.curves(TRACK, KEY), index_col="threshold")
    np.testing.assert_allclose(curves.index, np.arange(100) / 100, atol=1e-12)
    expected = {
        "localization": (40, 60), "box_acc_iou30": (40, 60), "box_acc_iou50": (40, 60), "box_acc_iou70": (40, 40),
        "multi_box_acc_iou30": (60, 80), "multi_box_acc_iou50": (60, 80), "multi_box_acc_iou70": (60, 60),
        "val_box_acc_iou50": (100, 50),
    }  # fmt: skip
    assert list(curves) == [*expected, "pixel_box_acc_iou50", "p_iou", "px_precision", "px_recall"]
    assert curves["pixel_box_acc_iou50"].tolist() == [0] + [40] * 50 + [60] * 49
    for name, (halo, core) in expected.items():
        assert curves[name].tolist() == [halo] * 50 + [core] * 50


def test_a_threshold_off_the_grid_is_computed_where_it_is(run: MadeUpRun) -> None:
    # 0.49805 * 255 = 127.003 already takes the core; 0.498, the nearest of the grid, the halo.
    found = evaluate(run, fixed_threshold=0.49805).metrics()
    assert (found["threshold"]["fixed"], found["gt_known"]["fixed"]) == (0.49805, 60)


def test_the_shape_of_the_photographs_changes_no_number(run: MadeUpRun, tmp_path: Path) -> None:
    wide = MadeUpRun(tmp_path / "wide", size=(448, 112)).write()
    found, expected = evaluate(wide).metrics(), evaluate(run).metrics()
    for digest in ("data_digest", "truth_digest"):
        assert found.pop(digest) != expected.pop(digest)  # photographs of other sizes are other data
    assert found == expected


def test_v2_at_val_chooses_one_threshold_for_each_overlap(tmp_path: Path) -> None:
    # The core overlaps by 0.60 in both images, the halo by 1 in one and by 0.21 in the other.
    half = (50, 50, 150, 110)
    pictures = (Picture(halo=OBJECT, core=half), Picture(halo=(0, 0, 220, 220), core=half))
    found = evaluate(MadeUpRun(tmp_path, val=pictures, test=pictures).write()).metrics()["max_box_acc_v2_val"]
    assert (found["iou30"], found["iou50"], found["iou70"]) == (100, 100, 50)


def test_the_maps_of_the_chosen_images_are_kept_small(run: MadeUpRun) -> None:
    evaluate(run, gallery=3)
    found = read_thumbnails(run.layout.thumbnails(TRACK, KEY), "")
    ids = [f"test{k}" for k in range(5)]
    assert found.ids.tolist() == [ids[k] for k in candidates(ids, 3)]


def test_evaluating_again_gives_the_same_bytes_and_leaves_nothing_else(run: MadeUpRun) -> None:
    before = evaluate(run).outputs()
    assert evaluate(run).outputs() == before
    written = [path.name for name in OUTPUTS for path in (run.root / "results" / name / TRACK).iterdir()]
    assert sorted(written) == sorted(f"{KEY}.{suffix}" for suffix in ("json", "json", "parquet", "csv", "npz"))


@pytest.mark.slow
def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    many = MadeUpRun(tmp_path, test=TEST * 21).write()  # enough images for processes to be started
    alone = evaluate(many, jobs=1).outputs()
    assert evaluate(many, jobs=2).outputs() == alone


def test_a_run_that_does_not_classify_has_no_class_columns(run: MadeUpRun) -> None:
    run.write_maps(top5=np.zeros((5, 0), np.int64), top5_logits=np.zeros((5, 0), np.float32))
    found = evaluate(run).metrics()
    assert found["cls"] == {"top1": None, "top5": None}
    assert set(found["top1_loc"].values()) == set(found["top5_loc"].values()) == {None}
    assert found["gt_known"]["oracle"] == 60
    rows = pd.read_parquet(run.layout.per_image(TRACK, KEY))
    assert rows[["predicted", "in_top5"]].isna().all(axis=None)


def test_without_a_val_split_what_is_chosen_on_it_is_null(tmp_path: Path) -> None:
    run = evaluate(MadeUpRun(tmp_path, val=()).write())
    found = run.metrics()
    assert found["images"] == {"val": 0, "test": 5}
    assert found["threshold"]["val"] is found["gt_known"]["val"] is found["regret"] is None
    assert set(found["max_box_acc_v2_val"].values()) == {None}
    assert found["max_box_acc"] == 60
    assert pd.read_parquet(run.layout.per_image(TRACK, KEY))["iou_val"].isna().all()
    assert pd.read_csv(run.layout.curves(TRACK, KEY))["val_box_acc_iou50"].isna().all()


def test_a_skipped_run_has_its_reason_and_valid_empty_files(run: MadeUpRun) -> None:
    evaluate(run)
    complete = pd.read_parquet(run.layout.per_image(TRACK, KEY))
    curves = pd.read_csv(run.layout.curves(TRACK, KEY))
    for path in run.folder.iterdir():
        path.unlink()
    reason = "needs masks \N{CROSS MARK}"
    write_record(run.folder, record() | {"reason": reason})
    found = evaluate(run).metrics()
    assert (found["status"], found["reason"], found["method"]) == ("skipped", reason, "cam")
    assert "gt_known" not in found
    rows = pd.read_parquet(run.layout.per_image(TRACK, KEY))
    assert (list(rows), len(rows)) == (list(complete), 0)
    empty = pd.read_csv(run.layout.curves(TRACK, KEY))
    assert (list(empty), len(empty)) == (list(curves), 0)
    assert len(read_thumbnails(run.layout.thumbnails(TRACK, KEY), "").ids) == 0


@pytest.mark.slow
def test_evaluation_runs_where_torch_cannot_be_imported(run: MadeUpRun) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from tests.evaluation.made_up_run import KEY, settings\n"
        "from wsolbench.config.paths import Layout\n"
        "from wsolbench.evaluation.evaluate import evaluate_key\n"
        "evaluate_key(settings(), KEY, Layout(Path(sys.argv[1])), 1)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, run.root], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert run.metrics()["max_box_acc"] == 60


def test_a_run_that_stored_boxes_has_numbers_and_no_thresholds(run: MadeUpRun) -> None:
    boxes = {
        name: StoredBoxes(each.ids, each.labels, np.tile([50.0, 50, 150, 150], (len(each.ids), 1)), each.top5)
        for name, each in ((name, read_maps(run.maps_file, name)) for name in ("val", "test"))
    }
    write_maps(run.maps_file, {name: replace(each, top5_logits=each.top5 * 1.0) for name, each in boxes.items()})
    write_record(run.folder, record())
    found = evaluate(run).metrics()
    assert set(found["threshold"].values()) == {None}
    assert found["regret"] is found["peak_width"] is found["px_ap"] is None
    assert found["gt_known"] == {"fixed": 80, "val": 80, "oracle": 80, "published": None}
    assert (found["top1_loc"]["fixed"], found["max_box_acc"], found["max_box_acc_v2"]["mean"]) == (40, 80, 80)
    assert found["normalisation"] == {}
    rows = pd.read_parquet(run.layout.per_image(TRACK, KEY))
    assert rows["iou_val"].tolist() == [1, 1, 1, 0, 1]
    assert len(read_thumbnails(run.layout.thumbnails(TRACK, KEY), "").ids) == 0


def test_the_headline_has_few_numbers_and_those_that_are_defined(run: MadeUpRun, tmp_path: Path) -> None:
    evaluate(run)
    found = json.loads(run.layout.headline(TRACK, KEY).read_text())
    assert found == {"top1_cls": 60, "gt_known_val": 40, "max_box_acc": 60, "max_box_acc_v2": approx(220 / 3)}
    masks = evaluate(MadeUpRun(tmp_path / "masks", masks=len(TEST), boxless=len(TEST), val_masks=True).write())
    found, metrics = json.loads(masks.layout.headline(TRACK, KEY).read_text()), masks.metrics()
    assert found == {"top1_cls": 60, "px_ap": metrics["px_ap"], "p_iou_val": metrics["p_iou"]["val"]}
