"""Tracks with masks and no boxes, from photographs to the page: a generated set, and real ones where at hand."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw

from tests.conftest import TEST_DATA
from tests.pipeline.conftest import Pipeline, new_pipeline
from wsolbench.config.settings import read_settings
from wsolbench.errors import DataError
from wsolbench.report.plot import PLOTS as ALL_PLOTS
from wsolbench.report.plot import PlotOptions, write_plot

pytestmark = pytest.mark.slow

GENERATED, REAL = "discs-convnet", ("openimages-convnet", "pets-convnet")
PLOTS = {"methods", "precision_recall", "threshold_curves", "overlaps", "object_sizes", "misses", "trade_off"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """One `dvc repro` over all sets that are here."""
    made = new_pipeline(tmp_path_factory.mktemp("checkout"))
    sets = tmp_path_factory.mktemp("sets")
    blocks: dict[str, dict[str, Any]] = {"discs": {"of": "image_folder", "root": str(discs(sets / "discs"))}}
    if TEST_DATA in os.environ:
        data = Path(os.environ[TEST_DATA]) / "data"
        blocks["openimages30k"] = {"root": str(openimages(data / "openimages-mini", sets / "openimages"))}
        blocks["pets"] = {
            "of": "image_folder",
            "root": str(pets(data / "pets-mask-mini", sets / "pets")),
            "ignore_grey": 128,
        }
    base = made.params()["tracks"]["shapes-convnet"] | {"resize": 48, "crop": 48, "epochs": 1, "batch": 4, "lr": 0.02}
    tracks = {name: base | {"dataset": dataset} for name, dataset in zip((GENERATED, *REAL), blocks, strict=False)}
    made.edit_params(
        datasets=blocks,
        tracks=tracks,
        methods={"cam": {}, "adl": {}},
        run={
            "tracks": list(tracks),
            "methods": ["cam", "adl"],
            "readouts": [],
            "read": ["cam"],
            "seeds": [0],
            "baselines": ["whole_image"],
            "seeded_baselines": [],
        },
        evaluate__gallery=4,
        evaluate__published_threshold={},
    )
    made.repro()
    return made


def discs(root: Path) -> Path:
    """Two classes of bright discs on dark noise, with masks, and which image is for what."""
    random, splits = np.random.default_rng(0), []
    for label, colour in {"blue": (40, 80, 250), "red": (250, 60, 40)}.items():
        for k in range(12):
            name = f"{label}/{k}.png"
            x, y, r = random.integers(20, 60), random.integers(20, 40), 4 + 2 * k  # of all sizes
            picture = Image.fromarray(random.integers(0, 90, (64, 80, 3), np.uint8))
            mask = Image.new("L", picture.size)
            for image, fill in ((picture, colour), (mask, 255)):
                ImageDraw.Draw(image).ellipse((int(x - r), int(y - r), int(x + r), int(y + r)), fill=fill)
            for folder, image in (("images", picture), ("masks", mask)):
                (root / folder / label).mkdir(parents=True, exist_ok=True)
                image.save(root / folder / name)
            splits.append((name, ("train", "val", "test", "train")[k % 4]))
    with (root / "splits.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("id", "split"), *splits])
    return root


def openimages(source: Path, root: Path) -> Path:
    """The set's test images in its own layout, dealt out to the three splits class by class."""
    lists = source / "metadata" / "OpenImages" / "test"
    masks = [line.split(",") for line in (lists / "localization.txt").read_text().split()]
    by_class: dict[str, list[str]] = {}
    for line in (lists / "class_labels.txt").read_text().split():
        by_class.setdefault(line.split(",")[1], []).append(line.split(",")[0])
    for split in ("train", "val", "test"):
        ids, labels, localization = [], [], []
        for label, images in by_class.items():
            for image in images[("train", "val", "test").index(split) :: 3]:
                own = [line for line in masks if line[0] == image]
                for name in {image, *(each for line in own for each in line[1:] if each)}:
                    target = root / "OpenImages" / name.replace("test/", f"{split}/", 1)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source / "OpenImages" / name, target)
                ids.append(image)
                labels.append(f"{image},{label}")
                localization += [",".join(line) for line in own] if split != "train" else []
        folder = root / "metadata" / "OpenImages" / split
        folder.mkdir(parents=True)
        lines = {"image_ids": ids, "class_labels": labels, "localization": localization, "image_sizes": []}
        for name, content in lines.items():
            text = "".join(f"{line}\n" for line in content)
            (folder / f"{name}.txt").write_text(re.sub(r"(?m)(^|,)test/", rf"\1{split}/", text))
    return root


