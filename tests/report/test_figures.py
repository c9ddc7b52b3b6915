import matplotlib as mpl
import numpy as np
import pytest

from wsolbench.report.bars import bar_figure
from wsolbench.report.curves import curve_figure, pixel_figure, read_curves
from wsolbench.report.palette import PREDICTED_RGB, TRUE_RGB
from wsolbench.report.style import figure_style
from wsolbench.results.load import read_track


@pytest.fixture
def results(full):
    return read_track(full.settings, "toy", full.root)


def lines_with_marker(axis, marker):
    return [line for line in axis.lines if line.get_marker() == marker]


def test_bars_are_means_whiskers_one_sd_and_points_the_seeds(results):
    with figure_style():
        axis = bar_figure(results).axes[2]
    assert axis.get_title(loc="left") == "MaxBoxAcc (oracle threshold)"
    assert [bar.get_width() for bar in axis.patches] == pytest.approx([46, 53.5, 91])
    whiskers = [container.lines[2][0].get_segments()[0] for container in axis.containers if hasattr(container, "lines")]
    assert np.allclose([ends[:, 0] for ends in whiskers], [(45, 47), (52.5, 54.5), (90, 92)])
    seeds = [list(line.get_xdata()) for line in lines_with_marker(axis, "o")]
    assert seeds == [[45, 46, 47], [52.5, 53.5, 54.5], [90, 91, 92]]


def test_baselines_are_told_from_methods_without_colour(results):
    with figure_style():
        axis = bar_figure(results).axes[0]
    assert [bar.get_hatch() for bar in axis.patches] == [None, None, "////"]
    first, second, bound = axis.get_yticks()
    assert bound - second > second - first


def test_curves_are_means_with_each_seeds_thresholds_marked(full, results):
    curves = read_curves(results, full.root, ["box_acc_iou50"])
    with figure_style():
        axis = curve_figure(results, full.root).axes[1]
    assert axis.get_title(loc="left") == "Beta"
    expected = np.mean([curves[f"toy-beta-{seed}"].box_acc_iou50 for seed in (0, 1, 2)], axis=0)
    assert any(np.allclose(line.get_ydata(), expected) for line in axis.lines if len(line.get_ydata()) == len(expected))
    val = [(line.get_xdata()[0], line.get_ydata()[0]) for line in lines_with_marker(axis, "v")]
    assert np.allclose(val, [(0.30, 51.5), (0.31, 52.5), (0.32, 53.5)])
    oracle = [line.get_ydata()[0] for line in lines_with_marker(axis, "*")]
    assert oracle == [52.5, 53.5, 54.5]
    assert len(axis.collections) == 1  # the band


def test_the_style_leaves_the_users_settings_alone():
    mpl.rcParams["font.size"] = 23
    try:
        with figure_style():
            assert mpl.rcParams["font.size"] == 8
        assert mpl.rcParams["font.size"] == 23
    finally:
        mpl.rcParams["font.size"] = mpl.rcParamsDefault["font.size"]


def test_box_colours_stay_apart_in_grey():
    true, predicted = (np.dot(colour, (0.299, 0.587, 0.114)) for colour in (TRUE_RGB, PREDICTED_RGB))
    assert abs(true - predicted) > 100


def test_without_boxes_the_bars_are_of_pixels_and_no_panel_is_empty(masked):
    with figure_style():
        axes = bar_figure(read_track(masked.settings, "toy", masked.root)).axes
    titles = [
        "PxAP (all thresholds)",
        "PxAP, mean over classes",
        "pIoU (threshold from val)",
        "pIoU (oracle threshold)",
    ]
    assert [axis.get_title(loc="left") for axis in axes] == titles
    assert [bar.get_width() for bar in axes[0].patches] == pytest.approx([51, 58.5, 96])
    assert [bar.get_width() for bar in axes[2].patches] == pytest.approx([27, 34.5, 72])
    assert not [text for axis in axes for text in axis.texts]


def test_without_val_the_fixed_threshold_is_drawn(repository):
    toy = repository(seeds=[0], masks=True)
    toy.write("alpha", 0, 50, p_iou={"fixed": 30.0, "val": None, "oracle": 32.0})
    with figure_style():
        axes = bar_figure(read_track(toy.settings, "toy", toy.root)).axes
    assert axes[2].get_title(loc="left") == "pIoU (fixed threshold)"
    assert [bar.get_width() for bar in axes[2].patches] == [30]


def test_without_boxes_curves_are_of_p_iou(masked):
    results = read_track(masked.settings, "toy", masked.root)
    curves = read_curves(results, masked.root, ["p_iou"])
    with figure_style():
        figure = curve_figure(results, masked.root)
    axis = figure.axes[1]
    assert "pIoU over thresholds" in figure.get_suptitle()
    expected = np.mean([curves[f"toy-beta-{seed}"].p_iou for seed in (0, 1, 2)], axis=0)
    assert any(np.allclose(line.get_ydata(), expected) for line in axis.lines if len(line.get_ydata()) == len(expected))
    assert [line.get_ydata()[0] for line in lines_with_marker(axis, "v")] == pytest.approx([33.5, 34.5, 35.5])


@pytest.mark.parametrize("made", ["full", "masked"])
def test_precision_and_recall_are_drawn_wherever_there_are_masks(made, request):
    toy = request.getfixturevalue(made)
    results = read_track(toy.settings, "toy", toy.root)
    with figure_style():
        axis = pixel_figure(results, toy.root).axes[0]
    threshold = np.arange(100) / 100
    assert np.allclose(axis.lines[0].get_xdata(), 100 - 99 * threshold**2)
    assert np.allclose(axis.lines[0].get_ydata(), 30 + 60 * threshold)
    assert list(axis.lines[-1].get_ydata()) == [30, 30]  # all pixels: the share of the object
