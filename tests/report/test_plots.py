"""Plots show the numbers of the results, are the same each time, and refuse what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.report.conftest import Repository
from wsolbench.errors import DataError, SettingsError
from wsolbench.layout import Layout
from wsolbench.report.plot import PLOTS, PlotOptions, figure_of, write_plot
from wsolbench.report.results import TrackResults, read_track
from wsolbench.report.style import figure_style


@pytest.fixture
def everything(full: Repository) -> Repository:
    """The two methods and the bound, with histories."""
    layout = Layout(full.root)
    for method in ("alpha", "beta", "ceiling"):
        for seed in full.seeds:
            key = f"toy-{method}-{seed}"
            layout.run(key).mkdir(parents=True)
            pd.DataFrame({"epoch": [1, 2], "loss_a": [2.0, 1.0], "loss_b": [1.0, 1.0 + seed]}).to_csv(
                layout.run(key) / "history.csv"
            )
    return full


def results_of(repository: Repository) -> TrackResults:
    return read_track(repository.settings, "toy", repository.root)


def drawn(repository: Repository, kind: str) -> Figure:
    with figure_style():
        return figure_of(kind, [results_of(repository)], repository.root)


def test_overlaps_are_shares_of_images(full: Repository) -> None:
    axis = drawn(full, "overlaps").axes[0]
    curve = dict(zip(axis.lines[0].get_xdata(), axis.lines[0].get_ydata(), strict=True))
    # Alpha's val accuracies are 44, 45 and 46; its other images overlap by 0.25.
    assert curve[0.5] == pytest.approx(45)
    assert curve[0.2] == 100
    assert curve[1.0] == 0


def test_sizes_without_objects_are_left_out(full: Repository) -> None:
    axis = drawn(full, "object_sizes").axes[0]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["medium\n300 images", "large\n100 images"]


def test_misses_add_up(full: Repository) -> None:
    axis = drawn(full, "misses").axes[0]
    first = [bar for bar in axis.patches if bar.get_y() < 0.5]
    assert sum(bar.get_width() for bar in first) == pytest.approx(20 + 5 + 0 + 3 + 2)


def test_markers_and_lines_tell_methods_apart_without_colour(full: Repository) -> None:
    lines = drawn(full, "overlaps").axes[0].lines[:3]
    assert len({(line.get_marker(), line.get_linestyle()) for line in lines}) == 3


def test_training_curves_are_sums_of_losses(everything: Repository) -> None:
    axis = drawn(everything, "training").axes[0]
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [3, 3])  # mean over seeds 0, 1, 2 of 2, 3, 4 in the end
    assert len(axis.lines) == 2  # no line for the bound


def test_a_heat_map_has_every_method_on_every_track(repository) -> None:  # type: ignore[no-untyped-def]
    both = repository(tracks=["toy", "other"], seeds=[0])
    both.write("alpha", 0, 50)
    both.write("alpha", 0, 40, track="other")
    with figure_style():
        tracks = [read_track(both.settings, name, both.root) for name in ("toy", "other")]
        axis = figure_of("heat_map", tracks, both.root).axes[0]
    assert [text.get_text() for text in axis.texts] == ["50.0", "40.0"]


@pytest.mark.parametrize("kind", PLOTS)
def test_every_plot_is_written_the_same_twice(everything: Repository, tmp_path: Path, kind: str) -> None:
    for suffix in ("pdf", "svg", "png"):
        paths = [tmp_path / f"{name}.{suffix}" for name in "ab"]
        for path in paths:
            write_plot(everything.settings, kind, ["toy"], [], path, everything.root, PlotOptions())
        assert paths[0].read_bytes() == paths[1].read_bytes()


def test_size_font_and_methods_are_the_users(everything: Repository, tmp_path: Path) -> None:
    out = tmp_path / "sub" / "x.svg"
    options = PlotOptions(width=3, height=2, font_size=6, font="DejaVu Serif")
    write_plot(everything.settings, "trade_off", [], ["beta"], out, everything.root, options)
    text = out.read_text()
    assert 'width="216pt" height="144pt"' in text
    assert not list(out.parent.glob("*.tmp"))


@pytest.mark.parametrize(
    ("kind", "tracks", "methods", "out", "message"),
    [
        ("bars", [], [], "x.pdf", "there is no plot 'bars'"),
        ("misses", [], [], "x.jpg", "none of .pdf"),
        ("misses", ["toy", "toy"], [], "x.pdf", "shows one track"),
        ("misses", [], ["betta"], "x.pdf", "did you mean 'beta'"),
        ("misses", ["tyo"], [], "x.pdf", "did you mean 'toy'"),
    ],
)
def test_what_does_not_fit_is_refused(
    full: Repository, tmp_path: Path, kind: str, tracks: list[str], methods: list[str], out: str, message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        write_plot(full.settings, kind, tracks, methods, tmp_path / out, full.root, PlotOptions())
    assert not (tmp_path / out).exists()


@pytest.mark.parametrize(("kind", "lacking"), [("training", "history.csv cannot be read"), ("speed", "is missing")])
def test_what_a_plot_lacks_is_named(full: Repository, tmp_path: Path, kind: str, lacking: str) -> None:
    Layout(full.root).provenance("toy-alpha-0").unlink()
    with pytest.raises(DataError, match=f"toy-alpha-0.*{lacking}"):
        write_plot(full.settings, kind, [], [], tmp_path / "x.pdf", full.root, PlotOptions())
