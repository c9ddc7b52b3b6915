"""What a trained run says of anybody's photographs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.tools.predicting import KEY, Predict, lines, noise, predicted
from tests.training.conftest import TRACK
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import read_split
from wsolbench.data.masks import decode
from wsolbench.data.scoremaps import read_maps, upsample_and_normalise
from wsolbench.errors import DataError, SettingsError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.tools import predict as module
from wsolbench.tools.photographs import ABOUT_FILE
from wsolbench.training.trained import load_trained, read_trained, run_of_record


def test_the_maps_of_the_first_class_are_those_that_training_stored(
    predict: Predict, trained: Layout, tmp_path: Path
) -> None:
    split = read_split(trained.prepared(TRACK), "test")
    stored = read_maps(trained.run(KEY) / "maps.npz", "test")
    for item in split.items:
        target = tmp_path / "photographs" / f"{item.id}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((trained.prepared(TRACK) / item.path).read_bytes())
    found = predict(tmp_path / "photographs", threshold=0.5)
    out = tmp_path / "out" / KEY
    assert (found.folder, found.count, found.skipped) == (out, len(split), ())
    rows = {row["id"]: row for row in lines(out)}
    listed = dict(line.split(",", 1) for line in (out / "classes.txt").read_text().splitlines())
    logits = torch.from_numpy(stored.top5_logits)  # of all three classes
    right = 0
    for k, item in enumerate(split.items):
        row = rows[f"{item.id}.png"]
        assert int(row["class"]) == stored.top5[k, 0]
        assert row["name"] == split.class_names[stored.top5[k, 0]]
        assert float(row["probability"]) == pytest.approx(float(logits[k].softmax(0)[0]), abs=1e-4)
        assert listed[f"{item.id}.png"] == ",".join(map(str, stored.top5[k]))
        x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
        assert 0 <= x0 < x1 <= item.width
        assert 0 <= y0 < y1 <= item.height
        with Image.open(out / "pictures" / f"{item.id}.png.jpg") as picture:
            assert picture.size == (320, 320)  # photographs of 48 pixels are too small to write on
        if stored.top5[k, 0] == item.label:
            right += 1
            np.testing.assert_allclose(np.load(out / "maps" / f"{item.id}.png.npy"), stored.maps[k], atol=1e-5)
    assert right


def test_the_score_of_a_box_is_the_mean_of_the_map_inside_it(predict: Predict, tmp_path: Path) -> None:
    photograph = noise(tmp_path / "a.png", (224, 224))  # as large as the protocol's grid
    out = predict(photograph, threshold=0.6, all_boxes=True).folder
    score_map = upsample_and_normalise(np.load(out / "maps" / "a.png.npy"), 224, 224)
    areas = []
    for row in lines(out):
        x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
        assert float(row["score"]) == pytest.approx(score_map[y0:y1, x0:x1].mean(), abs=1e-4)
        areas.append((x1 - x0) * (y1 - y0))
        inside = np.zeros((224, 224), bool)
        inside[y0:y1, x0:x1] = True
        assert (score_map[inside] >= 0.6).any()
    alone = predict(photograph, threshold=0.6)
    assert [row["x0"] for row in lines(alone.folder)] == [lines(out)[0]["x0"]]


def test_threshold_is_the_one_that_val_chose_and_a_run_without_metrics_says_so(
    copied: Layout, tiny_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photograph = noise(tmp_path / "one.png")

    def threshold() -> tuple[float, str]:
        caplog.clear()
        caplog.set_level("INFO")
        out = predicted(tiny_settings, copied, tmp_path / "out", photograph).folder
        said = json.loads((out / ABOUT_FILE).read_text())["threshold"]
        return said["box"], said["from"]

    assert threshold() == (0.2, "fixed")
    assert f"wsolbench evaluate {KEY}" in caplog.text
    metrics = copied.metrics(TRACK, KEY)
    metrics.parent.mkdir(parents=True)
    numbers: dict[str, Any] = {"max_box_acc": 50.0, "pixel": {"threshold": {"val": 0.91}}}
    numbers |= {"p_iou_threshold": {"fixed": None, "val": None}}
    metrics.write_text(json.dumps(numbers))
    assert threshold() == (0.91, "val")
    assert "threshold 0.91 (chosen on val for protocol pixel)\n" in caplog.text
    metrics.write_text(json.dumps(numbers | {"pixel": {"threshold": {"val": None}}}))
    assert threshold() == (0.2, "fixed")
    assert "no val split" in caplog.text
    metrics.write_text("{")
    with pytest.raises(DataError, match=f"{KEY}.json is damaged"):
        threshold()


def test_metrics_as_evaluate_writes_them_are_read(copied: Layout, prepared: Layout, tiny_settings: Settings) -> None:
    (copied.root / "data").symlink_to(prepared.root / "data")
    evaluate_key(tiny_settings, KEY, copied, 1)
    stored = json.loads(copied.metrics(TRACK, KEY).read_text())
    found = predicted(tiny_settings, copied, copied.root / "out", noise(copied.root / "a.png"), masks=True).folder
    said = json.loads((found / ABOUT_FILE).read_text())["threshold"]
    assert (said["box"], said["from"]) == (stored["pixel"]["threshold"]["val"], "val")
    assert said["mask"] == stored["p_iou_threshold"]["val"]


def test_a_run_on_masks_only_takes_their_threshold_and_writes_masks(
    copied: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    metrics = copied.metrics(TRACK, KEY)
    metrics.parent.mkdir(parents=True)
    numbers = {
        "max_box_acc": None,
        "pixel": {"threshold": {"val": None}},
        "p_iou_threshold": {"fixed": 0.2, "val": 0.4},
    }
    metrics.write_text(json.dumps(numbers))
    found = predicted(tiny_settings, copied, tmp_path / "out", noise(tmp_path / "a.png", (224, 224)))
    assert found.kinds == ("predictions.csv", "maps", "pictures", "masks")
    score_map = upsample_and_normalise(np.load(found.folder / "maps" / "a.png.npy"), 224, 224)
    with Image.open(found.folder / "masks" / "a.png") as mask:
        assert np.array_equal(np.asarray(mask) == 255, score_map.astype(np.float32) >= np.float32(0.4))
    (row,) = lines(found.folder)
    columns = np.flatnonzero((score_map >= 0.4).any(0))
    assert int(row["x0"]) >= columns[0]
    assert int(row["x1"]) <= columns[-1] + 1


def test_another_class_is_localized_where_asked(predict: Predict, trained: Layout, tmp_path: Path) -> None:
    photograph, names = noise(tmp_path / "a.png"), read_trained(trained, KEY)["class_names"]
    maps, listed = [], set()
    for asked in (*names, "1"):
        out = predict(photograph, class_name=asked).folder
        (row,) = lines(out)
        assert row["name"] == (names[1] if asked == "1" else asked)
        maps.append(np.load(out / "maps" / "a.png.npy"))
        listed.add((out / "classes.txt").read_text())
    assert len(listed) == 1  # what is predicted stays
    assert np.array_equal(maps[1], maps[3])
    assert not np.array_equal(maps[0], maps[1])
    rows = [lines(predict(photograph, class_name=str(label)).folder)[0] for label in range(3)]
    assert sum(float(row["probability"]) for row in rows) == pytest.approx(1, abs=2e-4)
    with pytest.raises(SettingsError, match="no class 'nothing'"):
        predict(photograph, class_name="nothing")


def test_tables_hold_the_same_in_all_formats(predict: Predict, tmp_path: Path) -> None:
    noise(tmp_path / "photographs" / "a.png", (50, 40))
    noise(tmp_path / "photographs" / "b" / "c.png", (40, 30), 1)
    options = {"threshold": 0.6, "formats": ["csv", "json", "coco"], "masks": True}
    out = predict(tmp_path / "photographs", **options).folder
    rows, entries = lines(out), json.loads((out / "predictions.json").read_text())
    stored = json.loads((out / "coco.json").read_text())
    names = {each["id"]: each["name"] for each in stored["categories"]}
    assert list(names) == [1, 2, 3]
    for row, entry, image, annotation in zip(rows, entries, stored["images"], stored["annotations"], strict=True):
        assert row["id"] == entry["id"] == image["file_name"]
        assert (entry["width"], entry["height"]) == (image["width"], image["height"])
        x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
        assert entry["boxes"][0]["box"] == [x0, y0, x1, y1]
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
        assert annotation["image_id"] == image["id"]
        assert row["name"] == entry["class"]["name"] == names[annotation["category_id"]]
        assert float(row["score"]) == pytest.approx(annotation["score"], abs=1e-4)
        assert float(row["probability"]) == pytest.approx(annotation["probability"], abs=1e-4)
        with Image.open(out / "masks" / row["id"]) as mask:
            pixels = np.asarray(mask) > 0
        assert annotation["segmentation"]["size"] == list(pixels.shape)
        counts, (height, width) = annotation["segmentation"]["counts"], pixels.shape
        assert np.array_equal(decode(f"rle:{height}:{width}:{counts}"), pixels)
        assert annotation["area"] == pixels.sum()


def test_a_run_is_read_back_as_it_was_trained(trained: Layout, tiny_settings: Settings) -> None:
    assert run_of_record(read_trained(trained, KEY)) == tiny_settings.resolve(KEY)


@pytest.mark.parametrize("name", ["run.yaml", "checkpoint.safetensors"])
def test_what_is_missing_or_damaged_is_named(copied: Layout, name: str) -> None:
    def load() -> None:
        load_trained(read_trained(copied, KEY), copied, torch.device("cpu"))

    path = copied.run(KEY) / name
    content = path.read_bytes()
    for place in (0, len(content) // 2, len(content) - 2):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DataError, match=f"{name} is damaged"):
            load()
    path.unlink()
    with pytest.raises(DataError, match=rf"{name} is missing.*dvc pull"):
        load()
    path.write_bytes(content)
    load()


def test_a_checkpoint_of_another_method_is_refused(trained: Layout) -> None:
    record = read_trained(trained, KEY)
    record["class_names"] = ["only", "two"]
    with pytest.raises(DataError, match=r"checkpoint\.safetensors does not fit method 'adl' as it is now"):
        load_trained(record, trained, torch.device("cpu"))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f"{TRACK}-random_box-0", "is a baseline"),
        (f"{TRACK}-mask_supervised-0", "is a baseline"),
        (f"{TRACK}-random_bx-0", "did you mean 'random_box'"),
        (f"{TRACK}-camm-0", "did you mean 'cam'"),
        (f"{TRACK}x-cam-0", f"did you mean '{TRACK}'"),
        (f"{TRACK}-cam", "<track>-<method>-<seed>"),
    ],
)
def test_a_key_of_no_training_says_what_was_meant(
    copied: Layout, tiny_settings: Settings, tmp_path: Path, key: str, expected: str
) -> None:
    photograph = noise(tmp_path / "a.png")
    with pytest.raises(SettingsError) as caught:
        module.predict(tiny_settings, key, [photograph], tmp_path / "out", copied)
    assert expected in str(caught.value)


def test_a_run_that_is_not_trained_is_to_be_trained(copied: Layout, tiny_settings: Settings, tmp_path: Path) -> None:
    key = f"{TRACK}-cam-0"
    with pytest.raises(DataError, match=rf"'{key}' is not trained; train it .*wsolbench train {key}"):
        module.predict(tiny_settings, key, [noise(tmp_path / "a.png")], tmp_path / "out", copied)
