"""Baselines that need no training, from their prediction to their metrics."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.conftest import TRACK
from wsolbench.baselines.base import BaselineInputs
from wsolbench.baselines.stage import run_baseline
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Item, Split
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import StoredBoxes, StoredMaps, upsample_and_normalise
from wsolbench.evaluation.numbers import Scored
from wsolbench.evaluation.protocols import CHOE2020, PIXEL, threshold_grid
from wsolbench.evaluation.scoring import Rules, score_split

COSTLESS = ["centre_gaussian", "random_box", "whole_image"]


def split_of(count: int, width: int = 200, height: int = 100) -> Split:
    items = [Item(f"{k}", f"{k}.png", k % 3, width, height, "test") for k in range(count)]
    return Split("test", items, ["a", "b", "c"], "")


def predicted(name: str, settings: Settings, split: Split, seed: int = 0) -> StoredMaps | StoredBoxes:
    run = settings.resolve(f"{TRACK}-{name}-{seed}")
    inputs = BaselineInputs(run, 1, split, split, Path(), None, settings.runtime, Path())
    return registry.load("baseline", name)().predictions(inputs)["test"]


@pytest.mark.parametrize("name", COSTLESS)
def test_every_image_has_an_answer_and_no_class(tiny_settings: Settings, name: str) -> None:
    found = predicted(name, tiny_settings, split_of(7))
    assert found.ids.tolist() == [str(k) for k in range(7)]
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert found.top5.shape == (7, 0)


def test_the_whole_image_is_the_box(tiny_settings: Settings) -> None:
    found = predicted("whole_image", tiny_settings, split_of(2))
    assert isinstance(found, StoredBoxes)
    assert found.boxes.tolist() == [[0, 0, 200, 100]] * 2


def test_random_boxes_lie_in_the_image_and_cover_a_ninth_of_it(tiny_settings: Settings) -> None:
    found = predicted("random_box", tiny_settings, split_of(4000))
    assert isinstance(found, StoredBoxes)
    x0, y0, x1, y1 = found.boxes.T
    assert ((x0 >= 0) & (x0 < x1) & (x1 <= 200) & (y0 >= 0) & (y0 < y1) & (y1 <= 100)).all()
    assert np.mean((x1 - x0) * (y1 - y0)) / 20000 == pytest.approx(1 / 9, abs=0.006)


def test_a_random_box_depends_on_seed_and_image_alone(tiny_settings: Settings) -> None:
    def boxes(seed: int, split: Split) -> np.ndarray:
        found = predicted("random_box", tiny_settings, split, seed)
        assert isinstance(found, StoredBoxes)
        return found.boxes

    assert np.array_equal(boxes(1, split_of(9))[:4], boxes(1, split_of(4)))
    assert not np.array_equal(boxes(0, split_of(4)), boxes(1, split_of(4)))


def test_the_gaussian_is_round_on_the_square_and_highest_in_the_middle(tiny_settings: Settings) -> None:
    found = predicted("centre_gaussian", tiny_settings, split_of(1))
    assert isinstance(found, StoredMaps)
    shown = upsample_and_normalise(found.maps[0], 224, 224)
    np.testing.assert_allclose(shown, shown.T, atol=1e-9)
    np.testing.assert_allclose(shown, shown[::-1, ::-1], atol=1e-9)
    rows = np.arange(28)
    radius = np.hypot(rows[:, None] - 13.5, rows[None] - 13.5)
    np.testing.assert_allclose(found.maps[0], np.exp(-(radius**2) / (2 * 7**2)), rtol=1e-5)


def test_a_box_scores_its_overlap_at_every_threshold() -> None:
    from wsolbench.data.dataset import Truth

    split = split_of(2, 224, 224)
    truth = {"0": Truth(np.array([[0.0, 0, 112, 224]])), "1": Truth(np.array([[0.0, 0, 9, 9], [100, 100, 150, 150]]))}
    stored = StoredBoxes(
        np.array(["0", "1"]), np.zeros(2, np.int64), np.array([[0.0, 0, 224, 224], [100, 100, 150, 150]])
    )
    rules = Rules(threshold_grid(0.1), (0.2,))
    test = Split("test", split.items, split.class_names, "", truth)
    found = score_split(list(stored.boxes), test, rules, 1)
    scored = Scored(found, None, test, stored.top5, rules)
    # On the grid, a predicted box that reaches the border ends at 223, a true one at 224, and both ends count.
    for threshold in range(11):
        overlaps = [scored.ious(protocol, threshold) for protocol in (CHOE2020, PIXEL)]
        np.testing.assert_allclose(overlaps, [[113 * 224 / (224**2 + 113), 1], [0.5, 1]])
        assert found.drawn["choe2020"].at(threshold).tolist() == [[0, 0, 223, 223], [100, 100, 150, 150]]
    assert found.hits[0, 0, :, 0].tolist() == [2, 2, 1]  # 0.504 at IoU 0.3, 0.5, 0.7
    assert not found.masked


def test_a_baseline_that_trains_is_skipped_where_nothing_is_trained(layout: Layout, tiny_settings: Settings) -> None:
    track = tiny_settings.tracks[TRACK].model_copy(update={"epochs": 0})
    untrained = tiny_settings.model_copy(update={"tracks": {TRACK: track}})
    key = f"{TRACK}-mask_supervised-0"
    run_baseline(untrained, key, layout, 1)
    found = json.loads(layout.metrics(TRACK, key).read_text())
    assert found["status"] == "skipped"
    assert found["reason"] == "it trains by the track's recipe, and nothing is trained on this track"
    assert pd.read_parquet(layout.per_image(TRACK, key)).empty


@pytest.mark.parametrize("name", COSTLESS)
def test_a_baseline_is_evaluated_as_any_run(layout: Layout, tiny_settings: Settings, name: str) -> None:
    key = f"{TRACK}-{name}-0"
    run_baseline(tiny_settings, key, layout, 1)
    found = json.loads(layout.metrics(TRACK, key).read_text())
    assert found["method_status"] == "baseline"
    assert found["cls"] == {"top1": None, "top5": None}
    assert found["top1_loc"]["val"] is None
    rows = pd.read_parquet(layout.per_image(TRACK, key))
    assert found["gt_known"]["val"] == pytest.approx(100 * (rows["iou_val"] >= 0.5).mean())
    assert len(rows) == len(read_split(layout.prepared(TRACK), "test"))
    is_box = name != "centre_gaussian"
    assert (found["threshold"]["val"] is None) == is_box
    assert (found["regret"] is None) == is_box
    assert (found["px_ap"] is None) == is_box
    if is_box:
        assert len(set(found["gt_known"].values()) - {None}) == 1
        assert found["max_box_acc_v2"]["iou50"] == found["max_box_acc"]
    assert not layout.work(key).exists()
