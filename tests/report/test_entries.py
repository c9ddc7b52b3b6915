"""Results that were not trained here: rows of their own, in no comparison."""

import json
import re
import shutil

import pytest

from tests.report.conftest import metrics_file
from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.build import write_report, write_summary
from wsolbench.report.classes import classes_csv
from wsolbench.report.page import page_html
from wsolbench.report.paired import differences_section, paired_section
from wsolbench.report.ranks import rankings, ranks_csv
from wsolbench.report.track import score_table
from wsolbench.results.metrics import METRICS

ABOUT = {name: f"the {name}" for name in ("reference", "licence", "pretraining", "epoch", "threshold", "code")}
ABOUT |= {"title": "PSOL", "network": "two networks"}


def enter(toy, about=ABOUT, name="psol", level=94.0, **changes):
    """Add results at the top of every table to those of a made-up benchmark."""
    folder = toy.root / "entries" / name / "toy"
    folder.mkdir(parents=True)
    said = "".join(f"{key}: {value}\n" for key, value in about.items())
    (folder.parent / "entry.yaml").write_text(said)
    content = metrics_file(f"toy-{name}-0", "toy", name, 0, level) | {"recipe": "theirs", "selection": None}
    content |= {"backbone": "", "method_status": "not trained here", "truth_digest": "truth"}
    (folder / "metrics.json").write_text(json.dumps(content | changes))
    shutil.copy(Layout(toy.root).per_image("toy", "toy-alpha-0"), folder / "per_image.parquet")
    return folder


def test_an_entry_is_a_row_apart_and_part_of_no_comparison(full):
    def comparisons():
        track = full.track()
        ranked = rankings([track])
        return differences_section(track), paired_section(track, full.root), ranks_csv(ranked), ranked[0].titles

    before, classes = comparisons(), classes_csv(full.track(), full.root)
    enter(full)
    assert comparisons() == before
    track = full.track()
    *_, run = track.runs.itertuples()
    assert (run.kind, run.title, run.backbone) == ("entry", "PSOL", "two networks")
    *_, row = track.rows.itertuples()
    assert (row.title, row.block) == ("PSOL", "not trained here: entries from outside this benchmark")
    table = score_table(track.rows, track.summary, [METRICS["max_box_acc"]])
    best = table["best"].groupby(level="method", sort=False).first().squeeze()
    assert best.to_dict() == {"Alpha": False, "Beta": True, "Ceiling": False, "PSOL": False}
    page = full.page()
    assert re.search(r"\*\*not trained here: entries.*\n\| PSOL \| theirs \| 1 \|", page)
    assert "Not trained here: PSOL (240 images of val have maps). Reference: the reference. Licence: " in page
    assert "Weights: none (random initialisation)." in page  # of ours; what the entry began with, it says itself
    assert classes_csv(track, full.root).startswith(classes)


@pytest.mark.slow
def test_the_page_shows_an_entry_apart_and_what_it_says_of_itself(reported):
    enter(reported)
    page = page_html(reported.settings, reported.root)
    assert "PSOL" in page
    assert "not trained here" in page
    assert "the pretraining" in page


@pytest.mark.slow
def test_pictures_and_costs_leave_entries_out(reported):
    results = reported.root / "results"
    before = {path: path.read_bytes() for path in (*(results / "tables").iterdir(), *(results / "plots/toy").iterdir())}
    enter(reported)
    assert set(write_report(reported.settings, "toy", reported.root)) == before.keys()
    changed = sorted(path.name for path in before if path.read_bytes() != before[path])
    assert changed == ["toy.md", "toy.tex", "toy_all.tex", "toy_classes.csv"]
    shutil.copytree("results/published", results / "published")
    write_summary(reported.settings, reported.root)
    assert "PSOL" in (results / "summary.md").read_text()
    assert "PSOL" not in (results / "comparison.md").read_text()


def test_maps_that_are_the_same_for_every_class_are_marked(full):
    enter(full, ABOUT | {"class_agnostic": "true"})
    assert "| PSOL ‡ | theirs |" in full.page()


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"truth_digest": "another"}, r"entries/psol/toy/metrics\.json has truth_digest 'another', but toy-alpha-0"),
        ({"protocol_version": "2.0"}, r"entries/psol/toy/metrics\.json has protocol_version '2\.0'"),
        ({"images": {"val": 0, "test": 7}}, r"entries/psol/toy/metrics\.json has images\.test 7"),
        ({"px_ap": 101.0}, r"entries/psol/toy/metrics\.json is damaged \(px_ap: "),
        ({"about": ABOUT | {"licence": ""}}, r"entries/psol/entry\.yaml: licence: .*string"),
        ({"about": {"title": "PSOL"}}, r"entries/psol/entry\.yaml: network: Field required"),
        ({"about": ABOUT | {"licens": "MIT"}}, r"entries/psol/entry\.yaml: unknown key 'licens'"),
        ({"about": {"title": "!!python/object:os.system {}"}}, r"entries/psol/entry\.yaml is damaged"),
        ({"name": "alpha"}, r"entries/alpha: 'alpha' is a method or baseline"),
    ],
)
def test_what_is_wrong_with_an_entry_is_said_with_its_file(repository, how, message):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, truth_digest="truth")
    enter(toy, **how)
    with pytest.raises(DataError, match=message):
        toy.track()
