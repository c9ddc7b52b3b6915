"""Ranks over tracks: textbook numbers through the whole report, and nothing where there is too little."""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
import pytest

from tests.report.conftest import Repository
from tests.results.test_significance import DEMSAR
from wsolbench.report.build import write_summary
from wsolbench.report.figures.ranks import critical_difference
from wsolbench.report.figures.style import figure_style
from wsolbench.report.page import write_page
from wsolbench.report.plot import PlotOptions, write_plot
from wsolbench.report.ranks import Ranking, ranking, rankings, ranks_csv, ranks_section
from wsolbench.report.track import load_numbers
from wsolbench.results.metrics import metrics_named

(VAL,) = metrics_named("gt_known.val")


@pytest.fixture
def demsar(repository) -> Repository:  # type: ignore[no-untyped-def]
    """Demsar's table 6 as accuracies of four methods on 14 tracks of two data sets."""
    tracks = [f"t{index}" for index in range(14)]
    many = repository(tracks=tracks, methods=["plain", "m", "cf", "mcf"], seeds=[0])
    for method, values in zip(many.methods, DEMSAR.values(), strict=True):
        for index, (track, value) in enumerate(zip(tracks, values, strict=True)):
            at = {"fixed": 10.0, "val": 100 * value, "oracle": 100.0, "published": None}
            many.write(method, 0, 50.0, track=track, gt_known=at, dataset="even" if index % 2 else "odd")
    return many


def ranked(repository: Repository, tracks: int | None = None) -> Ranking:
    names = repository.tracks[:tracks]
    return ranking([repository.track(name) for name in names], VAL)


def test_demsars_example_from_metrics_files_to_text(demsar: Repository) -> None:
    found = ranked(demsar)
    assert list(found.ranks.values()) == pytest.approx([3.143, 2.000, 2.893, 1.964], abs=1e-3)
    assert found.critical == pytest.approx(2.569 * (4 * 5 / (6 * 14)) ** 0.5, abs=1e-3)
    # Best and worst lie 1.18 apart, less than the critical difference, as Demsar finds.
    assert found.groups == [["mcf", "m", "cf", "plain"]]
    for part in ("mean ranks over 14 tracks", "less than 1.25", "Friedman's chi-square is", "share 2 data sets"):
        assert part in found.reading
    assert "rough" not in found.reading
    section = ranks_section([found])
    assert "| Mcf | 1.96 | none |" in section
    table = pd.read_csv(io.StringIO(ranks_csv([found])))
    assert table["mean_rank"].tolist() == list(found.ranks.values())
    assert set(table["tracks"]) == {14}


def test_methods_further_apart_than_the_critical_difference_are_not_joined(repository) -> None:  # type: ignore[no-untyped-def]
    many = repository(tracks=[f"t{index}" for index in range(6)], methods=["a", "b", "c", "d"], seeds=[0])
    for track in many.tracks:
        for level, method in enumerate(many.methods):
            many.write(method, 0, 50.0 + 5 * level, track=track, dataset=track)
    found = ranked(many)
    assert found.ranks == {"a": 4, "b": 3, "c": 2, "d": 1}
    # The critical difference of 4 methods on 6 tracks is 2.569 * sqrt(20 / 36) = 1.91: neighbours only are joined.
    assert found.groups == [["d", "c"], ["c", "b"], ["b", "a"]]
    section = ranks_section([found])
    assert "| D | 1.00 | A, B |" in section
    assert "| B | 3.00 | D |" in section
    assert "are rough" in found.reading
    assert "independent" not in found.reading
    with figure_style():
        axis = critical_difference([found], load_numbers(many.settings, many.tracks, many.root).frame).axes[0]
    bars = [sorted(line.get_xdata()) for line in axis.lines if line.get_linewidth() == 2.5]
    assert sorted(bars) == [[1, 2], [2, 3], [3, 4]]


def test_without_evidence_of_any_difference_no_pair_is_told_apart(repository) -> None:  # type: ignore[no-untyped-def]
    many = repository(tracks=[f"t{index}" for index in range(4)], methods=["a", "b", "c"], seeds=[0])
    for turn, track in enumerate(many.tracks):
        for place, method in enumerate(many.methods):
            many.write(method, 0, 50.0 + (place + turn) % 3, track=track)
    found = ranked(many)
    assert not found.differs
    assert found.groups == [sorted(found.ranks, key=found.ranks.__getitem__)]
    assert "no evidence that the methods rank differently" in found.reading


