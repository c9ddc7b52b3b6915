"""Figures show the numbers of the frame, and each method alike in all of them."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from tests.report.conftest import Repository
from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.figures import curves, ranks, scores
from wsolbench.report.figures.rows import labelled, styles_of
from wsolbench.report.figures.style import figure_style
from wsolbench.report.palette import PREDICTED_RGB, TRUE_RGB
from wsolbench.report.track import load_numbers


def frame_of(made: Repository) -> pd.DataFrame:
    return load_numbers(made.settings, made.tracks, made.root).frame


def axes_of(draw: Any, made: Repository, *more: Any) -> list[Axes]:
    with figure_style():
        return list(draw(frame_of(made), *more).axes)


def lines_with_marker(axis: Axes, marker: str) -> list[Any]:
    return [line for line in axis.lines if line.get_marker() == marker]


def whiskers(axis: Axes) -> list[list[float]]:
    found = [segment[:, 0] for each in axis.collections for segment in each.get_segments()]  # type: ignore[attr-defined]
    return sorted(sorted(ends.tolist()) for ends in found)


def drawn(axis: Axes, expected: Any) -> bool:
    found = [line.get_ydata() for line in axis.lines]
    return any(len(each) == len(expected) and np.allclose(each, expected) for each in found)


def test_bars_are_means_whiskers_one_sd_and_points_the_seeds(full: Repository) -> None:
    axis = axes_of(scores.method_bars, full)[2]
    assert axis.get_title(loc="left") == "MaxBoxAcc (oracle threshold)"
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([46, 53.5, 91])
    assert np.allclose(whiskers(axis), [(45, 47), (52.5, 54.5), (90, 92)])
    (seeds,) = lines_with_marker(axis, "o")
    assert list(seeds.get_xdata()) == [45, 46, 47, 52.5, 53.5, 54.5, 90, 91, 92]


def test_baselines_are_told_from_methods_without_colour(full: Repository) -> None:
    axis = axes_of(scores.method_bars, full)[0]
    assert [bar.get_hatch() or "" for bar in axis.patches] == ["", "", "////"]
    first, second, bound = axis.get_yticks()
    assert bound - second > second - first


@pytest.mark.parametrize("val", [29.0, None])
def test_without_boxes_bars_are_of_pixels_at_the_threshold_that_there_is(repository: Any, val: float | None) -> None:
    toy = repository(seeds=[0], masks=True)
    toy.write("alpha", 0, 50, p_iou={"fixed": 30.0, "val": val, "oracle": 32.0})
    axes = axes_of(scores.method_bars, toy)
    how = "fixed threshold" if val is None else "threshold from val"
    titles = ["PxAP (all thresholds)", "PxAP, mean over classes", f"pIoU ({how})", "pIoU (oracle threshold)"]
    assert [axis.get_title(loc="left") for axis in axes] == titles
    assert [bar.get_width() for axis in axes for bar in axis.patches] == [55, 54, val or 30, 32]


@pytest.mark.parametrize(("made", "column"), [("full", "box_acc_iou50"), ("masked", "p_iou")])
def test_curves_are_means_with_each_seeds_thresholds_marked(made: str, column: str, request: Any) -> None:
    toy = request.getfixturevalue(made)
    stored = curves.read_curves(labelled(frame_of(toy)), toy.root, column)
    axis = axes_of(curves.threshold_curves, toy, toy.root)[1]
    assert axis.get_title(loc="left") == "Beta"
    beta = stored[stored["row"] == "Beta"]
    assert drawn(axis, beta.groupby("threshold")[column].mean())
    (val,), (oracle,) = lines_with_marker(axis, "v"), lines_with_marker(axis, "*")
    best = 53.5 if made == "full" else 35.5  # mean of the seeds at the oracle's threshold, and one less at val's
    assert np.allclose(val.get_data(), [(0.30, 0.31, 0.32), (best - 2, best - 1, best)])
    assert list(oracle.get_ydata()) == [best - 1, best, best + 1]
    assert len(axis.collections) == 1  # the band


@pytest.mark.parametrize("made", ["full", "masked"])
def test_precision_and_recall_are_drawn_wherever_there_are_masks(made: str, request: Any) -> None:
    toy = request.getfixturevalue(made)
    (axis,) = axes_of(curves.precision_recall, toy, toy.root)
    threshold = np.arange(100) / 100
    assert np.allclose(axis.lines[0].get_xdata(), 100 - 99 * threshold**2)
    assert np.allclose(axis.lines[0].get_ydata(), 30 + 60 * threshold)
    assert drawn(axis, [30, 30])  # all pixels: the share of the object


def test_overlaps_are_shares_of_images(full: Repository) -> None:
    (axis,) = axes_of(curves.overlaps, full, full.root)
    curve = dict(zip(np.round(axis.lines[0].get_xdata(), 2), axis.lines[0].get_ydata(), strict=True))
    # Alpha's val accuracies are 44, 45 and 46; its other images overlap by 0.25.
    assert (curve[0.5], curve[0.2], curve[1.0]) == (pytest.approx(45), 100, 0)
    assert len({(line.get_marker(), str(line.get_linestyle())) for line in axis.lines[:3]}) == 3  # without colour


def test_training_curves_are_sums_of_losses_with_their_spread(everything: Repository) -> None:
    losses, rates = axes_of(curves.training, everything, everything.root)
    assert losses.lines[0].get_xdata().tolist() == [1, 3]
    np.testing.assert_allclose(losses.lines[0].get_ydata(), [3, 3])  # mean over seeds 0, 1, 2 of 2, 3, 4 in the end
    assert len(losses.lines) == len(rates.lines) == 2  # no line for the bound
    np.testing.assert_allclose(rates.lines[1].get_ydata(), [0.1, 0.01])
    assert all("$" not in label.get_text() for label in losses.get_yticklabels())
    band = losses.collections[0].get_paths()[0].vertices
    last = band[band[:, 0] == 3][:, 1]
    assert (last.min(), last.max()) == pytest.approx((2, 4))


def test_a_damaged_history_is_named(everything: Repository) -> None:
    Layout(everything.root).history("toy", "toy-beta-1").write_text("lr\n0.1\n")
    with pytest.raises(DataError, match=r"toy-beta-1\.csv is damaged.*wsolbench evaluate toy-beta-"):
        axes_of(curves.training, everything, everything.root)


def test_a_track_that_trains_nothing_has_no_training_curves(everything: Repository) -> None:
    for path in (everything.root / "results" / "history" / "toy").iterdir():
        path.write_text("epoch,lr\n")
    with pytest.raises(DataError, match="none of its runs trained anything"):
        axes_of(curves.training, everything, everything.root)


def test_sizes_without_objects_are_left_out(full: Repository) -> None:
    (axis,) = axes_of(scores.object_sizes, full)
    assert [label.get_text() for label in axis.get_xticklabels()] == ["medium\n300 images", "large\n100 images"]


def test_misses_add_up_and_have_the_spread_of_the_seeds(repository: Any) -> None:
    toy = repository(methods=["alpha", "beta"], seeds=[0, 1])
    kinds = {"part": 20.0, "more": 5.0, "multi_instance": 0.0, "background": 3.0, "other": 2.0}
    for seed in toy.seeds:
        misses = {name: kinds | {"part": 20.0 + 4 * seed} for name in ("fixed", "val", "oracle")}
        toy.write("alpha", seed, 50, misses=misses)
        toy.write("beta", seed, 50)
    (axis,) = axes_of(scores.misses, toy)
    assert sum(bar.get_width() for bar in axis.patches if bar.get_y() > 0.5) == pytest.approx(20 + 5 + 0 + 3 + 2)
    # Alpha misses 30 and 34: 32, sd 2.83. Its parts are 20 and 24; nothing else varies, and of Beta nothing.
    assert np.allclose(whiskers(axis), [(22 - 8**0.5, 22 + 8**0.5), (32 - 8**0.5, 32 + 8**0.5)])


def test_one_seed_has_no_whisker(repository: Any) -> None:
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50)
    assert not whiskers(axes_of(scores.misses, toy)[0])
    assert not whiskers(axes_of(scores.method_bars, toy)[0])


def test_a_heat_map_has_every_method_on_every_track(repository: Any) -> None:
    both = repository(tracks=["toy", "other"], seeds=[0])
    both.write("alpha", 0, 50)
    both.write("alpha", 0, 40, track="other")
    (axis,) = axes_of(scores.heat_map, both)
    assert [text.get_text() for text in axis.texts] == ["50.0", "40.0"]


def test_a_recipe_stands_at_its_track_or_where_a_track_has_several_at_its_methods(repository: Any) -> None:
    both = repository(tracks=["toy", "other"], methods=["alpha", "beta"], seeds=[0])
    for track, best in (("toy", 50), ("other", 40)):
        for method in ("alpha", "beta"):
            both.write(method, 0, best, track=track)
    frame = frame_of(both)
    searched = frame["track"].eq("other")
    for where, rows, columns, numbers in (
        (searched, ["Alpha", "Beta"], ["toy", "other\n[recipe: searched]"], ["50.0", "40.0"] * 2),
        (searched & frame["method"].eq("beta"), ["Alpha", "Beta", "Beta [recipe: searched]"], ["toy", "other"], None),
    ):
        with figure_style():
            (axis,) = scores.heat_map(frame.assign(recipe=frame["recipe"].mask(where, "searched"))).axes
        shown = [[text.get_text().replace("\N{NO-BREAK SPACE}", " ") for text in each]
                 for each in (axis.get_yticklabels(), axis.get_xticklabels(), axis.texts)]  # fmt: skip
        assert shown[:2] == [rows, columns]
        assert numbers is None or shown[2] == numbers


def test_axes_say_when_they_are_zoomed(full: Repository) -> None:
    (axis,) = axes_of(scores.trade_off, full)
    low, high = axis.get_ylim()
    assert low > 0
    assert axis.get_ylabel().replace("\n", " ") == f"GT-known, val (%), zoomed to {low:.0f}-{high:.0f}"


def test_published_and_measured_lie_on_the_diagonal_where_they_agree(full: Repository) -> None:
    fixed = {"track": "toy", "recipe": "common", "number": "max_box_acc"}
    compared = pd.DataFrame([
        {"method": "alpha", "measured_mean": 46, "measured_sd": 1, "published": 50, "contradictory": False},
        {"method": "beta", "measured_mean": 53.5, "measured_sd": None, "published": 53.5, "contradictory": True},
    ]).assign(**fixed)  # fmt: skip
    (axis,) = axes_of(ranks.published, full, compared)
    points = {(line.get_xdata()[0], line.get_ydata()[0]): line for line in axis.lines if len(line.get_xdata()) == 1}
    assert {(50, 46), (53.5, 53.5)} <= set(points)
    assert points[53.5, 53.5].get_markerfacecolor() == "white"  # sources disagree
    assert points[50, 46].get_marker() != points[53.5, 53.5].get_marker()
    assert axis.get_xlim() == axis.get_ylim()
    (diagonal,) = [line for line in axis.lines if line.get_marker() == "None" and len(line.get_xdata()) == 2]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())


def test_a_method_looks_alike_whatever_else_is_drawn(full: Repository) -> None:
    frame = labelled(frame_of(full))
    every = styles_of(frame)
    assert styles_of(labelled(frame_of(full).query("method == 'beta'"))) == {"Beta": every["Beta"]}
    assert len({(style["marker"], style["color"]) for style in every.values()}) == 3


def test_groups_and_remarks_are_those_of_the_tables(repository: Any) -> None:
    toy = repository(methods=["alpha", "beta"], baselines=["ceiling"], seeds=[0, 1])
    for seed in toy.seeds:
        toy.write("alpha", seed, 50, recipe="searched")
        toy.write("beta", seed, 50)
        toy.write("ceiling", seed, 50)
    rows = labelled(frame_of(toy)).drop_duplicates("row").sort_values("row")
    names = [row.replace("\N{NO-BREAK SPACE}", " ") for row in rows["row"]]
    assert names == ["Alpha [recipe: searched]", "Beta", "Ceiling"]
    assert list(rows["block"]) == [0, 1, 2]


def test_the_style_leaves_the_users_settings_alone() -> None:
    with mpl.rc_context({"font.size": 23}):
        with figure_style():
            assert mpl.rcParams["font.size"] == 8
        assert mpl.rcParams["font.size"] == 23


def test_box_colours_stay_apart_in_grey() -> None:
    true, predicted = (np.dot(colour, (0.299, 0.587, 0.114)) for colour in (TRUE_RGB, PREDICTED_RGB))
    assert abs(true - predicted) > 100
