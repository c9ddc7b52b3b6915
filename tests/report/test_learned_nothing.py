"""A training that learned nothing is marked wherever its row is shown, and counted like any other."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable

import pytest

from tests.report.conftest import Repository
from wsolbench.report.latex import latex_tables
from wsolbench.report.page import page_html
from wsolbench.report.readme import refreshed
from wsolbench.report.tables import csv_table, markdown_table
from wsolbench.results.load import TrackResults, read_track

AT_CHANCE, GREW, LEARNED = ({"at_chance": a, "loss_grew": b} for a, b in ((True, False), (None, True), (False, None)))


@pytest.fixture
def toy(repository: Callable[..., Repository]) -> Repository:
    toy = repository(methods=["alpha", "beta"], seeds=[0, 1])
    toy.write("alpha", 0, 50, training=LEARNED)
    toy.write("alpha", 1, 60)  # of a version that did not store it
    toy.write("beta", 0, 52, training=AT_CHANCE)
    toy.write("beta", 1, 62, training=GREW)
    return toy


def results_of(toy: Repository) -> TrackResults:
    return read_track(toy.settings, "toy", toy.root)


def test_the_mark_and_its_footnote_are_in_every_output(toy: Repository) -> None:
    results = results_of(toy)
    markdown, latex, page = markdown_table(results), latex_tables(results), page_html(toy.settings, toy.root)
    readme = refreshed("<!-- results of toy -->\n<!-- end -->\n", toy.settings, toy.root)
    for text, row, other, note in (
        (markdown, "| Beta † |", "| Alpha |", "† Trained without"),
        (readme, "| Beta † |", "| Alpha |", "† Trained without"),
        (latex, r"Beta \textdagger{} &", "Alpha &", r"\textdagger{} Trained without"),
        (page, '<th scope="row">Beta †</th>', '<th scope="row">Alpha</th>', "<dt>†</dt><dd>Trained without"),
    ):
        assert row in text
        assert other in text
        assert note in text
        assert "Beta (seeds 0, 1; 2 of 2)." in text
        assert "Alpha (seeds" not in text


def test_they_count_in_the_mean(toy: Repository) -> None:
    (alpha, beta) = csv.DictReader(io.StringIO(csv_table(results_of(toy))))
    assert (float(alpha["max_box_acc_mean"]), float(beta["max_box_acc_mean"])) == (55, 57)
    assert beta["max_box_acc_n"] == "2"


def test_without_one_nothing_is_said(repository: Callable[..., Repository]) -> None:
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, training=LEARNED)
    for text in (markdown_table(results_of(toy)), latex_tables(results_of(toy)), page_html(toy.settings, toy.root)):
        assert "†" not in text
        assert "textdagger" not in text