def pets(source: Path, root: Path) -> Path:
    """The classes of which there are several photographs, a folder each."""
    table = pd.read_csv(source / "index.csv")
    for row in table[table.groupby("class_name")["image"].transform("size") > 4].itertuples():
        for folder, name in (("images", row.image), ("masks", row.mask)):
            target = root / folder / row.class_name / Path(name).name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source / name, target)
    names = sorted(path.relative_to(root / "images").as_posix() for path in (root / "images").rglob("*.jpg"))
    with (root / "splits.csv").open("w", newline="") as stream:
        splits = ((name, ("train", "val", "test")[k % 3]) for k, name in enumerate(names))
        csv.writer(stream).writerows([("id", "split"), *splits])
    return root


def metrics(pipeline: Pipeline, track: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((pipeline.root / f"results/metrics/{track}/{track}-{method}-0.json").read_text())
    return found


def holds(pipeline: Pipeline, track: str) -> None:
    """Hold that a track is finished, measured by its masks, and that nothing speaks of boxes where there are none."""
    results = pipeline.root / "results"
    cam, whole = metrics(pipeline, track, "cam"), metrics(pipeline, track, "whole_image")
    assert cam["max_box_acc"] is None
    assert 0 < cam["px_ap"] < 100
    assert 0 < cam["p_iou"]["val"] <= cam["p_iou"]["oracle"]
    assert cam["p_iou_threshold"]["val"] == cam["threshold"]["val"] is not None
    assert whole["px_ap"] is None
    assert whole["p_iou"]["fixed"] > 0
    assert {path.stem for path in (results / "plots" / track).glob("*.*")} == PLOTS | {"examples"}
    table = (results / "tables" / f"{track}.md").read_text()
    heading = next(line for line in table.splitlines() if line.startswith("| method |"))
    assert heading.startswith("| method | recipe | n | pIoU, fixed | pIoU, val | PxAP, all thresholds |")
    assert "GT-known" not in heading
    assert f"{cam['px_ap']:.1f}" in table
    classes = pd.read_csv(results / "tables" / f"{track}_classes.csv")
    assert classes[classes["method"] == "cam"]["p_iou_val_mean"].notna().all()
    photographs = json.loads((results / "thumbnails" / track / "photographs.json").read_text())["photographs"]
    assert photographs
    assert all(each["outlines"] and not each["boxes"] for each in photographs)
    page = (results / "report.html").read_text(encoding="utf-8")
    section = page[page.index(f">{track}</h2>") :].partition("</section>")[0]
    assert '<path class="t"' in section
    assert '<path class="p"' in section
    assert "not defined" not in section
    assert "GT-known" not in section
    summary = (results / "summary.md").read_text()
    assert f"{cam['px_ap']:.1f}" in summary[summary.index(f"## {track}") :]


def test_a_generated_track_of_masks_goes_from_photographs_to_the_page(finished: Pipeline) -> None:
    holds(finished, GENERATED)
    assert finished.repro() == []


@pytest.mark.parametrize("track", REAL)
def test_real_tracks_of_masks_go_from_photographs_to_the_page(finished: Pipeline, track: str, test_data: Path) -> None:
    holds(finished, track)


def test_every_plot_is_drawn_or_says_in_one_sentence_why_not(
    finished: Pipeline, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(finished.root)
    drawn, reasons = set(), {}
    for kind in ALL_PLOTS:
        out = tmp_path / f"{kind}.png"
        try:
            write_plot(read_settings(), kind, [GENERATED], [], out, Path(), PlotOptions())
            drawn.add(kind)
        except DataError as error:
            reasons[kind] = str(error)
    assert drawn == ALL_PLOTS.keys() - {"published", "search"}
    assert all(GENERATED in reason and "\n" not in reason for reason in reasons.values())
    done = finished.run("wsolbench", "plot", "published", "--tracks", GENERATED, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (1, False)


def test_photographs_are_cut_at_the_threshold_that_val_chose(finished: Pipeline) -> None:
    chosen = metrics(finished, GENERATED, "cam")["p_iou_threshold"]["val"]
    images = Path(finished.params()["datasets"]["discs"]["root"]) / "images" / "red"
    done = finished.run("wsolbench", "predict", str(images), "--run", f"{GENERATED}-cam-0", "--out", "predictions")
    assert f"threshold {chosen:g}" in done.stdout + done.stderr


@pytest.mark.parametrize("track", REAL)
def test_stored_maps_are_verified_where_the_photographs_and_masks_are_not(
    finished: Pipeline, track: str, test_data: Path
) -> None:
    root = Path(finished.params()["datasets"][finished.params()["tracks"][track]["dataset"]]["root"])
    root.rename(root.with_name("elsewhere"))
    try:
        done = finished.run("wsolbench", "verify", f"{track}-cam-0", "--from", "maps")
    finally:
        root.with_name("elsewhere").rename(root)
    assert "reproduced" in done.stdout
