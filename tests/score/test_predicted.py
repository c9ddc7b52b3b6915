"""Maps of predicted classes: Top-1 Loc from them, and nothing that would need the label's map."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.made_up_run import TEST, VAL, MadeUpRun
from tests.score.test_score import asked, split_of, write_maps
from wsolbench import MapsOf, score_folder, score_table, write_scores
from wsolbench.errors import DataError

GUESSES = {f"test{k}": picture.guesses for k, picture in enumerate(TEST)}  # right: 0, 2, 3


def none_of(tree: object) -> bool:
    return all(none_of(each) for each in tree.values()) if isinstance(tree, dict) else tree is None


def test_top_1_loc_is_that_of_the_labels_maps_and_gt_known_is_not_available(
    run: MadeUpRun,
    maps: Path,
    tmp_path: Path,
) -> None:
    val = MapsOf(write_maps(tmp_path / "val", "val", VAL), split_of(run, "val"))
    of_labels = score_folder(asked(run, maps), val=val, predictions=GUESSES, jobs=1).numbers
    # Where the first guess is wrong, the map of the predicted class is another one, here a perfect one: no hit.
    for k in (1, 4):
        np.save(maps / f"test{k}.npy", TEST[2].raw)
    found = score_folder(asked(run, maps), val=val, predictions=GUESSES, maps_of="predicted", jobs=1)
    numbers = found.numbers
    for mine, theirs in ((numbers, of_labels), (numbers["pixel"], of_labels["pixel"])):
        assert mine["top1_loc"]["fixed"] == pytest.approx(theirs["top1_loc"]["fixed"])
        assert mine["top1_loc"]["val"] == pytest.approx(theirs["top1_loc"]["val"])
        assert mine["threshold"]["val"] == theirs["threshold"]["val"]
        for name in ("gt_known", "top5_loc", "mean_iou", "max_box_acc", "max_box_acc_v2", "max_box_acc_v2_val"):
            assert none_of(mine[name]), name
    assert numbers["cls"] == of_labels["cls"]
    assert numbers["top1_loc"]["oracle"] == 40  # images 0 and 2 of 5; the oracle of GT-known lies elsewhere
    assert all(none_of(numbers[name]) for name in ("px_ap", "p_iou", "by_size", "misses", "normalisation"))
    assert found.per_image["iou_fixed"].isna().tolist() == [False, True, False, False, True]
    assert found.per_image["label"].tolist() == [0] * 5
    assert found.by_class["top1_loc_fixed"].tolist() == [numbers["top1_loc"]["fixed"]]
    assert not [name for name in found.by_class if "gt_known" in name or "mean" in name]
    shown = score_table(numbers)
    assert "GT-known Loc (" not in shown
    assert "| Top-1 Loc (choe2020)" in shown
    write_scores(found, {}, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["maps_of"] == "predicted"


def test_nothing_right_is_zero(run: MadeUpRun, maps: Path, tmp_path: Path) -> None:
    wrong = {f"test{k}": (1, 2, 3, 4, 5) for k in range(5)}
    found = score_folder(asked(run, maps), predictions=wrong, maps_of="predicted", jobs=1)
    assert found.numbers["top1_loc"] == {"fixed": 0, "val": None, "oracle": 0, "published": None}
    assert found.numbers["cls"] == {"top1": 0, "top5": 0}
    write_scores(found, {}, tmp_path / "out")
    assert "Top-1 Loc" in score_table(found.numbers)


def test_without_predictions_no_map_is_of_a_known_class(run: MadeUpRun, maps: Path) -> None:
    with pytest.raises(DataError, match="need the predictions"):
        score_folder(asked(run, maps), maps_of="predicted", jobs=1)
