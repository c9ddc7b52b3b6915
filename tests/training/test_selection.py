"""The epoch whose weights make the maps: chosen on val, fairly, and kept through interruptions."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as limits
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.training.conftest import TRACK
from tests.training.test_trainer import with_track
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Item, Split, Truth
from wsolbench.data.index import read_selection, read_split, write_selection
from wsolbench.data.scoremaps import StoredMaps, read_maps, upsample_and_normalise
from wsolbench.errors import DataError
from wsolbench.evaluation.boxes import candidates
from wsolbench.evaluation.protocols import CHOE2020, threshold_grid
from wsolbench.training import loop, trainer
from wsolbench.training.selection import box_accuracy_of_val, class_accuracy
from wsolbench.training.trainer import train

KEY = f"{TRACK}-cam-0"


def trained(layout: Layout, settings: Settings) -> dict[str, bytes]:
    train(settings.resolve(KEY), settings, layout)
    return {path.name: path.read_bytes() for path in layout.run(KEY).iterdir()}


def rows_of(files: dict[str, bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(files["history.csv"].decode())))


@pytest.fixture
def own(prepared: Layout, tmp_path: Path) -> Layout:
    """A layout of its own, whose selection file a test may change."""
    shutil.copytree(prepared.root / "data", tmp_path / "data")
    return Layout(tmp_path)


@limits(max_examples=25, deadline=None)
@given(arrays(np.float32, (3, 5, 6), elements=st.floats(-3, 3, width=16)))
def test_box_accuracy_is_that_of_the_metric_suite(maps: np.ndarray) -> None:
    boxes = np.array([[40.0, 60, 300, 200], [0, 0, 100, 375], [250, 20, 490, 370]])
    items = [Item(str(k), str(k), 0, 500, 375, "val") for k in range(3)]
    published = boxes // 2
    truth = {"0": Truth(boxes, published=published), "1": Truth(boxes[1:2]), "2": Truth(boxes[2:])}
    nothing = np.zeros((3, 0))
    stored = StoredMaps(np.array(["0", "1", "2"]), np.zeros(3, int), maps, nothing.astype(int), nothing)
    grid = threshold_grid(0.001)
    overlaps = [
        candidates(upsample_and_normalise(raw, 224, 224)[None], grid)[0].best_ious(
            CHOE2020, CHOE2020.on_grid(published if item.id == "0" else truth[item.id].boxes, 500, 375)
        )[0]
        for raw, item in zip(maps, items, strict=True)
    ]
    expected = (np.stack(overlaps) >= 0.5).sum(0).max() * 100 / 3
    assert box_accuracy_of_val(stored, Split("val", items, ["a"], "", truth)) == expected


@pytest.mark.parametrize("selection", ["val_cls", "val_boxes"])
def test_the_best_epoch_is_the_last_of_a_shorter_training(
    own: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch, selection: str
) -> None:
    write_selection(own.prepared(TRACK), own.selection(TRACK), wanted=selection == "val_boxes")
    scores = iter([10.0, 30.0, 30.0, 20.0])
    built = trainer.EpochSelector

    def made_up(name: str, predict: object, score: object) -> trainer.EpochSelector:
        del score
        return built(name, predict, lambda stored: next(scores))  # type: ignore[arg-type]

    monkeypatch.setattr("wsolbench.training.trainer.EpochSelector", made_up)
    # A constant rate, so that a training of two epochs is the start of one of four.
    constant = {"schedule": "step", "step_epochs": 9, "epochs": 4}
    chosen = trained(own, with_track(tiny_settings, selection=selection, **constant))
    assert [float(row[selection]) for row in rows_of(chosen)] == [10, 30, 30, 20]
    two = trained(own, with_track(tiny_settings, **constant | {"epochs": 2}))
    assert chosen["checkpoint.safetensors"] == two["checkpoint.safetensors"]
    assert chosen["maps.npz"] == two["maps.npz"]


def test_the_history_has_the_scores_of_the_weights_that_would_be_taken(own: Layout, tiny_settings: Settings) -> None:
    write_selection(own.prepared(TRACK), own.selection(TRACK), wanted=True)
    files = trained(own, with_track(tiny_settings, selection="val_boxes", epochs=3))
    scores = [float(row["val_boxes"]) for row in rows_of(files)]
    stored = read_maps(own.run(KEY) / "maps.npz", "val")
    assert box_accuracy_of_val(stored, read_split(own.prepared(TRACK), "val")) == max(scores)


def test_a_training_that_selects_goes_on_with_the_same_bytes(
    own: Layout, tiny_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = with_track(tiny_settings, selection="val_cls", epochs=3)
    whole = trained(own, settings)
    original, calls = loop.TrainingModel.train_step, []

    def killed(*arguments: object, **named: object) -> object:
        calls.append(None)
        if len(calls) == 8:
            raise KeyboardInterrupt
        return original(*arguments, **named)

    with monkeypatch.context() as patched:
        patched.setattr(loop.TrainingModel, "train_step", killed)
        with pytest.raises(KeyboardInterrupt):
            trained(own, settings)
    assert trained(own, settings) == whole


def test_training_knows_the_boxes_of_val_only_if_its_track_asks_for_them(own: Layout) -> None:
    prepared, path = own.prepared(TRACK), own.selection(TRACK)
    write_selection(prepared, path, wanted=False)
    val = read_selection(prepared, path)
    with pytest.raises(DataError, match="has no truth"):
        val.truth(val.items[0].id)
    write_selection(prepared, path, wanted=True)
    val = read_selection(prepared, path)
    expected = read_split(prepared, "val")
    for item in val.items:
        np.testing.assert_array_equal(val.truth(item.id).boxes, expected.truth(item.id).boxes)
    for item in read_split(prepared, "test", with_truth=False).items:
        with pytest.raises(DataError, match="has no truth"):
            val.truth(item.id)


@pytest.mark.parametrize("selection", ["last", "val_cls", "val_boxes"])
def test_training_works_where_the_truth_cannot_be_read(own: Layout, tiny_settings: Settings, selection: str) -> None:
    write_selection(own.prepared(TRACK), own.selection(TRACK), wanted=selection == "val_boxes")
    (own.prepared(TRACK) / "truth.parquet").write_bytes(b"not for training")
    trained(own, with_track(tiny_settings, selection=selection, epochs=1))


def test_a_method_may_not_bring_its_own_selection(tiny_settings: Settings) -> None:
    data = tiny_settings.model_dump()
    data["methods"]["cam"] = {"tracks": {TRACK: {"train": {"selection": "val_cls"}}}}
    with pytest.raises(ValueError, match="selection is the track's, the same for all methods"):
        Settings.model_validate(data)


def test_a_method_that_does_not_classify_cannot_be_selected_by_class() -> None:
    empty = np.zeros((2, 0))
    stored = StoredMaps(np.array(["a", "b"]), np.zeros(2, int), np.zeros((2, 1, 1)), empty.astype(int), empty)
    with pytest.raises(DataError, match="val_cls needs a method that classifies"):
        class_accuracy(stored)
