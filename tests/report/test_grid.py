"""The grid shows what results and data hold of each photograph, in the order that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from PIL import Image

from tests.evaluation.made_up_run import KEY, OBJECT, TEST, TRACK, MadeUpRun, settings
from tests.report.conftest import Repository
from tests.report.test_plots import check_texts
from wsolbench.config.settings import Settings
from wsolbench.data.scoremaps import upsample_and_normalise
from wsolbench.errors import DataError, SettingsError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.evaluation.gallery import write_photographs
from wsolbench.evaluation.photographs import Photograph
from wsolbench.report.figures import photographs
from wsolbench.report.figures.photographs import Column, Shown, grid
from wsolbench.report.figures.style import figure_style
from wsolbench.report.plot import PlotOptions, write_plot
from wsolbench.report.track import load_numbers


def grid_content(
    made: Settings, track: str, methods: Sequence[str], root: Path, images: Sequence[str], count: int, seed: int
) -> tuple[list[Shown], list[Column]]:
    runs, frame = load_numbers(made, [track], root)
    return photographs.grid_content(made, frame, runs, root, methods, images, count, seed)


def content(
    made: Repository, methods: tuple[str, ...] = (), images: tuple[str, ...] = (), count: int = 2, seed: int = 0
) -> tuple[list[Shown], list[Column]]:
    return grid_content(made.settings, "toy", methods, made.root, images, count, seed)


def drawn(made: Repository, *methods: str) -> Figure:
    with figure_style(width=3.3):
        return grid(*content(made, methods), "mask" if made.masks else "box")


def corners(outlined: Sequence[Any]) -> list[tuple[float, ...]]:
    """Boxes around outlines, or around polygons of a figure."""
    points = [np.array(each.get_xy() if isinstance(each, Polygon) else each) for each in outlined]
    return [(*each.min(0), *each.max(0)) for each in points]


def test_columns_are_those_asked_for_in_their_order(full: Repository) -> None:
    _, columns = content(full)
    assert [column.title for column in columns] == ["Alpha", "Beta"]  # the bound is no method
    _, columns = content(full, ("ceiling", "alpha"))
    assert [column.title for column in columns] == ["Ceiling", "Alpha"]
    assert [(len(column.heats), len(column.predicted)) for column in columns] == [(2, 2)] * 2


def test_images_are_those_asked_for_or_chosen_by_a_seed(full: Repository) -> None:
    candidates = {each.id for each in content(full, count=3)[0]}
    assert len(candidates) == 3
    wanted = tuple(sorted(candidates, reverse=True))
    assert tuple(each.id for each in content(full, images=wanted)[0]) == wanted
    firsts = {content(full, count=1, seed=seed)[0][0].id for seed in range(12)}
    assert firsts == candidates
    with pytest.raises(DataError, match=r"only the gallery's candidates.*nowhere"):
        content(full, images=("nowhere",))


def test_chosen_images_are_spread_over_the_classes() -> None:
    candidates = [Photograph(str(k), 0 if k < 9 else k % 3, []) for k in range(12)]  # class 0 has ten, 1 and 2 one each
    for seed in range(5):
        first = photographs._spread(candidates, 3, seed)
        assert {candidates[int(name)].label for name in first} == {0, 1, 2}
        assert set(first) < set(photographs._spread(candidates, 5, seed))


def test_boxes_are_the_true_and_the_predicted_ones(full: Repository) -> None:
    figure = drawn(full, "alpha")
    assert len(figure.axes) == 4
    shown, _ = content(full, ("alpha",))
    for each, photograph, overlaid in zip(shown, figure.axes[:2], figure.axes[2:], strict=True):
        assert corners(each.truth) == corners(photograph.patches) == [(0.25, 0.25, 0.75, 0.75)]
        assert corners(overlaid.patches) == [
            (0.25, 0.25, 0.75, 0.75),
            (0.25, 0.125, 0.5, 1.0),
        ]  # of 224


def test_masks_are_drawn_as_outlines(masked: Repository) -> None:
    figure = drawn(masked, "alpha")
    shown, columns = content(masked, ("alpha",))
    for number, axis in enumerate(figure.axes[2:]):
        assert len(axis.patches) == len(shown[number].truth) + len(columns[0].predicted[number]) > 1
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["true mask", "predicted mask"]


def test_methods_without_room_stand_in_a_band_below(full: Repository) -> None:
    shown, columns = content(full)
    long = [Column("An exceedingly long-winded name (our reconstruction)", columns[0].heats, columns[0].predicted)] * 6
    with figure_style(width=3.3, font_size=9):
        figure = grid(shown, long, "box")
    check_texts(figure)
    boxes = [axis.get_position() for axis in figure.axes]
    assert len({round(box.x0, 3) for box in boxes}) == 4
    assert len({round(box.y0, 3) for box in boxes}) == 2 * len(shown)


def test_files_are_the_same_each_time_and_photographs_keep_their_colours(full: Repository, tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "a.pdf", "b.pdf"):
        write_plot(full.settings, "grid", [], [], tmp_path / name, full.root, PlotOptions(width=3.3, count=1))
    for kind in ("png", "pdf"):
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        assert image.mode == "RGBA"
        assert image.width == 990
    assert b"Type3" not in (tmp_path / "a.pdf").read_bytes()


@pytest.fixture
def evaluated(tmp_path: Path) -> MadeUpRun:
    run = MadeUpRun(tmp_path, size=(60, 40)).write()
    evaluate_key(settings(), KEY, run.layout, 1)
    write_photographs(settings(), TRACK, run.layout)
    return run


def test_any_test_image_is_drawn_in_full_where_its_data_and_runs_are(evaluated: MadeUpRun) -> None:
    every = [f"test{k}" for k in range(len(TEST))]
    shown, (column,) = grid_content(settings(), TRACK, ["cam"], evaluated.root, every, 1, 0)
    assert [each.pixels.shape for each in shown] == [(40, 60, 3)] * len(TEST)
    for picture, each, heat in zip(TEST, shown, column.heats, strict=True):
        assert np.allclose(corners(each.truth), [np.array(picture.true) / 224])
        assert np.array_equal(heat, upsample_and_normalise(picture.raw.astype(np.float32), 224, 224))
    assert np.array(corners(column.predicted[2])) * 224 == pytest.approx(np.array([OBJECT]), abs=1.1)
    with pytest.raises(SettingsError, match="'test7' is no test image"):
        grid_content(settings(), TRACK, [], evaluated.root, ["test7"], 1, 0)


def test_what_is_missing_for_other_images_is_named(evaluated: MadeUpRun) -> None:
    candidates = {each.id for each in grid_content(settings(), TRACK, [], evaluated.root, [], 9, 0)[0]}
    (other, *_) = sorted({f"test{k}" for k in range(len(TEST))} - candidates)
    evaluated.maps_file.unlink()
    with pytest.raises(DataError, match=r"maps\.npz is missing"):
        grid_content(settings(), TRACK, [], evaluated.root, [other], 1, 0)
    (evaluated.layout.prepared(TRACK) / f"{other}.png").write_bytes(b"")
    with pytest.raises(DataError, match=f"{other}.png"):
        grid_content(settings(), TRACK, [], evaluated.root, [other], 1, 0)