@pytest.mark.parametrize("tracks", [1, 2])
def test_too_few_tracks_rank_nothing_and_say_so(demsar: Repository, tracks: int) -> None:
    found = ranked(demsar, tracks)
    assert (found.ranks, found.critical, found.test) == ({}, None, None)
    assert f"nothing is ranked, because {tracks} track" in found.reading
    assert "below 3 tracks" in found.reading  # 2.569 * sqrt(20 / 6 / 3) = 2.7 < 3 < 3.3 = 2.569 * sqrt(20 / 6 / 2)
    assert ranks_csv([found]).count("\n") == 1
    assert "|" not in ranks_section([found])
    assert "](plots" not in ranks_section([found])


def test_two_methods_are_too_few(repository) -> None:  # type: ignore[no-untyped-def]
    few = repository(methods=["alpha", "beta"], seeds=[0])
    few.write("alpha", 0, 50)
    few.write("beta", 0, 60)
    assert "because 2 methods can be compared on every track" in ranked(few).reading


def test_methods_of_another_recipe_or_missing_somewhere_are_left_out(demsar: Repository) -> None:
    at = {"fixed": 10.0, "val": 99.0, "oracle": 100.0, "published": None}
    demsar.write("m", 0, 50.0, track="t3", gt_known=at, recipe="searched", dataset="even")
    found = ranked(demsar)
    assert list(found.titles) == ["plain", "cf", "mcf"]
    assert found.left_out == ("M",)
    assert "Left out, without a number by the same recipe on every track: M." in found.reading
    demsar.write("plain", 0, 50.0, track="t5", gt_known=at | {"val": None}, dataset="even")
    assert list(ranked(demsar).titles) == ["cf", "mcf"]


def test_a_track_where_nobody_has_the_number_does_not_count(demsar: Repository) -> None:
    for method in demsar.methods:
        at = {"fixed": 10.0, "val": None, "oracle": 100.0, "published": None}
        demsar.write(method, 0, 50.0, track="t0", gt_known=at)
    found = ranked(demsar)
    assert len(found.tracks) == 13
    assert len(found.titles) == 4


@pytest.mark.slow
def test_summary_page_and_plot_hold_the_ranks(demsar: Repository, tmp_path: Path) -> None:
    files = {path.name for path in write_summary(demsar.settings, demsar.root)}
    assert {"ranks.csv", "critical_difference.webp"} <= files
    text = (demsar.root / "results" / "summary.md").read_text(encoding="utf-8")
    assert "| Mcf | 1.96 | none |" in text
    assert "(plots/critical_difference.webp)" in text
    page = write_page(demsar.settings, demsar.root).read_text(encoding="utf-8")
    assert "less than 1.25 are not told apart" in page
    assert 'alt="Critical-difference diagram' in page
    out = tmp_path / "ranks.pdf"
    write_plot(demsar.settings, "critical_difference", [], [], out, demsar.root, PlotOptions())
    assert out.read_bytes().startswith(b"%PDF")
    settings = demsar.settings
    settings.run.only["t0"] = ["plain", "mcf"]  # most methods have no number there
    write_summary(settings, demsar.root)
    assert set(pd.read_csv(demsar.root / "results" / "ranks.csv")["tracks"]) == {13}


@pytest.mark.slow
def test_a_single_track_has_a_picture_that_says_why_and_none_on_the_page(full: Repository) -> None:
    write_summary(full.settings, full.root)
    assert "nothing is ranked" in (full.root / "results" / "summary.md").read_text(encoding="utf-8")
    page = write_page(full.settings, full.root).read_text(encoding="utf-8")
    assert "nothing is ranked" in page
    assert "Critical-difference diagram" not in page
    with figure_style():
        ranked = rankings([full.track()])
        figure = critical_difference(ranked, load_numbers(full.settings, ["toy"], full.root).frame)
    assert all("nothing is ranked" in axis.texts[0].get_text().replace("\n", " ") for axis in figure.axes)
