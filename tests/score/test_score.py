"""Anybody's maps: the same numbers as a run's own, and clear errors for whatever does not fit."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import numpy as np
import pandas as pd
import pytest

from tests.evaluation.made_up_run import KEY, TEST, TRACK, VAL, MadeUpRun, Picture, rounded_up, settings
from tests.score.test_lists import listed
from wsolbench import MapsOf, find_maps, read_predictions, score_folder, score_table, write_scores
from wsolbench.config.settings import EvaluateSettings
from wsolbench.data.dataset import Split
from wsolbench.data.index import read_split
from wsolbench.errors import DataError, SettingsError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.tools.score import Folder, Truths, folders_of, run_score


def split_of(run: MadeUpRun, name: str = "test") -> Split:
    return read_split(run.layout.prepared(TRACK), name)  # type: ignore[arg-type]


def write(folder: Path, name: str, array: np.ndarray) -> Path:
    path = folder / f"{name}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, array)
    return path


def write_maps(folder: Path, split: str, pictures: tuple[Picture, ...]) -> Path:
    for k, picture in enumerate(pictures):
        write(folder, f"{split}{k}", picture.raw)
    return folder


def asked(run: MadeUpRun, maps: Path) -> MapsOf:
    return MapsOf(maps, split_of(run))


def test_the_numbers_are_those_of_a_run_with_the_same_maps(run: MadeUpRun, maps: Path, tmp_path: Path) -> None:
    evaluate_key(settings(), KEY, run.layout, 1)
    val = MapsOf(write_maps(tmp_path / "val", "val", VAL), split_of(run, "val"))
    guesses = {f"test{k}": picture.guesses for k, picture in enumerate(TEST)}
    found = score_folder(asked(run, maps), val=val, predictions=guesses, jobs=1)
    expected = run.metrics()
    assert found.numbers == {name: expected[name] for name in found.numbers}
    rows = pd.read_parquet(run.layout.per_image(TRACK, KEY))
    shares = found.per_image.select_dtypes("float64").map(rounded_up).astype("float32")
    pd.testing.assert_frame_equal(found.per_image.assign(**shares), rows, check_exact=True)
    pd.testing.assert_frame_equal(found.curves.reset_index(drop=True), pd.read_csv(run.layout.curves(TRACK, KEY)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_type_and_scale_do_not_matter(run: MadeUpRun, tmp_path: Path, dtype: type) -> None:
    for k, picture in enumerate(TEST):
        write(tmp_path / "maps", f"test{k}", (picture.raw * 200).astype(dtype))
    found = score_folder(asked(run, tmp_path / "maps"), jobs=1).numbers
    assert (found["max_box_acc"], found["gt_known"]["fixed"]) == (60, 40)


def test_a_map_may_have_any_size(run: MadeUpRun, maps: Path) -> None:
    write(maps, "test2", np.pad(np.ones((2, 3), np.float32), 2))
    assert score_folder(asked(run, maps), jobs=1).numbers["max_box_acc"] == 60


def test_maps_are_scored_as_they_are_only_if_asked(run: MadeUpRun, maps: Path) -> None:
    write(maps, "test1", TEST[1].raw * 0.5 + 0.25)  # min-max brings it to 0 .. 1; as it is, nothing is below 0.25
    assert score_folder(asked(run, maps), jobs=1).numbers["gt_known"]["fixed"] == 40
    as_it_is = score_folder(asked(run, maps), jobs=1, as_they_are=True).per_image
    assert as_it_is["iou_fixed"].tolist()[1] < 0.25
    write(maps, "test1", np.ones((7, 7)))
    with pytest.raises(DataError, match=r"test1\.npy \(image 'test1'\): to be scored as it is, a map must be 224x224"):
        score_folder(asked(run, maps), jobs=1, as_they_are=True)


def test_names_are_those_of_the_reference_harness_or_of_its_readme(tmp_path: Path) -> None:
    split = listed(tmp_path, ["a/b.jpg", "a/c.d.jpg"], ["0,0,9,9", "0,0,9,9"])
    folder = tmp_path / "maps"
    write(folder, "a/b.jpg", np.eye(3))
    np.savez(folder / "a" / "c.d.npz", np.eye(4))
    assert [file.path.name for file in find_maps(folder, split)] == ["b.jpg.npy", "c.d.npz"]
    write(folder, "a/b", np.eye(3))
    with pytest.raises(DataError, match=r"1 images have more than one map.*a/b\.jpg\.npy and a/b\.npy"):
        find_maps(folder, split)


def test_two_images_do_not_share_a_map(tmp_path: Path) -> None:
    split = listed(tmp_path, ["c0/a.jpg", "c0/a.png"], ["0,0,9,9", "0,0,9,9"])
    write(tmp_path / "maps", "c0/a", np.eye(3))
    with pytest.raises(DataError, match=r"1 maps would be those of two images.*c0/a\.npy of c0/a\.jpg and c0/a\.png"):
        find_maps(tmp_path / "maps", split)


def test_maps_may_be_linked_in_upper_case_and_have_one_channel(tmp_path: Path) -> None:
    names = [f"{folder}/{n}.jpg" for folder in ("a", "b") for n in range(2)]
    split, random = listed(tmp_path, names, ["0,0,9,9"] * 4), np.random.default_rng(0).random((4, 5, 6))
    kept = [random[0], random[1, None], np.asfortranarray(random[2, ..., None]), random[3]]
    for name, array in zip(names, kept, strict=True):
        path = write(tmp_path / "elsewhere", name, array)
        path.rename(path.with_suffix(".NPY"))
    (tmp_path / "maps").mkdir()
    for folder in ("a", "b"):
        (tmp_path / "maps" / folder).symlink_to(tmp_path / "elsewhere" / folder)
    (tmp_path / "maps" / "b" / "above").symlink_to(tmp_path / "maps")
    found = find_maps(tmp_path / "maps", split)
    assert all(np.array_equal(file.read(), expected) for file, expected in zip(found, random, strict=True))


def test_missing_and_extra_maps_are_named(run: MadeUpRun, maps: Path) -> None:
    write(maps, "test9", np.eye(3))
    with pytest.raises(DataError, match=r"1 file is of no image of split 'test': test9\.npy"):
        score_folder(asked(run, maps), jobs=1)
    (maps / "test3.npy").unlink()
    with pytest.raises(DataError, match=r"1 of 5 images of split 'test' have no map.*'test3\.npy'"):
        score_folder(asked(run, maps), jobs=1)
    with pytest.raises(DataError, match="does not exist; give a directory of maps"):
        score_folder(asked(run, maps / "nowhere"), jobs=1)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def objects(path: Path) -> None:
    np.save(path, np.array([{}], object), allow_pickle=True)


def two_arrays(path: Path) -> None:
    with path.open("wb") as stream:
        np.savez(stream, np.eye(3), np.eye(3))


def announced(shape: tuple[int, int]) -> bytes:
    stream = BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return stream.getvalue() + bytes(64)


def zipped(path: Path) -> None:
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        archive.writestr("map.npy", announced((15000, 15000)) + bytes(9 * 10**5))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (truncated, "cannot be read"),
        (objects, "cannot be read"),
        (two_arrays, "holds 2 arrays"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: np.save(path, np.full((4, 4), np.nan)), "holds a NaN or an infinite value"),
        (lambda path: np.save(path, np.array([[0, -np.inf]])), "holds a NaN or an infinite value"),
        (lambda path: np.save(path, np.zeros((2, 4, 4))), r"must be two-dimensional .* not of shape \(2, 4, 4\)"),
        (lambda path: np.save(path, np.zeros((1, 4, 1))), r"must be two-dimensional .* not of shape \(1, 4, 1\)"),
        (lambda path: path.write_bytes(announced((15000, 15000))), "too large for a map"),
        (lambda path: path.write_bytes(announced((10**6, 10**6))), "too large for a map"),
        (zipped, "too large for a map"),
        (pipe, "is not a regular file"),
        (endless, "is not a regular file"),
        (lambda path: np.save(path, np.zeros((0, 4))), "must be two-dimensional"),
        (lambda path: np.save(path, np.eye(3, dtype=complex)), "must hold real numbers, not complex128"),
        (lambda path: np.save(path, np.array([["a"]])), "must hold real numbers"),
    ],
)
def test_what_is_no_map_is_named(run: MadeUpRun, maps: Path, spoil: Callable[[Path], object], message: str) -> None:
    spoil(maps / "test3.npy")
    with pytest.raises(DataError, match=rf"test3\.npy.*{message}"):
        score_folder(asked(run, maps), jobs=1)


def test_all_bad_maps_are_counted_and_the_first_ten_named(tmp_path: Path) -> None:
    names = [f"{k:02}.jpg" for k in range(14)]
    split = listed(tmp_path, names, ["0,0,9,9"] * 14)
    for k, name in enumerate(names):
        write(tmp_path / "maps", name, np.full((4, 4), np.nan) if k else np.eye(4))
    with pytest.raises(DataError, match=r"13 of 14 maps") as caught:
        score_folder(MapsOf(tmp_path / "maps", split), jobs=1)
    named = [name for name in names if f"{name}.npy" in str(caught.value)]
    assert named == names[1:11]
    assert "3 more" in str(caught.value)


def test_lists_in_the_format_of_choe_et_al_are_enough(tmp_path: Path) -> None:
    split = listed(tmp_path, ["x.jpg", "y.jpg"], ["100,50,300,150", "0,0,448,224"])
    for name in ("x.jpg", "y.jpg"):
        write(tmp_path / "maps", name, TEST[2].raw)
    found = score_folder(MapsOf(tmp_path / "maps", split), jobs=1)
    assert found.per_image["iou_fixed"].tolist() == [1, 101**2 / 225**2]
    assert found.by_class[["class", "images", "gt_known_fixed"]].to_numpy().tolist() == [[0, 1, 100], [1, 1, 0]]
    assert found.numbers["images"] == {"val": 0, "test": 2}


def test_predictions_are_read_and_checked(run: MadeUpRun, maps: Path, tmp_path: Path) -> None:
    path = tmp_path / "classes.txt"
    path.write_text("".join(f"test{k},0,3\n" for k in range(5)), encoding="utf-8-sig")
    found = score_folder(asked(run, maps), predictions=read_predictions(path), jobs=1).numbers
    assert found["cls"] == {"top1": 100, "top5": None}
    assert found["top1_loc"]["fixed"] == found["gt_known"]["fixed"] == 40
    for text, message in (
        ("test0,0\n", "4 images have none"),
        ("".join(f"test{k},0\n" for k in range(6)), "1 is of no image"),
        ("".join(f"test{k},0{',1' * (k == 2)}\n" for k in range(5)), "equally many classes"),
        (
            "".join(f"test{k},{1 + 5 * (k > 2)}\n" for k in range(5)),
            r"2 images have .* 0 to 5: counted from 1\?",
        ),
        ("".join(f"test{k},{99 * (k == 3)}\n" for k in range(5)), r"1 images have a class that is none.*test3 99"),
        ("test0,\u0661\n", r"classes\.txt:1: expected an image id and classes"),
        ("test0," + "9" * 30, r"classes\.txt:1: expected an image id and classes"),
        ("test0,cat\n", r"classes\.txt:1: expected an image id and classes"),
        ("test0,1\ntest0,2\n", r"classes\.txt:2: image 'test0' has a line already"),
    ):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            score_folder(asked(run, maps), predictions=read_predictions(path), jobs=1)


@pytest.mark.parametrize(("guesses", "top5"), [(1, None), (4, None), (5, 100)])
def test_top_5_needs_five_guesses_or_all_classes(run: MadeUpRun, maps: Path, guesses: int, top5: float | None) -> None:
    guessed = {f"test{k}": list(range(guesses)) for k in range(5)}
    found = score_folder(asked(run, maps), predictions=guessed, jobs=1)
    assert found.numbers["cls"] == {"top1": 100, "top5": top5}
    assert found.numbers["top5_loc"]["fixed"] == (None if top5 is None else 40)
    assert found.per_image["in_top5"].isna().all() == (top5 is None)
    assert f"Top-5 Cls {'-' if top5 is None else '100.0'}" in score_table(found.numbers)


def test_results_are_written_whole_and_shown(run: MadeUpRun, maps: Path, tmp_path: Path) -> None:
    found = score_folder(asked(run, maps), settings=EvaluateSettings(fixed_threshold=0.6), jobs=1)
    write_scores(found, {"maps": "mine"}, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "by_class.csv", "curves.csv", "metrics.json", "per_image.parquet",
    ]  # fmt: skip
    stored = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert stored == {"maps": "mine", **found.numbers}
    table = score_table(found.numbers)
    assert "| GT-known Loc (choe2020)" in table
    rows = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in table.splitlines()[2:]
    }
    assert rows["GT-known Loc (choe2020)"] == ["60.0", "-", "60.0"]
    assert "Top-1 Loc (choe2020)" not in rows  # nothing was classified


@pytest.mark.parametrize("name", ["=1+1", "+a", "-b", "@c", "\td"])
def test_a_class_name_is_no_formula(run: MadeUpRun, maps: Path, tmp_path: Path, name: str) -> None:
    found = score_folder(asked(run, maps), jobs=1)
    named = found.by_class["name"].to_numpy(object)
    named[0] = name
    write_scores(replace(found, by_class=found.by_class.assign(name=named)), {}, tmp_path / "out")
    written = pd.read_csv(tmp_path / "out" / "by_class.csv")
    assert written["name"].astype(str).tolist() == [f"'{name}", *map(str, named[1:])]
    assert written["gt_known_fixed"].tolist() == found.by_class["gt_known_fixed"].tolist()


def test_options_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    def call(truths: Truths, val_maps: Path | None = None) -> str:
        return run_score(settings(), truths, "test", [Folder("a", tmp_path, val_maps)], tmp_path, 1)

    for truths, val_maps, message in (
        (Truths(None, None, Path(), None), None, "either --dataset or --metadata"),
        (Truths("shapes", tmp_path, Path(), None), None, "either --dataset or --metadata"),
        (Truths(None, tmp_path, Path(), None), tmp_path, "needs --val-metadata"),
        (Truths("shapes", None, Path(), tmp_path), tmp_path, "--val-metadata goes with"),
        (Truths("shaeps", None, Path(), None), None, "did you mean 'shapes'"),
    ):
        with pytest.raises(SettingsError, match=message):
            call(truths, val_maps)
    lists = Truths(None, tmp_path, Path(), None)
    with pytest.raises(SettingsError, match="needs --predictions"):
        run_score(None, lists, "test", [Folder("a", tmp_path)], tmp_path, 1, maps_of="predicted")
    two = [tmp_path / "a", tmp_path / "b"]
    for names, val, lists, message in (
        (["x"], [], [], "--name: 1 are given for 2"),
        ([], two[:1], [], "--val-maps: 1 are given for 2"),
        ([], [], [*two, *two], "--predictions: 4 are given for 2"),
        (["x", "x"], [], [], "two folders of maps are called 'x'"),
        (["../x", "y"], [], [], "cannot name a directory"),
    ):
        with pytest.raises(SettingsError, match=message):
            folders_of(two, names, val, lists)
    assert [each.predictions for each in folders_of(two, [], [], two[:1])] == [two[0], two[0]]


def test_a_data_set_that_is_not_prepared_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    truths = Truths("shapes", None, Path(), None)
    with pytest.raises(DataError, match=f"run `wsolbench prepare {TRACK}` first"):
        run_score(settings(), truths, "test", [Folder("a", tmp_path)], tmp_path, 1)


def test_masks_alone_are_scored_by_pixels(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, masks=len(TEST), boxless=len(TEST), val_masks=True).write()
    found = score_folder(asked(run, write_maps(tmp_path / "maps", "test", TEST)), jobs=1)
    table = score_table(found.numbers)
    assert "pIoU" in table
    assert "GT-known" not in table
    assert found.by_class["mean_mask_iou_fixed"].tolist() == [pytest.approx(found.numbers["p_iou"]["fixed"])]
