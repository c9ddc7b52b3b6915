"""Photographs of anybody's, by a trained run."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.conftest import TRACK
from wsolbench import read_predictions
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import read_maps, upsample_and_normalise
from wsolbench.errors import DataError, SettingsError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.runs import machine, progress
from wsolbench.tools import predict as module
from wsolbench.tools.predict import Predicted, PredictOptions
from wsolbench.tools.predict_input import ABOUT_FILE, find_photographs
from wsolbench.training.trained import load_trained, read_trained, run_of_record
from wsolbench.training.trainer import train

KEY = f"{TRACK}-adl-0"


@pytest.fixture(scope="module")
def trained(prepared: Layout, tiny_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    root = tmp_path_factory.mktemp("trained")
    (root / "data").symlink_to(prepared.root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "has_native_bf16", lambda: True)  # emulated: its numbers are tested, not its speed
        train(tiny_settings.resolve(KEY), tiny_settings, Layout(root))
    return Layout(root)


@pytest.fixture
def copied(trained: Layout, tmp_path: Path) -> Layout:
    """The run alone, which a test may change."""
    root = tmp_path / "copied"
    shutil.copytree(trained.run(KEY), Layout(root).run(KEY))
    return Layout(root)


def predicted(settings: Settings, layout: Layout, out: Path, *sources: Path, **options: Any) -> Predicted:
    return module.predict(settings, KEY, sources, out, layout, PredictOptions(**options))


def noise(path: Path, size: tuple[int, int] = (60, 40), seed: int = 0, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)).save(path, **how)
    return path


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as stream:
        return list(csv.DictReader(stream))


def test_the_maps_of_the_first_class_are_those_that_training_stored(
    trained: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    split = read_split(trained.prepared(TRACK), "test")
    stored = read_maps(trained.run(KEY) / "maps.npz", "test")
    for item in split.items:
        target = tmp_path / "photographs" / f"{item.id}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((trained.prepared(TRACK) / item.path).read_bytes())
    found = predicted(tiny_settings, trained, tmp_path / "out", tmp_path / "photographs", threshold=0.5)
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


def test_the_score_of_a_box_is_the_mean_of_the_map_inside_it(
    trained: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    photograph = noise(tmp_path / "a.png", (224, 224))  # as large as the protocol's grid
    out = predicted(tiny_settings, trained, tmp_path / "out", photograph, threshold=0.6, all_boxes=True).folder
    score_map = upsample_and_normalise(np.load(out / "maps" / "a.png.npy"), 224, 224)
    areas = []
    for row in lines(out):
        x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
        assert float(row["score"]) == pytest.approx(score_map[y0:y1, x0:x1].mean(), abs=1e-4)
        areas.append((x1 - x0) * (y1 - y0))
        inside = np.zeros((224, 224), bool)
        inside[y0:y1, x0:x1] = True
        assert (score_map[inside] >= 0.6).any()
    alone = predicted(tiny_settings, trained, tmp_path / "out", photograph, threshold=0.6)
    assert [row["x0"] for row in lines(alone.folder)] == [lines(out)[0]["x0"]]


def test_threshold_is_the_one_that_val_chose_and_a_run_without_metrics_says_so(
    copied: Layout, tiny_settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photograph = noise(tmp_path / "one.png")

    def threshold() -> tuple[float, str]:
        caplog.clear()
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
    with Image.open(found.folder / "masks" / "a.png.png") as mask:
        assert np.array_equal(np.asarray(mask) == 255, score_map.astype(np.float32) >= np.float32(0.4))
    (row,) = lines(found.folder)
    columns = np.flatnonzero((score_map >= 0.4).any(0))
    assert int(row["x0"]) >= columns[0]
    assert int(row["x1"]) <= columns[-1] + 1


def test_another_class_is_localized_where_asked(trained: Layout, tiny_settings: Settings, tmp_path: Path) -> None:
    photograph, names = noise(tmp_path / "a.png"), read_trained(trained, KEY)["class_names"]
    maps, listed = [], set()
    for asked in (*names, "1"):
        out = predicted(tiny_settings, trained, tmp_path / "out", photograph, class_name=asked).folder
        (row,) = lines(out)
        assert row["name"] == (names[1] if asked == "1" else asked)
        maps.append(np.load(out / "maps" / "a.png.npy"))
        listed.add((out / "classes.txt").read_text())
    assert len(listed) == 1  # what is predicted stays
    assert np.array_equal(maps[1], maps[3])
    assert not np.array_equal(maps[0], maps[1])
    assert sum(float(predicted_row) for predicted_row in _probabilities(tiny_settings, trained, tmp_path)) == (
        pytest.approx(1, abs=2e-4)
    )
    with pytest.raises(SettingsError, match="no class 'nothing'"):
        predicted(tiny_settings, trained, tmp_path / "out", photograph, class_name="nothing")


def _probabilities(settings: Settings, layout: Layout, folder: Path) -> list[str]:
    found = []
    for label in range(3):
        out = predicted(settings, layout, folder / "out", folder / "a.png", class_name=str(label)).folder
        found += [row["probability"] for row in lines(out)]
    return found


def test_runs_do_not_mix_and_one_replaces_its_own_results(
    trained: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    noise(out / "mine.png")  # whatever else is there stays
    first = predicted(tiny_settings, trained, out, noise(tmp_path / "a.png"), threshold=0.5)
    second = predicted(tiny_settings, trained, out, noise(tmp_path / "b.png"), threshold=0.5)
    assert first.folder == second.folder == out / KEY
    assert [row["id"] for row in lines(out / KEY)] == ["b.png"]
    assert [path.name for path in (out / KEY / "maps").iterdir()] == ["b.png.npy"]
    assert sorted(path.name for path in out.iterdir()) == ["mine.png", KEY]


def test_progress_counts_images_at_a_rate_above_zero(
    trained: Layout, tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0)
    for k in range(3):
        noise(tmp_path / "photographs" / f"{k}.png")
    (tmp_path / "photographs" / "3.png").touch()
    predicted(tiny_settings, trained, tmp_path / "out", tmp_path / "photographs", threshold=0.5)
    shown = re.findall(r"predicting: (\d)/4 images, (\S+)/s", capsys.readouterr().err)
    assert [done for done, _ in shown][-1:] == ["4"]  # with the one that could not be read
    assert all(float(rate) > 0 for _, rate in shown)


def test_predictions_are_no_photographs(trained: Layout, tiny_settings: Settings, tmp_path: Path) -> None:
    noise(tmp_path / "a.png")
    for _ in range(2):
        found = predicted(tiny_settings, trained, tmp_path / "out", tmp_path, threshold=0.5, masks=True)
        assert [row["id"] for row in lines(found.folder)] == ["a.png"]


def test_what_predictions_did_not_write_is_never_replaced(
    trained: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    thesis = tmp_path / "out" / KEY / "thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    with pytest.raises(DataError, match="other files than predictions"):
        predicted(tiny_settings, trained, tmp_path / "out", noise(tmp_path / "a.png"))
    assert thesis.read_text() == "years of work"


def test_a_failure_leaves_the_earlier_results(
    trained: Layout, tiny_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = predicted(tiny_settings, trained, tmp_path / "out", noise(tmp_path / "a.png"), threshold=0.5).folder
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_save", full)
    with pytest.raises(DataError, match=r"cannot be written \(No space left"):
        predicted(tiny_settings, trained, tmp_path / "out", noise(tmp_path / "b.png"), threshold=0.5)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in out.parent.iterdir()] == [KEY]


def test_what_cannot_be_read_is_named_at_the_end_and_the_rest_is_written(
    trained: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    photographs = tmp_path / "photographs"
    whole = noise(photographs / "whole.png").read_bytes()
    noise(photographs / "last.jpg")
    (photographs / "cut.png").write_bytes(whole[:-500])
    (photographs / "none.png").write_bytes(b"no image")
    (photographs / "empty.jpg").touch()
    Image.new("1", (20000, 20000)).save(photographs / "huge.png")
    Image.new("RGB", (30, 30)).save(photographs / "drawing.jpg", "EPS")
    os.mkfifo(photographs / "pipe.png")
    (photographs / "itself.png").symlink_to("itself.png")
    (photographs / "nowhere.png").symlink_to("missing.png")
    (photographs / os.fsdecode(b"\xe4.png")).write_bytes(whole)
    noise(photographs / f"{'n' * 249}.png")
    found = predicted(tiny_settings, trained, tmp_path / "out", photographs, threshold=0.5)
    assert [row["id"] for row in lines(found.folder)] == ["last.jpg", "whole.png"]
    bad = ("cut.png", "none.png", "empty.jpg", "huge.png", "drawing.jpg", "pipe.png", "itself.png", "nowhere.png")
    for name in (*bad, "udce4.png", "nnn.png"):
        (sentence,) = [each for each in found.skipped if name in each]
        assert "\n" not in sentence
    assert len(found.skipped) == found.count + 8
    assert json.loads((found.folder / ABOUT_FILE).read_text())["left_out"] == list(found.skipped)


def test_without_a_single_photograph_nothing_is_written(
    trained: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        predicted(tiny_settings, trained, tmp_path / "out", tmp_path / "broken.png")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("size", [(70_000, 10), (10, 70_000), (1, 1), (3000, 2)])
def test_photographs_of_any_shape_are_drawn(
    trained: Layout, tiny_settings: Settings, tmp_path: Path, size: tuple[int, int]
) -> None:
    Image.new("RGB", size, "grey").save(tmp_path / "a.png")
    noise(tmp_path / "b.png")
    found = predicted(tiny_settings, trained, tmp_path / "out", tmp_path / "a.png", threshold=0, masks=True)
    with Image.open(found.folder / "masks" / "a.png.png") as mask:
        assert mask.size == size
    with Image.open(found.folder / "pictures" / "a.png.jpg") as picture:
        assert 320 <= max(picture.size) <= 2048
    (row,) = lines(found.folder)
    if row["x0"]:
        assert 0 <= int(row["x0"]) < int(row["x1"]) <= size[0]
        assert 0 <= int(row["y0"]) < int(row["y1"]) <= size[1]


def test_photographs_are_turned_as_viewers_display_them(
    trained: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = noise(tmp_path / "lying.png", (60, 40), exif=exif)
    with Image.open(lying) as stored:
        stored.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png", exif=Image.Exif())
    sources = [lying, tmp_path / "upright.png"]
    out = predicted(tiny_settings, trained, tmp_path / "out", *sources, threshold=0.5, formats=["json"]).folder
    one, other = json.loads((out / "predictions.json").read_text())
    assert one.pop("id") != other.pop("id")
    assert one == other
    assert (one["width"], one["height"]) == (40, 60)


def test_tables_hold_the_same_in_all_formats(trained: Layout, tiny_settings: Settings, tmp_path: Path) -> None:
    noise(tmp_path / "photographs" / "a.png", (50, 40))
    noise(tmp_path / "photographs" / "b" / "c.png", (40, 30), 1)
    options = {"threshold": 0.6, "formats": ["csv", "json", "coco"], "masks": True}
    out = predicted(tiny_settings, trained, tmp_path / "out", tmp_path / "photographs", **options).folder
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
        with Image.open(out / "masks" / f"{row['id']}.png") as mask:
            pixels = np.asarray(mask) > 0
        assert annotation["segmentation"]["size"] == list(pixels.shape)
        lengths = annotation["segmentation"]["counts"]
        values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
        assert np.array_equal(values.reshape(pixels.shape, order="F"), pixels)
        assert annotation["area"] == pixels.sum()


def test_any_name_of_a_photograph_can_be_read_back(trained: Layout, tiny_settings: Settings, tmp_path: Path) -> None:
    names = ["=1+1.png", "a,b.png", 'c"d.png']
    for name in names:
        noise(tmp_path / "photographs" / name)
    out = predicted(tiny_settings, trained, tmp_path / "out", tmp_path / "photographs", threshold=0.5).folder
    assert sorted(read_predictions(out / "classes.txt")) == names
    assert {path.name for path in (out / "maps").iterdir()} == {f"{name}.npy" for name in names}
    assert [row["id"] for row in lines(out)] == ["'=1+1.png", *names[1:]]


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


def _found(sources: list[Path]) -> tuple[Path, list[str]]:
    root, names, skipped = find_photographs(sources)
    assert skipped == []
    return root, names


def test_images_are_found_in_files_and_folders_each_once(tmp_path: Path) -> None:
    for name in ("a/b/1.JPG", "a/2.png", "a/notes.txt", "c/3.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert _found([tmp_path / "a"]) == (tmp_path / "a", ["2.png", "b/1.JPG"])
    assert _found([tmp_path / "a" / "b"]) == (tmp_path / "a" / "b", ["1.JPG"])
    both = _found([tmp_path / "a", tmp_path / "c" / "3.jpeg", tmp_path / "a" / "2.png"])
    assert both == (tmp_path, ["a/2.png", "a/b/1.JPG", "c/3.jpeg"])
    with pytest.raises(DataError, match="does not exist"):
        _found([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        _found([tmp_path / "empty"])


def test_links_are_followed_and_keep_their_names(tmp_path: Path) -> None:
    for name in ("elsewhere/far/1.png", "elsewhere/2.png", "here/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "here" / "folder").symlink_to(tmp_path / "elsewhere" / "far")
    (tmp_path / "here" / "photograph.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    (tmp_path / "here" / "folder" / "above").symlink_to(tmp_path / "here")
    (tmp_path / "here" / "up").symlink_to("..")
    expected = ["3.png", "folder/1.png", "photograph.png"]
    assert _found([tmp_path / "here"]) == (tmp_path / "here", expected)
    assert _found([tmp_path / "here" / "photograph.png"]) == (tmp_path / "here", ["photograph.png"])
