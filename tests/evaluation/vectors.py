"""The stored inputs and outputs of the reference evaluator, whole or in part."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

SIDE = 224


@dataclass(frozen=True)
class Vectors:
    """A folder in the layout that ``tests/vectors/README.md`` describes."""

    folder: Path

    def expected(self, name: str) -> dict[str, np.ndarray]:
        return arrays(self.folder / "expected" / f"{name}.npz")

    @cached_property
    def end_to_end(self) -> dict[str, float]:
        return json.loads((self.folder / "expected" / "evaluate_wsol.json").read_text())

    @cached_property
    def ids(self) -> list[str]:
        return (self.folder / "metadata/CUB/test/image_ids.txt").read_text().split()

    @cached_property
    def score_maps(self) -> dict[int, np.ndarray]:
        """Score maps by position among the 60."""
        found = arrays(self.folder / "scoremaps.npz")
        return {int(key): value.astype(np.float64) for key, value in found.items() if key != "kinds"}

    @cached_property
    def boxes_224(self) -> list[np.ndarray]:
        truth = self.expected("gt_boxes_224")
        return np.split(truth["boxes"].astype(np.int64), np.cumsum(truth["num"])[:-1])

    def stored_boxes(self) -> Iterator[tuple[np.ndarray, int, int]]:
        """Boxes, width and height of every image, before scaling."""
        boxes = defaultdict(list)
        for image, *box in self._rows("CUB", "localization"):
            boxes[image].append(box)
        sizes = {image: (int(width), int(height)) for image, width, height in self._rows("CUB", "image_sizes")}
        for image in self.ids:
            yield np.array(boxes[image], np.float64), *sizes[image]

    def mask_files(self, position: int) -> tuple[list[Path], Path]:
        """Masks of the instances of an image, and its ignore mask."""
        root = self.folder / "masks" / "OpenImages"
        rows = [row for row in self._rows("OpenImages", "localization") if row[0] == self.ids[position]]
        return [root / mask for _, mask, _ in rows], root / next(ignore for _, _, ignore in rows if ignore)

    def _rows(self, dataset: str, name: str) -> list[list[str]]:
        with (self.folder / "metadata" / dataset / "test" / f"{name}.txt").open() as stream:
            return list(csv.reader(stream))


def arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with np.load(path, allow_pickle=False) as archive:
        return dict(archive)
