"""Photographs of anybody's, by a trained run."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.training.conftest import TRACK
from wsolbench import read_predictions
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.images import read_image
from wsolbench.data.index import read_split
from wsolbench.data.scoremaps import read_maps
from wsolbench.errors import DataError
from wsolbench.tools.predict import find_images, photographs, predict
from wsolbench.training.trained import load_trained, read_trained, run_of_record
from wsolbench.training.trainer import train

KEY = f"{TRACK}-adl-0"


@pytest.fixture
def trained(layout: Layout, tiny_settings: Settings) -> Layout:
    train(tiny_settings.resolve(KEY), tiny_settings, layout)
    return layout


def test_the_maps_of_the_first_class_are_those_that_training_stored(
    trained: Layout, tiny_settings: Settings, tmp_path: Path
) -> None:
    split = read_split(trained.prepared(TRACK), "test")
    stored = read_maps(trained.run(KEY) / "maps.npz", "test")
    photographs = tmp_path / "photographs"
    for item in split.items:
        target = photographs / f"{item.id}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((trained.prepared(TRACK) / item.path).read_bytes())
    out = tmp_path / "out"
    assert predict(tiny_settings, KEY, [photographs], out, trained, 0.5) == len(split)
    with (out / "predictions.csv").open() as stream:
        rows = {row["id"]: row for row in csv.DictReader(stream)}
    listed = dict(line.split(",", 1) for line in (out / "classes.txt").read_text().splitlines())
    right = 0
    for k, item in enumerate(split.items):
        row = rows[f"{item.id}.png"]
        assert int(row["class"]) == stored.top5[k, 0]
        assert row["name"] == split.class_names[stored.top5[k, 0]]
        assert listed[f"{item.id}.png"] == ",".join(map(str, stored.top5[k]))
        x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
        assert 0 <= x0 < x1 <= item.width
        assert 0 <= y0 < y1 <= item.height
        with Image.open(out / "pictures" / f"{item.id}.png.jpg") as picture:
            assert picture.size == (item.width, item.height)
        if stored.top5[k, 0] == item.label:
            right += 1
            np.testing.assert_allclose(np.load(out / "maps" / f"{item.id}.png.npy"), stored.maps[k], atol=1e-5)
    assert right


def test_the_threshold_is_the_one_that_val_chose(trained: Layout, tiny_settings: Settings, tmp_path: Path) -> None:
    photograph = tmp_path / "one.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 40, 3), np.uint8)).save(photograph)

    def boxes() -> str:
        predict(tiny_settings, KEY, [photograph], tmp_path / "out", trained, None)
        return (tmp_path / "out" / "predictions.csv").read_text()

    fixed = boxes()
    metrics = trained.metrics(TRACK, KEY)
    metrics.parent.mkdir(parents=True)
    metrics.write_text(json.dumps({"pixel": {"threshold": {"val": 0.99}}}))
    assert boxes() != fixed
    metrics.write_text(json.dumps({"pixel": {"threshold": {"val": None}}}))
    assert boxes() == fixed


def test_any_name_of_a_photograph_can_be_read_back(trained: Layout, tiny_settings: Settings, tmp_path: Path) -> None:
    names = ["=1+1.png", "a,b.png", 'c"d.png']
    photographs, out = tmp_path / "photographs", tmp_path / "out"
    photographs.mkdir()
    for name in names:
        Image.new("RGB", (40, 40)).save(photographs / name)
    predict(tiny_settings, KEY, [photographs], out, trained, 0.5)
    assert sorted(read_predictions(out / "classes.txt")) == names
    assert {path.name for path in (out / "maps").iterdir()} == {f"{name}.npy" for name in names}
    with (out / "predictions.csv").open() as stream:
        assert [row["id"] for row in csv.DictReader(stream)] == ["'=1+1.png", *names[1:]]


def test_a_run_is_read_back_as_it_was_trained(trained: Layout, tiny_settings: Settings) -> None:
    assert run_of_record(read_trained(trained, KEY)) == tiny_settings.resolve(KEY)


@pytest.mark.parametrize("name", ["run.yaml", "checkpoint.safetensors"])
def test_what_is_missing_or_damaged_is_named(trained: Layout, name: str) -> None:
    def load() -> None:
        load_trained(read_trained(trained, KEY), trained, torch.device("cpu"))

    path = trained.run(KEY) / name
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


def test_images_are_found_in_files_and_folders_each_once(tmp_path: Path) -> None:
    for name in ("a/b/1.JPG", "a/2.png", "a/notes.txt", "c/3.jpeg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert find_images([tmp_path / "a"]) == (tmp_path / "a", ["2.png", "b/1.JPG"])
    assert find_images([tmp_path / "a" / "b"]) == (tmp_path / "a" / "b", ["1.JPG"])
    both = find_images([tmp_path / "a", tmp_path / "c" / "3.jpeg", tmp_path / "a" / "2.png"])
    assert both == (tmp_path, ["a/2.png", "a/b/1.JPG", "c/3.jpeg"])
    with pytest.raises(DataError, match="does not exist"):
        find_images([tmp_path / "nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no images"):
        find_images([tmp_path / "empty"])


def test_links_are_followed_and_keep_their_names(tmp_path: Path) -> None:
    for name in ("elsewhere/far/1.png", "elsewhere/2.png", "here/3.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "here" / "folder").symlink_to(tmp_path / "elsewhere" / "far")
    (tmp_path / "here" / "photograph.png").symlink_to(tmp_path / "elsewhere" / "2.png")
    (tmp_path / "here" / "folder" / "above").symlink_to(tmp_path / "here")
    expected = ["3.png", "folder/1.png", "photograph.png"]
    assert find_images([tmp_path / "here"]) == (tmp_path / "here", expected)
    assert find_images([tmp_path / "here" / "photograph.png"]) == (tmp_path / "here", ["photograph.png"])


def test_a_name_that_could_not_be_written_into_the_table_is_named_first(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xe4.png")).write_bytes(b"")
    with pytest.raises(DataError, match=r"1 file names are not UTF-8 \('\\udce4\.png'\)"):
        find_images([tmp_path])


@pytest.mark.parametrize(("displayed", "size"), [(True, (20, 30)), (False, (30, 20))])
def test_photographs_are_turned_as_those_that_the_run_trained_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, displayed: bool, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    (item,) = photographs(tmp_path, ["a.jpg"], displayed=displayed)
    assert (item.width, item.height) == size
    assert read_image(tmp_path / "a.jpg", item).shape[:2] == size[::-1]
    assert ("are turned, as viewers display them" in caplog.text, len(caplog.records)) == (displayed, 1)


def test_a_file_that_is_no_image_is_named(trained: Layout, tiny_settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        predict(tiny_settings, KEY, [tmp_path / "broken.png"], tmp_path / "out", trained, None)
    assert not (tmp_path / "out" / "predictions.csv").exists()
