"""What can be seen on the picture of a prediction: class and probability, the box, and the contour of the mask."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageDraw

from wsolbench.report.palette import PREDICTED_RGB
from wsolbench.tools.predictions import Box, Prediction, draw

WIDTH, HEIGHT = 400, 320
BOX = (120, 80, 300, 250)
WREN = Prediction("a.jpg", WIDTH, HEIGHT, 1, "wren", 0.93, (), (Box(BOX, 0.5),), np.zeros((7, 7), np.float32))


def drawn(found: Prediction, mask_cut: float | None = None) -> NDArray[np.int16]:
    """Return the pixels of a grey photograph with a map that is high in its right half."""
    shown = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    score_map = np.tile(np.linspace(0, 1, 14), (14, 1))
    return np.asarray(draw(shown, score_map, found, mask_cut), np.int16)


def where(one: NDArray[np.int16], other: NDArray[np.int16]) -> tuple[int, int, int, int]:
    """Return the half-open box around the pixels that differ."""
    rows, columns = np.nonzero(np.abs(one - other).sum(2))
    assert len(rows), "the pictures are the same"
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


@pytest.mark.parametrize("other", [{"name": "crow"}, {"probability": 0.31}, {"probability": None}])
def test_another_class_or_probability_is_another_label_over_the_box_and_the_rest_stays(
    other: dict[str, object],
) -> None:
    x0, y0, x1, y1 = where(drawn(WREN), drawn(replace(WREN, **other)))  # type: ignore[arg-type]
    assert BOX[0] <= x0 < x1 <= BOX[2]
    assert BOX[1] - 40 <= y0 < y1 <= BOX[1]


@pytest.mark.parametrize(
    ("probability", "text"),
    [
        (0.93, "wren 93%"),
        (0.01, "wren 1%"),
        (0.0002, "wren < 1%"),
        (0.9961, "wren > 99%"),
        (1.0, "wren > 99%"),
        (None, "wren"),
    ],
)
def test_the_label_is_the_class_and_its_probability(
    monkeypatch: pytest.MonkeyPatch, probability: float | None, text: str
) -> None:
    written = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda pen, place, *words: written.append(words[0]))
    drawn(replace(WREN, probability=probability))
    assert written == [text]


@pytest.mark.parametrize("corner", [(0, 0), (0, 300), (380, 0), (380, 300)])
def test_the_plate_of_a_box_at_the_border_is_inside_the_picture(
    monkeypatch: pytest.MonkeyPatch, corner: tuple[int, int]
) -> None:
    plates: list[tuple[float, ...]] = []

    def rectangle(pen: ImageDraw.ImageDraw, place: tuple[float, ...], fill: object = None, **_: object) -> None:
        plates.extend([place] if fill else [])

    monkeypatch.setattr(ImageDraw.ImageDraw, "rectangle", rectangle)
    drawn(replace(WREN, boxes=(Box((*corner, corner[0] + 20, corner[1] + 20), 0.5),)))
    ((x0, y0, x1, y1),) = plates
    assert 0 <= x0 < x1 < WIDTH
    assert 0 <= y0 < y1 < HEIGHT


def test_a_photograph_without_a_box_is_labelled_in_its_corner() -> None:
    nothing = replace(WREN, boxes=())
    x0, y0, x1, y1 = where(drawn(nothing), drawn(replace(nothing, name="crow")))
    assert max(x0, y0) < 20
    assert (x1 < WIDTH / 2, y1 < HEIGHT / 4) == (True, True)


def test_the_box_is_drawn_where_it_is_and_the_mask_by_its_contour() -> None:
    plain, x0, y0, x1, y1 = drawn(WREN), *BOX
    for row, column in ((y0, x1 - 1), (y1 - 1, x0), (y1 - 1, x1 - 1)):
        assert tuple(plain[row, column]) == PREDICTED_RGB
    assert tuple(plain[y1, x1]) != PREDICTED_RGB
    left, _, right, _ = where(plain, drawn(WREN, mask_cut=0.75))
    assert left == pytest.approx(0.75 * WIDTH, abs=WIDTH / 13)
    assert right == WIDTH
