"""Variants of methods have a part of the tables of their own."""

from __future__ import annotations

import pytest

from wsolbench.errors import DataError
from wsolbench.report.figures.scores import method_bars
from wsolbench.report.figures.style import figure_style
from wsolbench.report.tables import table_frame
from wsolbench.report.track import load_numbers


@pytest.fixture
def ablated(repository):
    """A method over three seeds, a variant of it, and a bound."""
    toy = repository(methods=["alpha"], variants=["less"], baselines=["ceiling"])
    for seed in toy.seeds:
        toy.write("alpha", seed, 45.0 + seed)
        toy.write("ceiling", seed, 90.0)
        toy.write("less", seed, 30.0 + seed, variant_of="alpha", title="Alpha, less")
    return toy


def test_a_variant_is_one_row_between_methods_and_baselines(ablated):
    results = ablated.track()
    assert [row.Index[3] for row in results.rows.itertuples()] == ["alpha", "less", "ceiling"]
    assert results.rows["block"].iloc[1].startswith("variants")
    frame = table_frame(results).set_index("method")
    assert frame.loc["less", "max_box_acc_mean"] == 31.0
    assert frame.loc["less", "max_box_acc_n"] == 3


def test_a_variant_is_in_tables_and_figure_but_not_among_the_differences(ablated):
    page = ablated.page()
    assert "| Alpha, less | common | 3 |" in page
    assert "Differences from" not in page
    with figure_style():
        figure = method_bars(load_numbers(ablated.settings, ["toy"], ablated.root).frame)
    assert "variant" in [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_missing_run_of_a_variant_says_how_to_make_it(ablated):
    ablated.metrics("less", 2).unlink()
    with pytest.raises(DataError, match="run `wsolbench evaluate toy-less-2`"):
        ablated.track()
