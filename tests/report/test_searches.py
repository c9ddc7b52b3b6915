"""Searches in tables, on the page and in plots; unequal budgets are said to be unequal."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.report.conftest import Repository, searched
from tests.search.stored import SPACE
from wsolbench.config.distributions import Choice, Uniform
from wsolbench.config.recipe import MethodBlock
from wsolbench.errors import DataError, SettingsError
from wsolbench.report.build import write_report
from wsolbench.report.figures.searches import search
from wsolbench.report.figures.style import figure_style
from wsolbench.report.page import write_page
from wsolbench.report.plot import PlotOptions, write_plot
from wsolbench.report.searches import budget_differences, search_section, search_summary, searches_of


@pytest.fixture
def both(full: Repository) -> Repository:
    """Searches of the two methods, with equal budgets."""
    searched(full.root, "beta", [30.0, None, 50.0, 40.0])
    searched(full.root, "alpha", [10.0, 20.0, 60.0, 30.0])
    return full


def section(repository: Repository) -> str:
    return search_section(repository.track(), repository.settings, repository.root)


def test_a_line_has_counts_best_median_range_and_deviation_of_what_did_not_fail(both: Repository) -> None:
    summary = search_summary(both.track(), both.settings, both.root)
    alpha, beta = summary.table.to_numpy().tolist()
    assert alpha[:7] == ["Alpha", "4", "0", "60.0", "25.0", "10.0 to 60.0", f"{np.std([10, 20, 60, 30], ddof=1):.1f}"]
    assert beta[:7] == ["Beta", "4", "1", "50.0", "40.0", "30.0 to 50.0", "10.0"]
    assert alpha[7] == "lr 0.4, sizes None"
    assert beta[7] == "lr 0.4, sizes None"


def test_equal_budgets_are_said_to_be_equal(both: Repository) -> None:
    text = section(both)
    assert "All methods had the same budget: trials 4; epochs per trial 2" in text
    assert "not equal" not in text
    assert budget_differences(searches_of("toy", [], both.root)) == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"batch": 9}, "batch (8: Alpha; 9: Beta)"),
        ({"data": "e" * 64}, "data digest (dddddddddddd: Alpha; eeeeeeeeeeee: Beta)"),
        ({"epochs": 3}, "epochs per trial (2: Alpha; 3: Beta)"),
        ({"seed": 1}, "seed (0: Alpha; 1: Beta)"),
        ({"boxes_used": 0, "objective": "top1_cls"}, "boxes of val (7: Alpha; 0: Beta)"),
        ({"space": {"args.sizes": Choice((None, (1,)))}}, "not searched: Beta"),
    ],
)
def test_unequal_budgets_are_marked_with_what_differs(both: Repository, change: dict[str, Any], said: str) -> None:
    searched(both.root, "beta", [30.0, None, 50.0, 40.0], **change)
    text = section(both)
    assert "**The budgets are not equal, and the methods do not compare**" in text
    assert said in text
    with figure_style():
        assert "UNEQUAL BUDGETS" in search(searches_of("toy", [], both.root)).get_suptitle()


def test_another_number_of_trials_is_another_budget(both: Repository) -> None:
    searched(both.root, "beta", [30.0, 50.0])
    assert "trials (4: Alpha; 2: Beta)" in section(both)


def test_a_search_in_which_every_trial_failed_has_no_numbers(both: Repository) -> None:
    searched(both.root, "beta", [None] * 4)
    summary = search_summary(both.track(), both.settings, both.root)
    assert summary.table.iloc[1].tolist() == ["Beta", "4", "4", "n/a", "n/a", "n/a", "n/a", "none"]
    with figure_style():
        search(searches_of("toy", [], both.root))


def test_one_trial_has_no_spread(full: Repository) -> None:
    searched(full.root, "alpha", [10.0])
    text = section(full)
    assert "The budget: trials 1" in text
    assert "| 10.0 | 10.0 | 10.0 to 10.0 | n/a |" in text


def test_an_unfinished_search_is_said_to_be_one(both: Repository) -> None:
    searched(both.root, "beta", [30.0, 50.0], trials=4)
    text = section(both)
    assert "**Not finished**" in text
    assert "Beta (2)" in text
    with figure_style():
        assert "NOT FINISHED" in search(searches_of("toy", [], both.root)).get_suptitle()


@pytest.mark.slow
def test_without_searches_it_is_said_that_there_is_none_and_their_picture_goes(reported: Repository) -> None:
    assert (reported.root / "results/plots/toy/search.webp").exists()
    shutil.rmtree(reported.root / "results/search/toy")
    assert "none in `results/search/toy`" in section(reported)
    assert "search" not in {path.stem for path in write_report(reported.settings, "toy", reported.root)}
    assert not (reported.root / "results/plots/toy/search.webp").exists()
    assert (
        "There is none in <code>results/search/toy</code>" in write_page(reported.settings, reported.root).read_text()
    )


def test_a_searched_row_without_a_search_is_named_and_so_are_other_data(repository: Any) -> None:
    toy = repository(seeds=[0], methods=["alpha", "beta"])
    toy.write("alpha", 0, 50, recipe="searched", data_digest="e" * 64)
    toy.write("beta", 0, 50, recipe="searched", data_digest="e" * 64)
    searched(toy.root, "beta", [1.0, 2.0])
    text = section(toy)
    assert "Marked `searched` without a search that is stored here: " in text
    assert "lpha" in text.partition("Marked")[2].partition("\n")[0]
    assert "Searched on other data than the track's results (the digests differ): Beta." in text
    assert "but not with what won the search that is stored here: B" in text


@pytest.mark.parametrize(
    ("lr", "sizes", "applied"), [(0.2, [1], True), (0.1, [1], False), (0.2, None, False), (0.2, "absent", False)]
)
def test_a_searched_row_has_what_won_the_search_or_is_named(
    repository: Any, lr: float, sizes: Any, applied: bool
) -> None:
    toy = repository(seeds=[0], methods=["alpha"])
    toy.write("alpha", 0, 50, recipe="searched")
    searched(toy.root, "alpha", [1.0, 2.0, None])  # the second wins: lr 0.2, sizes [1]
    on_track = {"recipe": "searched", "args": {} if sizes == "absent" else {"sizes": sizes}, "train": {"lr": lr}}
    block = MethodBlock.model_validate({"tracks": {"toy": on_track}})
    settings = toy.settings.model_copy(update={"methods": toy.settings.methods | {"alpha": block}})
    text = search_section(toy.track(), settings, toy.root)
    assert ("but not with what won the search" in text) != applied


@pytest.mark.slow
def test_report_and_page_show_searches(reported: Repository) -> None:
    assert "## Hyper-parameter search on `val`" in (reported.root / "results/tables/toy.md").read_text()
    html = (reported.root / "results/report.html").read_text()
    assert "<h3>Hyper-parameter search on <code>val</code></h3>" in html
    assert "<td>10.0 to 60.0</td>" in html
    assert "Plot of toy: Search" in html


@pytest.mark.slow
def test_names_that_users_supplied_are_text_on_the_page(reported: Repository) -> None:
    searched(reported.root, "beta", [1.0] * 4, val_truth="<script>alert(1)</script>", title="<b>Beta|*")
    page = write_page(reported.settings, reported.root).read_text()
    assert "&lt;b&gt;Beta|*" in page
    assert "<b>Beta" not in page
    assert "<script>alert" not in page
    assert "\\<b\\>Beta\\|\\*" in section(reported)


def test_a_damaged_search_is_named(both: Repository) -> None:
    (both.root / "results/search/toy/beta/search.json").write_text("{")
    with pytest.raises(DataError, match=r"beta/search\.json"):
        write_report(both.settings, "toy", both.root)


def test_the_figure_shows_every_trial_against_every_parameter(both: Repository) -> None:
    with figure_style():
        figure = search(searches_of("toy", ["beta"], both.root))
        figure.draw_without_rendering()
    panels = [axis for axis in figure.axes if axis.get_visible()]
    assert [axis.get_title(loc="left") for axis in panels] == ["Beta", "", "", "Alpha", "", ""]
    assert [axis.get_xlabel() for axis in panels[1:3]] == ["lr", "sizes"]
    assert [axis.get_xscale() for axis in panels[:3]] == ["linear", "log", "linear"]
    assert [label.get_text() for label in panels[2].get_xticklabels()] == ["none", "1"]
    done, failed, best = panels[1].lines
    np.testing.assert_allclose(done.get_xydata(), [[0.1, 30], [0.4, 50], [0.8, 40]])
    np.testing.assert_allclose(failed.get_xdata(), [0.2])
    np.testing.assert_allclose(best.get_xydata(), [[0.4, 50]])


def test_panels_show_all_that_was_searched(full: Repository) -> None:
    searched(full.root, "alpha", [30.0, 40.0, None, None], space=SPACE | {"args.rest": Uniform(2, 4)})
    with figure_style():
        figure = search(searches_of("toy", [], full.root))
        figure.draw_without_rendering()
    panels = [axis for axis in figure.axes if axis.get_visible()]
    np.testing.assert_allclose(panels[1].get_xlim(), [0.01, 1])
    np.testing.assert_allclose(panels[3].get_xlim(), [2, 4])
    assert panels[1].get_ylim()[0] > 20  # the height of a failed trial is no value


def test_a_plot_of_some_methods_and_of_none(both: Repository, tmp_path: Path) -> None:
    out = tmp_path / "x.svg"
    write_plot(both.settings, "search", ["toy"], ["beta"], out, both.root, PlotOptions())
    assert out.stat().st_size > 1000
    with pytest.raises(DataError, match="did you mean 'beta'"):
        write_plot(both.settings, "search", ["toy"], ["betta"], out, both.root, PlotOptions())
    with pytest.raises(SettingsError, match="did you mean 'toy'"):
        write_plot(both.settings, "search", ["tyo"], [], out, both.root, PlotOptions())


def test_a_plot_without_searches_says_how_to_make_one(full: Repository, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="run `wsolbench search toy`"):
        write_plot(full.settings, "search", ["toy"], [], tmp_path / "x.svg", full.root, PlotOptions())
