import pandas as pd
import pytest

from wsolbench.errors import DataError
from wsolbench.report.build import write_summary
from wsolbench.report.facts import track_facts


def test_tracks_with_results_are_shown_and_others_say_what_is_missing(repository):
    toy = repository(tracks=["toy", "absent"], seeds=[0])
    toy.write("alpha", 0, 50)
    markdown = toy.root / "results" / "summary.md"
    assert markdown in write_summary(toy.settings, toy.root)
    page = markdown.read_text(encoding="utf-8")
    assert "1 of 2 tracks" in page
    assert "| Alpha | common | 1 | 97.5 | 49.0 | 47.0 | 50.0 |" in page
    assert "results/metrics/absent/absent-alpha-0.json is missing; run" in page.replace("\\", "")
    assert str(toy.root) not in page


def test_links_lead_to_the_tables_and_pictures_of_the_track(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50)
    write_summary(toy.settings, toy.root)
    page = (toy.root / "results" / "summary.md").read_text(encoding="utf-8")
    for link in ("tables/toy.md", "tables/toy_costs.csv", "plots/toy/threshold_curves.webp", "summary.csv"):
        assert f"({link})" in page
    assert "(report.html)" in page
    assert "![toy: methods](plots/toy/methods.webp)" in page


def test_csv_joins_all_tracks(repository):
    toy = repository(tracks=["toy", "other"], seeds=[0])
    toy.write("alpha", 0, 50)
    toy.write("alpha", 0, 40, track="other")
    write_summary(toy.settings, toy.root)
    table = pd.read_csv(toy.root / "results" / "summary.csv")
    assert list(zip(table.track, table.max_box_acc_mean, strict=True)) == [("toy", 50), ("other", 40)]


def test_a_damaged_file_is_an_error_not_an_absent_track(repository):
    toy = repository(seeds=[0])
    toy.metrics("alpha").parent.mkdir(parents=True)
    toy.metrics("alpha").write_text("{")
    with pytest.raises(DataError, match=r"toy-alpha-0\.json is damaged"):
        write_summary(toy.settings, toy.root)


def test_seeds_are_those_that_anything_was_measured_with(repository):
    toy = repository(methods=["alpha", "beta"], seeds=[0, 1])
    for method in ("alpha", "beta"):
        toy.write(method, 0, 50.0)
        toy.skip(method, 1, "nothing is trained")
    assert "Seeds 0: one seed, so no spread" in track_facts(toy.track())
    toy.write("alpha", 1, 50.0)
    assert "Seeds 0, 1: mean" in track_facts(toy.track())
