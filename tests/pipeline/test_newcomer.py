"""Two sets of one's own in a project of one's own, by commands only, from folders of pictures to one page."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.pipeline.conftest import Pipeline
from tests.pipeline.test_masks import discs, holds, metrics
from tests.pipeline.test_own_sets import draw

pytestmark = pytest.mark.slow

BOXES, MASKS = "birds-convnet", "discs-convnet"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """A new project with both sets; only the numbers of runs, epochs and pictures are changed by hand, to be quick."""
    home = tmp_path_factory.mktemp("home")
    draw(home / "photos" / "birds", ("auk", "wren"), masks=False)
    discs(home / "photos" / "discs")
    Pipeline(home).run("wsolbench", "new", "project", "mine")
    made = Pipeline(home / "mine")
    for name, track in {"birds": BOXES, "discs": MASKS}.items():
        said = made.run("wsolbench", "new", "dataset", name, f"../photos/{name}").stdout
        assert "image_folder: 2 classes" in said
        made.run("wsolbench", "new", "track", track, "--dataset", name)
    few = {f"tracks__{track}__epochs": 1 for track in (BOXES, MASKS)}
    made.edit_params(
        evaluate__gallery=4, run__tracks=[BOXES, MASKS], run__methods=["cam"], run__baselines=["whole_image"], **few
    )
    made.run("wsolbench", "launch", "--track", BOXES)
    assert "0 failed" in made.run("wsolbench", "launch", "--benchmark").stderr
    return made


def test_nothing_is_left_to_do_and_both_tracks_are_tabs_of_one_page(project: Pipeline) -> None:
    assert project.run("wsolbench", "launch").stdout == "Everything is up to date.\n"
    page = (project.root / "results" / "report.html").read_text(encoding="utf-8")
    (bar,) = re.findall(r"<nav.*?</nav>", page, flags=re.DOTALL)
    assert [name for name in re.findall(r">([\w-]+)</a>", bar) if name.endswith("-convnet")] == [BOXES, MASKS]


def test_the_track_of_masks_is_measured_by_pixels_and_claims_no_box(project: Pipeline) -> None:
    holds(project, MASKS)


def test_the_track_of_boxes_has_max_box_acc(project: Pipeline) -> None:
    measured = metrics(project, BOXES, "cam")
    assert 0 <= measured["max_box_acc"] <= 100
    assert measured["px_ap"] is None
    summary = (project.root / "results" / "summary.md").read_text(encoding="utf-8")
    section = summary[summary.index(f"## {BOXES}") :].partition("\n## ")[0]
    heading = next(line for line in section.splitlines() if line.startswith("| method |"))
    assert "MaxBoxAcc" in heading
    assert "pIoU" not in heading
    photographs = json.loads((project.root / f"results/thumbnails/{BOXES}/photographs.json").read_text())
    assert all(each["boxes"] and not each["outlines"] for each in photographs["photographs"])


@pytest.mark.parametrize(
    ("track", "photographs", "protocol"),
    [(BOXES, "birds/images/wren", "protocol pixel"), (MASKS, "discs/images/red", "pIoU")],
)
def test_photographs_are_cut_at_the_threshold_that_val_chose(
    project: Pipeline, track: str, photographs: str, protocol: str
) -> None:
    measured = metrics(project, track, "cam")
    chosen = (measured["pixel"]["threshold"] if track == BOXES else measured["p_iou_threshold"])["val"]
    done = project.run("wsolbench", "predict", f"../photos/{photographs}", "--run", f"{track}-cam-0")
    assert f"threshold {chosen:g} (chosen on val for {protocol})" in done.stdout + done.stderr
    written = project.root / "predictions" / f"{track}-cam-0"
    assert (written / "masks").is_dir() == (track == MASKS)
    with (written / "predictions.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(list((project.root.parent / "photos" / Path(photographs)).iterdir()))


def test_a_chosen_class_is_localized_and_written_as_coco(project: Pipeline, tmp_path: Path) -> None:
    chosen = ("--class", "wren", "--format", "coco", "--device", "cpu", "--out", str(tmp_path))
    project.run("wsolbench", "predict", "../photos/birds/images", "--run", f"{BOXES}-cam-0", *chosen)
    stored = json.loads((tmp_path / f"{BOXES}-cam-0" / "coco.json").read_text())
    (wren,) = [each["id"] for each in stored["categories"] if each["name"] == "wren"]
    assert len(stored["images"]) == 20
    assert {each["image_id"] for each in stored["annotations"]} == {each["id"] for each in stored["images"]}
    assert {each["category_id"] for each in stored["annotations"]} == {wren}
    assert all(0 <= each["score"] <= 1 and 0 <= each["probability"] <= 1 for each in stored["annotations"])
