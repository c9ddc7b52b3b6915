"""Sentences about the stored tracks: every number is of the runs, and every claim has a test."""

from __future__ import annotations

from collections.abc import Callable

from tests.report.conftest import Repository
from wsolbench.report.build import write_summary
from wsolbench.report.findings import findings_markdown
from wsolbench.report.ranks import rankings


def findings(toy: Repository) -> str:
    tracks = [toy.track(name).ours for name in toy.tracks]
    return findings_markdown(tracks, rankings(tracks), toy.root)


def sentence(text: str, start: str) -> str:
    (found,) = [line for line in text.splitlines() if line.startswith(start)]
    return found


def test_who_is_above_the_first_method_is_said_with_its_numbers(full: Repository) -> None:
    found = sentence(findings(full), "- **toy**, GT-known, val, Alpha 45.0 ± 1.0")  # val is 1 below 45, 46, 47
    assert "above: Beta by 7.5 points (" in found
    assert "below" not in found
    assert "Ceiling" not in found


def test_methods_below_and_alike_are_told_apart(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta", "gamma", "delta"])
    for seed in toy.seeds:
        for method, level in (("alpha", 60.0), ("beta", 40.0), ("gamma", 60.0 + (0.25, -0.25, 0)[seed])):
            toy.write(method, seed, level + seed)
        toy.write("delta", seed, 70.0, recipe="own")
    found = sentence(findings(toy), "- **toy**, GT-known, val, Alpha")
    assert "below: Beta by 20.0 points (" in found
    assert "not told apart: Gamma (+0.0)" in found
    assert found.endswith("by a recipe of their own, so not compared: Delta 69.0 ± 0.0.")
    assert "above" not in found


def test_the_same_methods_by_another_recipe_are_a_track_of_the_same_data(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta"], tracks=["toy", "toy_searched", "other"])
    for seed in toy.seeds:
        for method, common, searched in (("alpha", 30.0, 60.0), ("beta", 40.0, 40.5 - 0.5 * seed)):
            toy.write(method, seed, common + seed)
            toy.write(method, seed, searched + seed, track="toy_searched", recipe="searched")
            toy.write(method, seed, 90.0 + seed, track="other", recipe="searched", data_digest="of other images")
    text = findings(toy)
    found = sentence(text, "- **toy\\_searched** against **toy**, GT-known, val: ")
    assert "above: Alpha by 30.0 points (" in found
    assert found.endswith("not told apart: Beta (+0.0).")
    assert "against **other**" not in text
    assert "**other** against" not in text
    cells = {
        line.split("|")[1].strip(): line.split("|")[-2].strip() for line in text.splitlines() if line.startswith("| ")
    }
    assert (cells["toy"], cells["toy\\_searched"], cells["other"]) == ("30.0", "30.0", "n/a")


def test_one_seed_carries_no_claim(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta"], unseeded=["centre_gaussian"], seeds=[0])
    toy.write("alpha", 0, 30.0)
    toy.write("beta", 0, 90.0)
    toy.write("centre_gaussian", 0, 50.0)
    found = findings(toy)
    assert "one seed, so that nothing is tested" in found
    assert "Of one seed each, which tells nothing apart: Alpha 29.0, Beta 89.0." in found
    assert "above:" not in found


def test_a_gaussian_that_no_method_is_above_is_named(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta", "gamma"], unseeded=["centre_gaussian"])
    for seed in toy.seeds:
        for method, level in (("alpha", 30.0 + seed), ("beta", 80.0 + seed), ("gamma", 50.0 + 10 * seed)):
            toy.write(method, seed, level)
    toy.write("centre_gaussian", 0, 60.0)
    found = sentence(findings(toy), "- **toy**: a Gaussian in the middle of every picture reaches 59.0")
    assert "below it: Alpha; above it: Beta; not told apart from it: Gamma." in found


def test_parts_of_a_method_are_compared_with_it_and_with_the_first(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha"], variants=["half"])
    for seed in toy.seeds:
        toy.write("alpha", seed, 60.0 + seed)
        toy.write("half", seed, 30.0 + seed, variant_of="alpha", title="Alpha, half")
    found = sentence(findings(toy), "- **toy**, GT-known, val: Alpha 60.0 ± 1.0")
    assert found.endswith("Alpha, half 30.0 ± 1.0 is 30.0 points below Alpha.")


def test_what_else_moves_the_number_has_a_row_per_track(full: Repository) -> None:
    row = sentence(findings(full), "| toy |")
    # Means 45 and 52.5; seeds 45, 46, 47; oracle 1 above val; other normalisations have the same val.
    assert [cell.strip() for cell in row.strip("|").split("|")] == [
        "toy",
        "7.5",
        "1.0, 1.0",
        "1.0, 1.0",
        "0.0, 0.0",
        "n/a",
    ]


def test_masks_are_compared_by_pixels_and_one_method_has_nothing_to_say(
    masked: Repository, repository: Callable[..., Repository]
) -> None:
    assert "- **toy**, pIoU, val, Alpha" in findings(masked)
    alone = repository(methods=["alpha"])
    assert "- **toy**, " not in findings(alone)


def test_the_summary_writes_and_links_them(full: Repository) -> None:
    written = {
        path.name: path.read_text(encoding="utf-8")
        for path in write_summary(full.settings, full.root)
        if path.suffix == ".md"
    }
    assert written["findings.md"] == findings(full)
    assert "(findings.md)" in written["summary.md"]


def test_a_run_that_learned_nothing_is_marked(repository: Callable[..., Repository]) -> None:
    toy = repository(methods=["alpha", "beta"])
    for seed in toy.seeds:
        toy.write("alpha", seed, 60.0 + seed)
        toy.write("beta", seed, 30.0 + seed, training={"at_chance": True, "loss_grew": False})
    assert "Beta † by 30.0 points" in findings(toy)
