"""A training that learned nothing is marked wherever its row is shown, and counted like any other."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

import pytest

from tests.report.conftest import Repository
from wsolbench.report.page import page_html
from wsolbench.report.readme import refreshed
from wsolbench.report.tables import csv_of, table_frame

AT_CHANCE, GREW, LEARNED = ({"at_chance": a, "loss_grew": b} for a, b in ((True, False), (None, True), (False, None)))


@pytest.fixture
def toy(repository: Callable[..., Repository]) -> Repository:
    toy = repository(methods=["alpha", "beta"], seeds=[0, 1])
    toy.write("alpha", 0, 50, training=LEARNED)
    toy.write("alpha", 1, 60)  # of a version that did not store it
    toy.write("beta", 0, 52, training=AT_CHANCE)
    toy.write("beta", 1, 62, training=GREW)
    return toy


@pytest.mark.slow
def test_the_mark_and_its_footnote_are_in_every_output(toy: Repository) -> None:
    markdown, latex, page = toy.page(), toy.latex(), page_html(toy.settings, toy.root)
    readme = refreshed("<!-- results of toy -->\n<!-- end -->\n", toy.settings, toy.root)
    for text, row, other, note in (
        (markdown, "| Beta † |", "| Alpha |", "† Trained without"),
        (readme, "| Beta † |", "| Alpha |", "† Trained without"),
        (latex, r"Beta \textdagger{} &", "Alpha &", r"\textdagger{} Trained without"),
        (page, ">Beta †</button></span></th>", ">Alpha</button></span></th>", "<dt>†</dt><dd>Trained without"),
    ):
        assert row in text
        assert other in text
        assert note in text
        assert "Beta (seeds 0, 1; 2 of 2)." in text
        assert "Alpha (seeds" not in text


def test_they_count_in_the_mean(toy: Repository) -> None:
    (alpha, beta) = csv.DictReader(io.StringIO(csv_of(table_frame(toy.track()))))
    assert (float(alpha["max_box_acc_mean"]), float(beta["max_box_acc_mean"])) == (55, 57)
    assert beta["max_box_acc_n"] == "2"


def test_over_tracks_a_method_is_one_row_and_the_mark_stands_at_its_number(
    repository: Callable[..., Repository],
) -> None:
    both = repository(tracks=["toy", "other"], seeds=[0])
    both.write("alpha", 0, 50)
    both.write("alpha", 0, 40, track="other", training=AT_CHANCE)
    _, _, table = page_html(both.settings, both.root).partition("<h3>Each method on each track</h3>")
    words = " ".join(re.sub("<[^>]*>", " ", table.partition("</table>")[0]).split())
    assert words == "GT-known, val, percent, mean ± sd over seeds method recipe toy other Alpha common 49.0 39.0 †"


def test_without_one_nothing_is_said(repository: Callable[..., Repository]) -> None:
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, training=LEARNED)
    for text in (toy.page(), toy.latex(), page_html(toy.settings, toy.root)):
        assert "†" not in text
        assert "textdagger" not in text


def test_what_is_exempt_from_a_promise_is_marked_with_the_reason(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta"], seeds=[0])
    toy.write("alpha", 0, 50, exempt={"rounding": "a threshold"})
    toy.write("beta", 0, 50)
    assert "| Alpha § |" in toy.page()
    assert "| Beta |" in toy.page()
    assert "in part only: Alpha (rounding: a threshold)." in toy.page()
    assert r"\S{} Keeps a promise" in toy.latex()


def test_maps_that_are_the_same_for_every_class_are_marked(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta"], seeds=[0])
    toy.write("alpha", 0, 50, class_agnostic=True)
    toy.write("beta", 0, 50)
    assert "| Alpha ‡ |" in toy.page()
    assert "‡ Maps are the same for every class: Alpha." in toy.page()
    assert r"\textdaggerdbl{} Maps are" in toy.latex()
