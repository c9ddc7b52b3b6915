"""What trials have in common, what they may see, and what they are judged by."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.search.conftest import changed
from tests.tiny import TRACK
from wsolbench.acquire.prepare import prepare
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Item, Split, Truth
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import StoredMaps
from wsolbench.errors import DataError, SettingsError
from wsolbench.evaluation.accuracy import IOUS
from wsolbench.evaluation.protocols import CHOE2020, threshold_grid
from wsolbench.search.plan import Plan, place_data, plan_of
from wsolbench.search.trial import score_of


@pytest.fixture
def plan(tiny_settings: Settings, layout: Layout) -> Plan:
    return plan_of(tiny_settings, TRACK, "adl", layout)


@pytest.fixture
def val(layout: Layout) -> Split:
    return read_split(layout.prepared(TRACK), "val")


def test_what_is_searched_starts_from_the_track_and_the_rest_from_the_method(plan: Plan) -> None:
    space = plan.definition.space
    assert next(iter(space)) == "train.lr"
    assert {"args.gamma", "args.drop_rate"} <= space.keys()
    assert plan.run.on_track.args == {}  # both are searched
    assert plan.run.track.lr == 0.05  # not the method's 0.5
    assert plan.run.track.epochs == 1  # search.epochs, not the track's 2
    assert plan.run.seed == 4
    assert str(space["train.lr"]) == "log-uniform 0.025 to 0.1 (search.recipe)"


def test_a_trial_is_a_run_of_the_method_with_its_draws(plan: Plan) -> None:
    run, values = plan.trial(5), plan.values(5)
    assert (run.track.lr, run.track.epochs, run.seed, run.track_name) == (values["train.lr"], 1, 4, TRACK)
    assert run.on_track.args == {"drop_rate": values["args.drop_rate"], "gamma": values["args.gamma"]}
    assert run.on_track.recipe == "searched"
    assert run.key != plan.trial(6).key


def test_applying_a_winner_does_not_change_what_was_searched(tiny_settings: Settings, plan: Plan) -> None:
    block = {"recipe": "searched", "args": {"gamma": 0.1, "drop_rate": 0.9}, "train": {"lr": 0.06}}
    applied = changed(tiny_settings, "methods", adl={"tracks": {TRACK: block}})
    assert plan_of(applied, TRACK, "adl", plan.layout).definition == plan.definition


@pytest.mark.parametrize(
    ("block", "changes"),
    [
        ("search", {"seed": 5}),
        ("search", {"epochs": 2}),
        ("search", {"objective": "px_ap"}),
        ("search", {"recipe": {"lr": [0.5, 3]}}),
        ("methods", {"adl": {"tracks": {TRACK: {"train": {"momentum": 0.8}}}}}),
        ("evaluate", {"threshold_step": 0.01}),
    ],
)
def test_what_changes_trials_changes_the_definition(
    tiny_settings: Settings, plan: Plan, block: str, changes: dict[str, Any]
) -> None:
    other = plan_of(changed(tiny_settings, block, **changes), TRACK, "adl", plan.layout)
    assert other.definition != plan.definition


def test_the_number_of_trials_is_no_part_of_the_definition(tiny_settings: Settings, plan: Plan) -> None:
    more = plan_of(changed(tiny_settings, "search", trials=9), TRACK, "adl", plan.layout)
    assert more.definition == plan.definition


def test_boxes_that_judge_are_counted(tiny_settings: Settings, layout: Layout, val: Split) -> None:
    boxes = sum(len(val.truth(item.id).boxes) for item in val.items)
    assert boxes > 0
    for objective, used in (("auto", (boxes, 0)), ("px_ap", (boxes, len(val))), ("top1_cls", (0, 0))):
        plan = plan_of(changed(tiny_settings, "search", objective=objective), TRACK, "adl", layout)
        found = plan.head(3)
        assert (found.boxes_used, found.masks_used) == used
        assert found.images == len(val)


def test_what_cannot_be_searched_is_refused(tiny_settings: Settings, layout: Layout, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="did you mean 'adl'"):
        plan_of(tiny_settings, TRACK, "adll", layout)
    with pytest.raises(SettingsError, match="did you mean 'tiny'"):
        plan_of(tiny_settings, "tinny", "adl", layout)
    with pytest.raises(SettingsError, match="nothing to search"):
        plan_of(changed(tiny_settings, "search", recipe={}), TRACK, "cam", layout)
    plain = changed(tiny_settings, f"tracks.{TRACK}", weight_decay=0.0)
    with pytest.raises(SettingsError, match=r"weight_decay is 0.*remove it from search\.recipe"):
        plan_of(changed(plain, "search", recipe={"weight_decay": [0.5, 2]}), TRACK, "adl", layout)
    untrained = changed(tiny_settings, f"tracks.{TRACK}", epochs=0, backbone_args={"keep_classifier": True})
    with pytest.raises(SettingsError, match="trains nothing"):
        plan_of(untrained, TRACK, "cam", layout)
    with pytest.raises(DataError, match="wsolbench prepare tiny"):
        plan_of(tiny_settings, TRACK, "adl", Layout(tmp_path / "elsewhere"))


def test_trials_see_no_test_image_and_no_truth_of_test(plan: Plan, layout: Layout) -> None:
    place_data(plan)
    place = Layout(plan.scratch).prepared(TRACK)
    assert set(pq.read_table(place / "index.parquet")["split"].to_pylist()) == {"train", "val"}
    assert set(pq.read_table(place / "truth.parquet")["split"].to_pylist()) == {"val"}
    for name in ("train", "val"):
        before, after = (read_split(root, name) for root in (layout.prepared(TRACK), place))  # type: ignore[arg-type]
        assert before.items == after.items
        assert before.digest == after.digest
    assert len(read_split(place, "test")) == 0


def test_data_that_trials_read_are_never_replaced(tiny_settings: Settings, prepared: Layout, tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    shutil.copytree(prepared.root / "data", tmp_path / "data")
    plan = plan_of(tiny_settings, TRACK, "adl", layout)
    placed = place_data(plan)

    def state() -> list[tuple[str, int, int]]:
        return [(str(path), path.lstat().st_ino, path.lstat().st_mtime_ns) for path in sorted(placed.rglob("*"))]

    first = state()
    assert place_data(plan_of(tiny_settings, TRACK, "adl", layout)) == placed
    prepare(changed(tiny_settings, "datasets.shapes", train=20, val=5), TRACK, layout)  # other data
    other = plan_of(tiny_settings, TRACK, "adl", layout)
    assert place_data(other) != placed
    assert state() == first


def maps_of(split: Split) -> StoredMaps:
    generator = np.random.default_rng(0)
    maps = generator.random((len(split), 6, 6)).astype(np.float32)
    labels = np.array([item.label for item in split.items])
    top5 = np.stack([labels, (labels + 1) % 3], 1)
    top5[0] = top5[0][::-1]
    return StoredMaps(np.array([item.id for item in split.items]), labels, maps, top5, top5.astype(np.float32))


def test_boxes_are_judged_by_max_box_acc_v2_of_the_evaluator(val: Split) -> None:
    from wsolbench.data.scoremaps import upsample_and_normalise
    from wsolbench.evaluation.boxes import candidates

    stored = maps_of(val)
    found = score_of("max_box_acc_v2", stored, val, 0.01, 1)
    overlaps = []
    for raw, item in zip(stored.maps, val.items, strict=True):
        contours, _ = candidates(upsample_and_normalise(raw, 224, 224)[None], threshold_grid(0.01))
        true = CHOE2020.true_boxes([item], [val.truth(item.id)]).boxes
        overlaps.append(contours.best_ious(CHOE2020, true)[1])
    best = [(np.stack(overlaps) >= iou / 100).mean(0).max() * 100 for iou in IOUS]
    assert found == pytest.approx(np.mean(best))
    assert 0 < found < 100


def test_masks_are_judged_by_pixels(val: Split) -> None:
    from wsolbench.data.scoremaps import upsample_and_normalise
    from wsolbench.evaluation.pxap import code_masks

    stored = maps_of(val)
    scores = np.stack([upsample_and_normalise(raw, 224, 224) for raw in stored.maps])
    truth = np.stack([code_masks(val.truth(item.id).object_masks(), None) for item in val.items])
    grid = threshold_grid(0.01)
    above = scores[None] >= grid[:, None, None, None]
    shared, either = (above & (truth == 1)).sum((2, 3)), (above | (truth == 1)).sum((2, 3))
    assert score_of("p_iou", stored, val, 0.01, 1) == pytest.approx((shared / either).mean(1).max() * 100)
    precision, recall = [1.0], [0.0]
    for threshold in [1.0, *grid[::-1]]:
        claimed = scores >= threshold
        precision.append((claimed & (truth == 1)).sum() / claimed.sum())
        recall.append((claimed & (truth == 1)).sum() / (truth == 1).sum())
    area = sum(p * (r - before) for p, r, before in zip(precision[1:], recall[1:], recall, strict=False))
    assert score_of("px_ap", stored, val, 0.01, 1) == pytest.approx(area * 100)


def test_classes_are_judged_without_truth(layout: Layout) -> None:
    val = read_split(layout.prepared(TRACK), "val", with_truth=False)  # asking it for a box would raise
    assert score_of("top1_cls", maps_of(val), val, 0.01, 1) == pytest.approx((len(val) - 1) / len(val) * 100)


def test_maps_of_other_images_are_refused(val: Split) -> None:
    other = Split("val", val.items[::-1], val.class_names, val.digest)
    with pytest.raises(DataError, match="not those of val"):
        score_of("top1_cls", maps_of(other), val, 0.01, 1)


def test_auto_takes_pixels_where_there_are_only_masks(
    tiny_settings: Settings, layout: Layout, val: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    from wsolbench.search import plan as module

    nothing = np.zeros((0, 4))

    def only(**kept: bool) -> Split:
        def of(item: Item) -> Truth:
            truth = val.truth(item.id)
            return Truth(truth.boxes if kept["boxes"] else nothing, truth.masks if kept["masks"] else ())

        return Split("val", val.items, val.class_names, val.digest, {item.id: of(item) for item in val.items})

    monkeypatch.setattr(module, "read_split", lambda *_: only(boxes=False, masks=True))
    assert plan_of(tiny_settings, TRACK, "adl", layout).definition.objective == "px_ap"
    with pytest.raises(DataError, match="max_box_acc_v2 needs boxes"):
        plan_of(changed(tiny_settings, "search", objective="max_box_acc_v2"), TRACK, "adl", layout)
    monkeypatch.setattr(module, "read_split", lambda *_: only(boxes=True, masks=False))
    with pytest.raises(DataError, match="p_iou needs masks"):
        plan_of(changed(tiny_settings, "search", objective="p_iou"), TRACK, "adl", layout)
    monkeypatch.setattr(module, "read_split", lambda *_: Split("val", [], val.class_names, val.digest))
    with pytest.raises(DataError, match="no val split"):
        plan_of(tiny_settings, TRACK, "adl", layout)
