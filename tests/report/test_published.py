"""Published numbers stand beside ours where both were measured alike, and nowhere else."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from tests.report.conftest import Repository
from wsolbench.errors import DataError
from wsolbench.report.published import comparison_csv, comparison_markdown, comparisons, read_published, why_not
from wsolbench.report.track import TrackResults

WHOLE = {"dataset": "cub", "backbone": "vgg16", "images": {"val": 1000, "test": 5794}}
Make = Callable[..., Repository]


def measured(repository: Make, **changes: object) -> TrackResults:
    toy = repository(methods=["cam", "adl"])
    for seed in toy.seeds:
        toy.write("cam", seed, 60 + seed, **WHOLE | changes)
        toy.write("adl", seed, 70 + seed, **WHOLE | changes)
    return toy.track()


def test_all_rows_are_read_and_every_source_has_its_reference() -> None:
    published = read_published(Path())
    assert len(published.rows) == 1572
    assert set(published.rows["bibkey"]) == set(published.references)


def test_numbers_of_the_same_thing_stand_side_by_side(repository: Make) -> None:
    results, published = measured(repository), read_published(Path())
    found = comparisons(results, published)
    each = found.query("method == 'cam' and number == 'max_box_acc_v2.mean'")
    theirs = published.rows.loc[each.index]
    expected = published.rows.query("dataset == 'CUB' and method == 'CAM' and metric == 'MaxBoxAccV2'")
    alike = expected[expected["backbone"].isin(["VGG16", "VGG-GAP"])]
    assert 1 < len(theirs) < len(alike)
    left_out = alike.drop(theirs.index)
    assert left_out["note"].str.contains("normalisation = (?:IVR|Max|PaS)").all()
    assert not theirs["note"].str.contains("IVR|PaS").any()
    assert set(each["contradictory"]) == {len(set(theirs["bibkey"])) > 1 and len(set(theirs["value"])) > 1}
    assert "gt_known.published" not in set(found["number"])  # no published threshold, no comparison
    table = pd.read_csv(io.StringIO(comparison_csv([results], published)))
    ours = table[(table["method"] == "cam") & (table["number"] == "max_box_acc")]
    assert (ours["measured_mean"] == 61).all()
    assert ours["difference"].tolist() == pytest.approx((61 - ours["published"]).tolist())
    page = comparison_markdown([results], published)
    assert "| CAM | common | MaxBoxAcc, oracle | 3 |" in page.replace("Cam", "CAM")
    assert "sources disagree" in page


def test_gt_known_is_compared_at_the_published_threshold_only(repository: Make) -> None:
    toy = repository(methods=["cam"], seeds=[0])
    at = {"fixed": 42.0, "val": 49.0, "oracle": 50.0, "published": 44.5}
    toy.write("cam", 0, 50, **WHOLE | {"gt_known": at})
    found = comparisons(toy.track(), read_published(Path()))
    numbers = found.index[found["number"] == "gt_known.published"]
    assert set(read_published(Path()).rows.loc[numbers, "metric"]) == {"GT-known Loc"}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": {"val": 100, "test": 600}}, "600 test images are a subset of CUB, which has 5794"),
        ({"dataset": "shapes"}, "nobody has published numbers on data set shapes"),
        ({"backbone": "squeezenet1_1"}, "no source has backbone squeezenet1_1 on CUB"),
    ],
)
def test_what_was_not_measured_alike_is_refused_with_the_reason(
    repository: Make, changes: dict[str, object], reason: str
) -> None:
    results, published = measured(repository, **changes), read_published(Path())
    assert why_not(results, published) == reason
    assert comparisons(results, published).empty
    assert f"Nothing to compare: {reason}" in comparison_markdown([results], published).replace("\\_", "_")
    assert comparison_csv([results], published).count("\n") == 1


def test_numbers_whose_thresholds_were_chosen_elsewhere_are_refused(repository: Make) -> None:
    toy = repository(methods=["cam"], seeds=[0])
    toy.write("cam", 0, 50, **WHOLE | {"backbone": "resnet50"})
    found = comparisons(toy.track(), read_published(Path()))
    protocols = (
        found.loc[found["number"] == "max_box_acc", "note"]
        .str.extract("(protocol B[TV]-[TV]T, selection by [A-Z]+)")[0]
        .dropna()
    )
    assert set(protocols) == {"protocol BV-TT, selection by GT"}


def test_a_method_that_nobody_published_says_so(repository: Make) -> None:
    toy = repository(methods=["mine"], seeds=[0])
    toy.write("mine", 0, 50, **WHOLE)
    page = comparison_markdown([toy.track()], read_published(Path()))
    assert "no source measured these methods" in page


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("choe2022journal.csv", "method\n", r"choe2022journal\.csv is damaged"),
        ("unknown.csv", "method\n", r"unknown\.csv has no reference"),
        ("comparable.yaml", "datasets: {}\n", r"comparable\.yaml"),
        ("references.yaml", "[", r"references\.yaml is damaged"),
    ],
)
def test_a_wrong_file_is_named(repository: Make, file: str, content: str, message: str) -> None:
    root = repository().root
    (root / "results" / "published" / file).write_text(content)
    with pytest.raises(DataError, match=message):
        read_published(root)
