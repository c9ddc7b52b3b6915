"""Single cells have a part of the tables of their own."""

from __future__ import annotations

import json

import pytest

from tests.report.conftest import metrics_file
from wsolbench.errors import DataError
from wsolbench.report.bars import bar_figure
from wsolbench.report.style import figure_style
from wsolbench.report.tables import markdown_table, table_frame
from wsolbench.results.load import blocks_of, read_track


@pytest.fixture
def ablated(repository):
    """A method over three seeds, a cell of it over two, and a bound."""
    toy = repository(methods=["alpha"], cells=["less-0", "less-2"], baselines=["ceiling"])
    for seed in toy.seeds:
        toy.write("alpha", seed, 45.0 + seed)
        toy.write("ceiling", seed, 90.0)
    for seed in (0, 2):
        toy.write("less", seed, 30.0 + seed, method="alpha", cell="less", title="Alpha, less")
    return toy


def test_a_cell_is_one_row_over_its_own_seeds_between_methods_and_baselines(ablated):
    results = read_track(ablated.settings, "toy", ablated.root)
    assert [(row.kind, row.method, [run.seed for run in row.runs]) for row in results.rows] == [
        ("method", "alpha", [0, 1, 2]),
        ("cell", "less", [0, 2]),
        ("baseline", "ceiling", [0, 1, 2]),
    ]
    headings = [heading for heading, _ in blocks_of(results.rows)]
    assert headings[1] == "single cells and ablations (`cells`)"
    frame = table_frame(results).set_index("method")
    assert frame.loc["less", "max_box_acc_mean"] == 31.0
    assert frame.loc["less", "max_box_acc_n"] == 2


def test_a_cell_is_in_tables_and_figure_but_not_among_the_differences(ablated):
    results = read_track(ablated.settings, "toy", ablated.root)
    page = markdown_table(results)
    assert "| Alpha, less | common | 2 |" in page
    assert "Differences from" not in page
    with figure_style():
        figure = bar_figure(results)
    assert "single cell" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_cell_of_another_track_is_not_reported(ablated):
    ablated.tracks = ["toy", "other"]
    for seed in ablated.seeds:
        for name in ("alpha", "ceiling"):
            ablated.write(name, seed, 50.0, track="other")
    results = read_track(ablated.settings, "other", ablated.root)
    assert [row.kind for row in results.rows] == ["method", "baseline"]


def test_the_methods_own_result_cannot_pass_for_the_cells(ablated):
    path = ablated.metrics("less", 0)
    path.write_text(json.dumps(metrics_file("toy-less-0", "toy", "alpha", 0, 45.0)))
    with pytest.raises(DataError, match="holds cell None instead of 'less'"):
        read_track(ablated.settings, "toy", ablated.root)


def test_a_missing_cell_says_how_to_make_it(ablated):
    ablated.metrics("less", 2).unlink()
    with pytest.raises(DataError, match="run `wsolbench evaluate toy-less-2`"):
        read_track(ablated.settings, "toy", ablated.root)
