"""What tests of ``wsolbench predict`` share."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.training.conftest import TRACK
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.tools import predict as module
from wsolbench.tools.predict import Predicted

KEY = f"{TRACK}-adl-0"
Predict = Callable[..., Predicted]


def predicted(settings: Settings, layout: Layout, out: Path, *sources: Path, **options: Any) -> Predicted:
    return module.predict(settings, KEY, sources, out, layout, **options)


def noise(path: Path, size: tuple[int, int] = (60, 40), seed: int = 0, **how: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (*size[::-1], 3), np.uint8)).save(path, **how)
    return path


def lines(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open() as stream:
        return list(csv.DictReader(stream))
