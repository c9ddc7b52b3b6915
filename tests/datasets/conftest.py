"""A Caltech-UCSD Birds directory of two classes, small enough to be made for each test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.tiny import TINY_TRACK
from wsolbench.acquire.prepare import prepare
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.roots import root_variable

CLASSES = ("001.Auk", "002.Wren")
TRAIN_PER_CLASS = 4
TEST_PER_CLASS = 2
WIDTH, HEIGHT = 40, 30


@pytest.fixture
def cub_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory that holds ``CUB_200_2011``: 2 classes of 4 training and 2 test images, 40x30 pixels."""
    monkeypatch.delenv(root_variable("cub"), raising=False)
    base = tmp_path / "birds" / "CUB_200_2011"
    paths = [f"{name}/{name[4:]}_{n}.jpg" for name in CLASSES for n in range(TRAIN_PER_CLASS + TEST_PER_CLASS)]
    random = np.random.default_rng(0)
    for path in paths:
        (base / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(base / "images" / path)
    write_table(base / "classes.txt", CLASSES)
    write_table(base / "images.txt", paths)
    write_table(base / "image_class_labels.txt", [path[2] for path in paths])
    write_table(base / "train_test_split.txt", [int(int(path[-5]) < TRAIN_PER_CLASS) for path in paths])
    write_table(base / "bounding_boxes.txt", [f"{n}.0 2.5 20.0 10.0" for n in range(len(paths))])
    return base.parent


def prepare_whole(dataset: str, directory: Path, **block: object) -> Path:
    """Go through all of ``wsolbench prepare`` and return the prepared directory.

    Args:
        dataset: key of the data set.
        directory: of the repository to prepare in.
        block: ``datasets.<dataset>`` of its ``params.yaml``.
    """
    run = {"tracks": [], "methods": [], "seeds": [0]}
    tracks = {"small": TINY_TRACK | {"dataset": dataset}}
    settings = Settings.model_validate({"methods": {}, "tracks": tracks, "datasets": {dataset: block}, "run": run})
    prepare(settings, "small", Layout(directory))
    return Layout(directory).prepared("small")


def write_table(path: Path, values: object) -> None:
    """Write lines ``1 value``, ``2 value``, ..."""
    path.write_text("".join(f"{number} {value}\n" for number, value in enumerate(values, 1)))


def edit_line(path: Path, number: int, text: str | None) -> None:
    """Replace (or, with None, drop) one line, counted from 1."""
    lines = path.read_text().splitlines()
    lines[number - 1 : number] = [] if text is None else [text]
    path.write_text("\n".join(lines) + "\n")
