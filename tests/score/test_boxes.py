"""Boxes without maps, from a file: the numbers of maps that are these boxes, and clear errors."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.evaluation.made_up_run import TEST, TRACK, VAL, MadeUpRun, Picture, rectangle, settings
from tests.report.conftest import write_costs
from tests.score.test_entry import fill_in
from tests.score.test_score import asked, split_of, write
from wsolbench import MapsOf, score_folder, score_table
from wsolbench.errors import DataError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.report.build import write_report
from wsolbench.tools.entries import score_entry
from wsolbench.tools.score import Folder, Truths, folders_of, run_score

GUESSES = {f"test{k}": picture.guesses for k, picture in enumerate(TEST)}


def write_boxes(file: Path, split: str, pictures: tuple[Picture, ...], scale: float = 1.0) -> Path:
    """Write the cores as boxes, in pixels of images that are ``scale`` times the grid."""
    corners = [",".join(str(corner * scale) for corner in picture.core) for picture in pictures]
    file.write_text("".join(f"{split}{k},{box}\n" for k, box in enumerate(corners)))
    return file


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    return write_boxes(tmp_path / "boxes.csv", "test", TEST)


@pytest.mark.parametrize("maps_of", ["label", "predicted"])
def test_numbers_are_those_of_maps_that_are_one_in_the_box(
    run: MadeUpRun, boxes: Path, tmp_path: Path, maps_of: str
) -> None:
    for split, pictures in (("test", TEST), ("val", VAL)):
        for k, picture in enumerate(pictures):
            write(tmp_path / split, f"{split}{k}", rectangle(picture.core))
    val_boxes = write_boxes(tmp_path / "val.csv", "val", VAL)
    how = {"predictions": GUESSES, "maps_of": maps_of, "jobs": 1}
    of_val = split_of(run, "val")
    found = score_folder(asked(run, boxes), val=MapsOf(val_boxes, of_val), **how).numbers
    expected = score_folder(asked(run, tmp_path / "test"), val=MapsOf(tmp_path / "val", of_val), **how).numbers
    for mine, theirs in ((found, expected), (found["pixel"], expected["pixel"])):
        for name in ("max_box_acc", "max_box_acc_v2", "gt_known", "top1_loc"):
            assert mine[name] == theirs[name], name
    assert found["cls"] == expected["cls"]
    if maps_of == "label":
        assert found["max_box_acc"] == found["gt_known"]["fixed"] == 60  # the cores of images 1, 2 and 4
        assert found["misses"] == expected["misses"]
        assert found["p_iou"]["fixed"] == pytest.approx(expected["p_iou"]["fixed"])
        assert found["px_ap"] is None


def test_pixels_are_those_of_the_image(tmp_path: Path) -> None:
    run = MadeUpRun(tmp_path, size=(448, 448)).write()
    boxes = write_boxes(tmp_path / "boxes.csv", "test", TEST, scale=2)
    assert score_folder(asked(run, boxes), jobs=1).numbers["max_box_acc"] == 60


def test_a_table_of_boxes_has_no_column_per_threshold(run: MadeUpRun, boxes: Path) -> None:
    lines = score_table(score_folder(asked(run, boxes), jobs=1).numbers).splitlines()
    assert lines[2].split("|")[2:-1] == ["boxes".rjust(len(lines[2].split("|")[2]) - 1) + " "]
    (gt_known,) = (line for line in lines if line.startswith("| GT-known Loc (choe2020) "))
    assert gt_known.split("|")[2].strip() == "60.0"
    assert not [line for line in lines if line.startswith("| threshold")]


def test_boxes_and_maps_are_compared(run: MadeUpRun, boxes: Path, maps: Path, tmp_path: Path) -> None:
    (run.root / "lists").mkdir()
    items = split_of(run).items
    lines = {
        "image_ids": [item.id for item in items],
        "class_labels": [f"{item.id},0" for item in items],
        "image_sizes": [f"{item.id},224,224" for item in items],
        "localization": [
            ",".join(map(str, (item.id, *picture.true))) for item, picture in zip(items, TEST, strict=True)
        ],
    }
    for name, each in lines.items():
        (run.root / "lists" / f"{name}.txt").write_text("\n".join(each) + "\n")
    folders = [Folder("regressed", boxes), Folder("maps", maps)]
    said = run_score(None, Truths(None, run.root / "lists", Path(), None), "test", folders, tmp_path / "out", 1)
    assert "regressed" in said
    assert (tmp_path / "out" / "differences.csv").read_text().splitlines()[1].startswith("MaxBoxAccV2,regressed,maps,")


@pytest.mark.slow
def test_boxes_become_a_row_of_the_tables(run: MadeUpRun, boxes: Path) -> None:
    made = settings()
    made = made.model_copy(update={"report": made.report.model_copy(update={"gallery": 0})})
    evaluate_key(made, "toy-cam-0", run.layout, 1)
    write_costs(run.layout, TRACK, run.metrics())
    score_entry(made, TRACK, Folder("psol", boxes), run.root, 1)
    fill_in(run.root / "entries" / "psol" / "entry.yaml")
    stored = json.loads((run.root / "entries" / "psol" / TRACK / "metrics.json").read_text())
    assert stored["gt_known"]["fixed"] == 60
    write_report(made, TRACK, run.root)
    page = (run.root / "results" / "tables" / f"{TRACK}.md").read_text()
    assert re.search(r"\*\*not trained here: .*\n\| said of title \| theirs \| 1 \|", page)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("test1,50", "test1;50", r"boxes\.csv:2: expected IMAGE_ID,x0,y0,x1,y1 .*, not 'test1;50"),
        ("test1,50,", "test1,", r"boxes\.csv:2: expected IMAGE_ID"),
        ("test1,50,", "test1,fifty,", r"boxes\.csv:2: expected IMAGE_ID"),
        ("test1,50,", "test0,50,", r"boxes\.csv:2: image 'test0' has a box already"),
        ("test1,", "tset1,", r"5 images: 1 image has no box \(test1\) and 1 line is of no image \(tset1\)"),
        ("test1,50,50,150,150", "test1,50,50,150,300", r"1 of 5 boxes .*'test1' \[50\.0, .*300\.0\] in 224x224"),
        ("test1,50,50,150,150", "test1,50,50,150,nan", r"boxes\.csv:2: expected IMAGE_ID"),
        ("test1,50,", ",50,", r"boxes\.csv:2: expected IMAGE_ID"),
        ("test0,", "image,x0,y0,x1,y1\ntest0,", r"boxes\.csv:1: expected IMAGE_ID.* without a heading"),
        ("test1,50,50,150,150", "test1,50,50,50,50", "1 of 5 boxes"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(run: MadeUpRun, boxes: Path, old: str, new: str, message: str) -> None:
    text = boxes.read_text().replace(".0", "")
    assert old in text
    boxes.write_text(text.replace(old, new))
    with pytest.raises(DataError, match=message):
        score_folder(asked(run, boxes), jobs=1)


def test_boxes_are_neither_normalised_nor_mixed_with_maps(run: MadeUpRun, boxes: Path, maps: Path) -> None:
    with pytest.raises(DataError, match="file of boxes"):
        score_folder(asked(run, boxes), jobs=1, as_they_are=True)
    val = MapsOf(write_boxes(run.root / "val.csv", "val", VAL), split_of(run, "val"))
    with pytest.raises(DataError, match="the one split has maps and the other boxes"):
        score_folder(asked(run, maps), val=val, jobs=1)


@pytest.mark.parametrize(
    "content", [b"", b"\n \n", b"\x93NUMPY\x01\x00v\x00{'descr'", "test0,1,2,3,4".encode("utf-16")]
)
def test_what_is_no_text_of_boxes_says_what_is_expected(run: MadeUpRun, boxes: Path, content: bytes) -> None:
    boxes.write_bytes(content)
    with pytest.raises(DataError, match=r"boxes\.csv.*IMAGE_ID,x0,y0,x1,y1 for each image"):
        score_folder(asked(run, boxes), jobs=1)


def test_what_is_not_there_or_leads_to_itself_is_named(run: MadeUpRun, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    for path in (loop, tmp_path / "absent"):
        with pytest.raises(DataError, match=f"{path.name} does not exist; give a directory of maps"):
            score_folder(asked(run, path), jobs=1)
    assert [folder.name for folder in folders_of([loop], [], [], [])] == ["loop"]
