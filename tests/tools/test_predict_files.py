"""Which photographs are predicted, and where the results go."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest
import typer
from PIL import Image

from tests.tools.predicting import KEY, Predict, lines, noise
from wsolbench import read_predictions
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.errors import DataError, SettingsError
from wsolbench.runs import progress
from wsolbench.tools import commands
from wsolbench.tools import predict as module
from wsolbench.tools.photographs import ABOUT_FILE, find_photographs


def test_runs_do_not_mix_and_one_replaces_its_own_results(predict: Predict, tmp_path: Path) -> None:
    out = tmp_path / "out"
    noise(out / "mine.png")  # whatever else is there stays
    first = predict(noise(tmp_path / "a.png"), threshold=0.5)
    second = predict(noise(tmp_path / "b.png"), threshold=0.5)
    assert first.folder == second.folder == out / KEY
    assert [row["id"] for row in lines(out / KEY)] == ["b.png"]
    assert [path.name for path in (out / KEY / "maps").iterdir()] == ["b.png.npy"]
    assert sorted(path.name for path in out.iterdir()) == ["mine.png", KEY]


def test_progress_counts_images_at_a_rate_above_zero(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0)
    for k in range(3):
        noise(tmp_path / "photographs" / f"{k}.png")
    (tmp_path / "photographs" / "3.png").touch()
    predict(tmp_path / "photographs", threshold=0.5)
    shown = re.findall(r"predicting: (\d)/4 images, (\S+)/s", capsys.readouterr().err)
    assert [done for done, _ in shown][-1:] == ["4"]  # with the one that could not be read
    assert all(float(rate) > 0 for _, rate in shown)


def test_predictions_are_no_photographs(predict: Predict, tmp_path: Path) -> None:
    noise(tmp_path / "a.png")
    for _ in range(2):
        found = predict(tmp_path, threshold=0.5, masks=True)
        assert [row["id"] for row in lines(found.folder)] == ["a.png"]


def test_what_predictions_did_not_write_is_never_replaced(predict: Predict, tmp_path: Path) -> None:
    thesis = tmp_path / "out" / KEY / "thesis.tex"
    thesis.parent.mkdir(parents=True)
    thesis.write_text("years of work")
    with pytest.raises(DataError, match="other files than predictions"):
        predict(noise(tmp_path / "a.png"))
    assert thesis.read_text() == "years of work"


def test_a_failure_leaves_the_earlier_results(
    predict: Predict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = predict(noise(tmp_path / "a.png"), threshold=0.5).folder
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "_save", full)
    with pytest.raises(DataError, match=r"cannot be written \(No space left"):
        predict(noise(tmp_path / "b.png"), threshold=0.5)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert [path.name for path in out.parent.iterdir()] == [KEY]


def test_what_cannot_be_read_is_named_at_the_end_and_the_rest_is_written(predict: Predict, tmp_path: Path) -> None:
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
    found = predict(photographs, threshold=0.5)
    assert [row["id"] for row in lines(found.folder)] == ["last.jpg", "whole.png"]
    bad = ("cut.png", "none.png", "empty.jpg", "huge.png", "drawing.jpg", "pipe.png", "itself.png", "nowhere.png")
    for name in (*bad, "udce4.png", "nnn.png"):
        (sentence,) = [each for each in found.skipped if name in each]
        assert "\n" not in sentence
    assert len(found.skipped) == found.count + 8
    assert json.loads((found.folder / ABOUT_FILE).read_text())["left_out"] == list(found.skipped)


def test_without_a_single_photograph_nothing_is_written(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"broken\.png"):
        predict(tmp_path / "broken.png")
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("size", [(70_000, 10), (10, 70_000), (1, 1), (3000, 2)])
def test_photographs_of_any_shape_are_drawn(predict: Predict, tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, "grey").save(tmp_path / "a.png")
    noise(tmp_path / "b.png")
    found = predict(tmp_path / "a.png", threshold=0, masks=True)
    with Image.open(found.folder / "masks" / "a.png") as mask:
        assert mask.size == size
    with Image.open(found.folder / "pictures" / "a.png.jpg") as picture:
        assert 320 <= max(picture.size) <= 2048
    (row,) = lines(found.folder)
    if row["x0"]:
        assert 0 <= int(row["x0"]) < int(row["x1"]) <= size[0]
        assert 0 <= int(row["y0"]) < int(row["y1"]) <= size[1]


def test_photographs_are_turned_as_viewers_display_them(predict: Predict, tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = noise(tmp_path / "lying.png", (60, 40), exif=exif)
    with Image.open(lying) as stored:
        stored.transpose(Image.Transpose.ROTATE_270).save(tmp_path / "upright.png", exif=Image.Exif())
    sources = [lying, tmp_path / "upright.png"]
    out = predict(*sources, threshold=0.5, formats=["json"]).folder
    one, other = json.loads((out / "predictions.json").read_text())
    assert one.pop("id") != other.pop("id")
    assert one == other
    assert (one["width"], one["height"]) == (40, 60)


def test_any_name_of_a_photograph_can_be_read_back(predict: Predict, tmp_path: Path) -> None:
    names = ["=1+1.png", "a,b.png", 'c"d.png']
    for name in names:
        noise(tmp_path / "photographs" / name)
    out = predict(tmp_path / "photographs", threshold=0.5).folder
    assert sorted(read_predictions(out / "classes.txt")) == names
    assert {path.name for path in (out / "maps").iterdir()} == {f"{name}.npy" for name in names}
    assert [row["id"] for row in lines(out)] == ["'=1+1.png", *names[1:]]


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
    with pytest.raises(DataError, match="nowhere does not exist"):
        _found([tmp_path / "nowhere"])
    assert find_photographs([tmp_path / "nowhere", tmp_path / "c"]) == (
        tmp_path / "c",
        ["3.jpeg"],
        [f"{tmp_path / 'nowhere'} does not exist"],
    )
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


def test_all_that_were_found_are_counted_at_the_end_and_those_left_out_told_from_them(
    trained: Layout,
    tiny_settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr(commands, "read_settings", lambda: tiny_settings)
    monkeypatch.chdir(trained.root)
    noise(tmp_path / "in" / "a.png")
    commands.predict([tmp_path / "in"], KEY, tmp_path / "out", threshold=0.6)
    assert capsys.readouterr().out.startswith("1 photograph: predictions.csv")
    assert "1 file with the suffix of an image, threshold 0.6 (--threshold)" in caplog.text
    (tmp_path / "in" / "b.png").write_text("no picture")
    with pytest.raises(typer.Exit):
        commands.predict([tmp_path / "in"], KEY, tmp_path / "out", threshold=0.6)
    said = capsys.readouterr()
    assert said.out.startswith("1 of 2 photographs: predictions.csv")
    assert said.err.startswith("1 was left out:")
    assert "2 files with the suffix of an image" in caplog.text


def test_pictures_and_masks_have_one_suffix_and_never_share_a_name(predict: Predict, tmp_path: Path) -> None:
    for name in ("a.jpg", "b.png", "b.png.jpg", "C.JPG"):
        noise(tmp_path / "in" / name)
    found = predict(tmp_path / "in", threshold=0.5, masks=True).folder
    assert {path.name for path in (found / "pictures").iterdir()} == {"a.jpg", "b.png.of.jpg", "b.png.jpg", "C.JPG"}
    assert {path.name for path in (found / "masks").iterdir()} == {"a.jpg.png", "b.png", "b.png.jpg.png", "C.JPG.png"}


def test_a_run_is_given_by_its_folder_where_there_is_no_repository(
    trained: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained.run(KEY), "mine")
    photograph = noise(tmp_path / "a.png")
    found = module.predict(None, "mine", [photograph], tmp_path / "out", Layout())
    assert (found.folder, found.count) == (tmp_path / "out" / KEY, 1)
    with pytest.raises(SettingsError, match=r"no run 'cam' here.*run\.yaml"):
        module.predict(None, "cam", [photograph], tmp_path / "out", Layout())
