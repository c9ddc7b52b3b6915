"""A run that never happened, small and plain enough to work out by hand.

A map is 1 on a core and 0.5 on a halo around it, and as large as the protocol's grid, so that nothing is resampled. Cut
at 0.498 or below, the halo is the box; from 0.499 on the core is. Where a box equals the true one, its overlap is 1.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from wsolbench.config.paths import Layout
from wsolbench.config.settings import EvaluateSettings, Settings
from wsolbench.data.dataset import Contents, Item, SplitName, Truth
from wsolbench.data.index import write_index
from wsolbench.data.masks import encode
from wsolbench.data.scoremaps import MAPS_FILE, StoredMaps, write_maps
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.runs.run_folder import write_record

SIDE = 224
TRACK, KEY = "toy", "toy-cam-0"
OUTPUTS = ("metrics", "headline", "per_image", "curves", "thumbnails")

Box = tuple[int, int, int, int]
OBJECT: Box = (50, 50, 150, 150)


@dataclass(frozen=True)
class Picture:
    """An image with its map and the classes that were guessed; every label is 0."""

    halo: Box
    core: Box
    extra: Box | None = None
    true: Box = OBJECT
    guesses: tuple[int, ...] = (0, 1, 2, 3, 4)

    @property
    def raw(self) -> np.ndarray:
        return np.maximum.reduce([rectangle(self.halo) * 0.5, rectangle(self.core), rectangle(self.extra)])


VAL = (
    Picture(halo=OBJECT, core=(60, 60, 70, 70)),  # right with the halo only
    Picture(halo=OBJECT, core=OBJECT),  # always right
)
TEST = (
    Picture(halo=OBJECT, core=(60, 60, 70, 70)),  # right with the halo only
    Picture(halo=(0, 0, 200, 200), core=OBJECT, guesses=(1, 0, 2, 3, 4)),  # with the core only
    Picture(halo=OBJECT, core=OBJECT),  # always
    # Never by the largest contour, always by all contours.
    Picture(halo=(100, 100, 200, 200), core=(100, 100, 200, 200), extra=(10, 10, 30, 30), true=(10, 10, 30, 30)),
    # With the core only, at an overlap of 6161 / 10201 = 0.60.
    Picture(halo=(0, 0, 220, 220), core=(50, 50, 150, 110), guesses=(1, 2, 3, 4, 5)),
)


@dataclass
class MadeUpRun:
    """Prepared data, stored maps and ``run.yaml`` below one root.

    ``size`` is the width and height of the photographs; true boxes are stretched along. ``masks`` is the number of
    test images that have one, ``boxless`` that of test images without a box; with ``val_masks``, so have those of val.
    """

    root: Path
    val: Sequence[Picture] = VAL
    test: Sequence[Picture] = TEST
    masks: int = 0
    boxless: int = 0
    val_masks: bool = False
    size: tuple[int, int] = (SIDE, SIDE)

    @property
    def layout(self) -> Layout:
        return Layout(self.root)

    @property
    def folder(self) -> Path:
        return self.layout.run(KEY)

    @property
    def maps_file(self) -> Path:
        return self.folder / MAPS_FILE

    def write(self) -> MadeUpRun:
        prepared = self.layout.prepared(TRACK)
        prepared.mkdir(parents=True, exist_ok=True)
        write_index(prepared, self._contents(prepared), prepared)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.write_maps()
        return self

    def write_maps(self, **changes: Any) -> None:
        """Store the maps; ``changes`` replace arrays of ``test``."""
        val, test = stored("val", self.val), stored("test", self.test)
        write_maps(self.maps_file, {"val": val, "test": replace(test, **changes)})
        write_record(self.folder, record())

    def outputs(self) -> dict[str, bytes]:
        """Bytes of the five result files."""
        return {name: getattr(self.layout, name)(TRACK, KEY).read_bytes() for name in OUTPUTS}

    def metrics(self) -> dict[str, Any]:
        return json.loads(self.layout.metrics(TRACK, KEY).read_text())

    def _contents(self, prepared: Path) -> Contents:
        items, truth = [Item("train0", self._photograph(prepared, "train0"), 0, *self.size, "train")], {}
        splits: dict[SplitName, Sequence[Picture]] = {"val": self.val, "test": self.test}
        for split, pictures in splits.items():
            for k, picture in enumerate(pictures):
                name = f"{split}{k}"
                items.append(Item(name, self._photograph(prepared, name), 0, *self.size, split))
                masked = k < self.masks if split == "test" else self.val_masks
                mask = encode(rectangle(picture.true) > 0) if masked else None
                boxes = np.array([picture.true]) * [*self.size, *self.size] / SIDE
                boxless = masked and k < self.boxless
                truth[name] = Truth(boxes[: not boxless], () if mask is None else (mask,))
        return Contents([f"class {k}" for k in range(6)], items, truth)

    def _photograph(self, prepared: Path, name: str) -> str:
        Image.new("RGB", self.size, (90, 90, 90)).save(prepared / f"{name}.png")
        return f"{name}.png"


def evaluate(run: MadeUpRun, jobs: int = 1, **evaluate: object) -> MadeUpRun:
    """Evaluate a run by settings that differ from :func:`settings`, and return it."""
    evaluate_key(settings(**evaluate), KEY, run.layout, jobs)
    return run


def settings(**evaluate: Any) -> Settings:
    """Settings of a track whose data set keeps its images where it is prepared."""
    track = {
        "dataset": "shapes", "backbone": "convnet", "weights": None, "resize": 48, "crop": 48, "epochs": 1, "batch": 1,
        "lr": 0.1, "weight_decay": 0.0, "head_lr_mult": 1.0, "schedule": "cosine",
    }  # fmt: skip
    return Settings.model_validate(
        {
            "methods": {"cam": {}},
            "datasets": {"shapes": {}},
            "tracks": {TRACK: track},
            "run": {"tracks": [TRACK], "methods": ["cam"], "seeds": [0]},
            "evaluate": EvaluateSettings(**{"gallery": 3} | evaluate),
        }
    )


def record() -> dict[str, Any]:
    """What training writes to ``run.yaml``."""
    return {
        "key": KEY,
        "track": {"name": TRACK, "dataset": "shapes", "backbone": "convnet"},
        "method": {
            "name": "cam",
            "recipe": "common",
            "args": {},
            "title": "CAM",
            "reference": "",
            "status": "published",
        },
        "seed": 0,
        "weights": None,
    }


def stored(split: str, pictures: Sequence[Picture]) -> StoredMaps:
    guesses = np.array([picture.guesses for picture in pictures], np.int64).reshape(len(pictures), 5)
    return StoredMaps(
        ids=np.array([f"{split}{k}" for k in range(len(pictures))], np.str_),
        labels=np.zeros(len(pictures), np.int64),
        maps=np.array([picture.raw for picture in pictures], np.float32).reshape(-1, SIDE, SIDE),
        top5=guesses,
        top5_logits=np.zeros(guesses.shape, np.float32),
    )


def rectangle(box: Box | None) -> np.ndarray:
    made = np.zeros((SIDE, SIDE))
    if box is not None:
        made[box[1] : box[3], box[0] : box[2]] = 1
    return made


def rounded_up(value: float) -> float:
    """Return the least float32 that is not below a share: what a per-image table stores of it."""
    near = np.float32(value)
    return float(near if near >= np.float64(value) else np.nextafter(near, np.float32(2)))
