"""Plots show the numbers of the results, are the same each time, and refuse what does not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.report.conftest import Repository
from tests.report.test_build import STEMS
from tests.report.test_published import measured
from tests.search.stored import store
from wsolbench.config.paths import Layout
from wsolbench.errors import DataError, SettingsError
from wsolbench.report.columns import summarised
from wsolbench.report.plot import PLOTS, PlotOptions, figure_of, write_plot
from wsolbench.report.published import comparisons, read_published
from wsolbench.report.published_figure import published_figure
from wsolbench.report.style import figure_style
from wsolbench.results.load import TrackResults, read_track


@pytest.fixture
def everything(full: Repository) -> Repository:
    """The two methods and the bound, with histories of the methods and a search."""
    layout = Layout(full.root)
    store(full.root, [40.0, None, 30.0])
    for method in ("alpha", "beta"):
        for seed in full.seeds:
            path = layout.history("toy", f"toy-{method}-{seed}")
            path.parent.mkdir(parents=True, exist_ok=True)
            losses = {"loss_a": [2.0, 1.0], "loss_b": [1.0, 1.0 + seed], "val_cls": [7.0, 8.0]}
            pd.DataFrame({"epoch": [1, 3], "lr": [0.1, 0.01]} | losses).to_csv(path, index=False)
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


def test_training_curves_are_sums_of_losses_with_their_spread(everything: Repository) -> None:
    losses, rates = drawn(everything, "training").axes
    assert losses.lines[0].get_xdata().tolist() == [1, 3]
    np.testing.assert_allclose(losses.lines[0].get_ydata(), [3, 3])  # mean over seeds 0, 1, 2 of 2, 3, 4 in the end
    assert len(losses.lines) == len(rates.lines) == 2  # no line for the bound
    np.testing.assert_allclose(rates.lines[1].get_ydata(), [0.1, 0.01])
    assert all("$" not in label.get_text() for label in losses.get_yticklabels())
    band = losses.collections[0].get_paths()[0].vertices
    last = band[band[:, 0] == 3][:, 1]
    assert (last.min(), last.max()) == pytest.approx((2, 4))


def test_a_track_that_trains_nothing_has_no_training_curves(everything: Repository) -> None:
    for path in (everything.root / "results" / "history" / "toy").iterdir():
        path.write_text("epoch,lr\n")
    with pytest.raises(DataError, match="none of its runs trained anything"):
        drawn(everything, "training")


def test_a_damaged_history_is_named(everything: Repository) -> None:
    Layout(everything.root).history("toy", "toy-beta-1").write_text("lr\n0.1\n")
    with pytest.raises(DataError, match=r"toy-beta-1\.csv is damaged.*wsolbench evaluate toy-beta-"):
        drawn(everything, "training")


def test_published_and_measured_lie_on_the_diagonal_where_they_agree(repository) -> None:  # type: ignore[no-untyped-def]
    results, published = measured(repository), read_published(Path())
    with figure_style():
        axis = published_figure([results], published).axes[0]
    expected = {
        (theirs, summary.mean)
        for each in comparisons(results, published)
        for theirs in each.published["value"]
        if (summary := summarised(each.row, each.column))
    }
    points = {(line.get_xdata()[0], line.get_ydata()[0]) for line in axis.lines if line.get_marker() in "os"}
    assert len(expected) > 5
    assert expected <= points
    assert axis.get_xlim() == axis.get_ylim()
    (diagonal,) = [line for line in axis.lines if line.get_marker() == "None" and len(line.get_xdata()) == 2]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata())
    markers = {line.get_marker() for line in axis.lines} & set("osD^")
    assert len(markers) == 2  # a method each, without colour


def test_nothing_published_is_said_and_not_drawn(full: Repository, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\(toy: nobody has published numbers on data set pictures\)"):
        write_plot(full.settings, "published", [], [], tmp_path / "x.pdf", full.root, PlotOptions())
    assert list(tmp_path.glob("x.*")) == []


def test_misses_have_the_spread_of_the_seeds(repository) -> None:  # type: ignore[no-untyped-def]
    toy = repository(methods=["alpha", "beta"], seeds=[0, 1])
    kinds = {"part": 20.0, "more": 5.0, "multi_instance": 0.0, "background": 3.0, "other": 2.0}
    for seed in toy.seeds:
        misses = {name: kinds | {"part": 20.0 + 4 * seed} for name in ("fixed", "val", "oracle")}
        toy.write("alpha", seed, 50, misses=misses)
        toy.write("beta", seed, 50)
    axis = drawn(toy, "misses").axes[0]
    found = [line.get_segments()[0][:, 0] for line in axis.collections]
    # Alpha misses 30 and 34: 32, sd 2.83. Its parts are 20 and 24; nothing else varies, and of Beta nothing.
    assert np.allclose(found, [(22 - 8**0.5, 22 + 8**0.5), (32 - 8**0.5, 32 + 8**0.5)])


def test_one_seed_has_no_whisker_in_the_misses(repository) -> None:  # type: ignore[no-untyped-def]
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50)
    assert not drawn(toy, "misses").axes[0].collections


def test_a_heat_map_has_every_method_on_every_track(repository) -> None:  # type: ignore[no-untyped-def]
    both = repository(tracks=["toy", "other"], seeds=[0])
    both.write("alpha", 0, 50)
    both.write("alpha", 0, 40, track="other")
    with figure_style():
        tracks = [read_track(both.settings, name, both.root) for name in ("toy", "other")]
        axis = figure_of("heat_map", tracks, both.root).axes[0]
    assert [text.get_text() for text in axis.texts] == ["50.0", "40.0"]


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [("methods", "pdf"), *((kind, "svg") for kind in PLOTS if kind not in {"published", *STEMS})],  # reports draw STEMS
)
def test_every_plot_is_written_the_same_twice(everything: Repository, tmp_path: Path, kind: str, suffix: str) -> None:
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


@pytest.mark.parametrize(("kind", "lacking"), [("training", "is missing; run"), ("speed", "is missing")])
def test_what_a_plot_lacks_is_named(full: Repository, tmp_path: Path, kind: str, lacking: str) -> None:
    Layout(full.root).provenance("toy-alpha-0").unlink()
    with pytest.raises(DataError, match=f"toy-alpha-0.*{lacking}"):
        write_plot(full.settings, kind, [], [], tmp_path / "x.pdf", full.root, PlotOptions())
