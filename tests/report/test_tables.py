import csv
import io
import math

import pandas as pd
import pytest

from wsolbench.report.results import read_track
from wsolbench.report.tables import csv_table, markdown_table


def cells(page, start):
    """Return the cells of the table rows that begin with ``start``, in the order of the page."""
    lines = [line for line in page.splitlines() if line.startswith(f"| {start} |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


@pytest.fixture
def three_seeds(repository):
    """Two methods over three seeds; by hand: mean 50, sd 2 and mean 56, sd 4; differences 4, 6, 8."""
    toy = repository(methods=["alpha", "beta"])
    for seed, (alpha, beta) in enumerate([(48.0, 52.0), (50.0, 56.0), (52.0, 60.0)]):
        toy.write("alpha", seed, alpha)
        toy.write("beta", seed, beta)
    return read_track(toy.settings, "toy", toy.root)


def test_csv_has_mean_sd_and_count_of_every_number(three_seeds):
    table = pd.read_csv(io.StringIO(csv_table(three_seeds))).set_index("method")
    alpha = table.loc["alpha"]
    assert (alpha.max_box_acc_mean, alpha.max_box_acc_sd, alpha.max_box_acc_n) == (50, 2, 3)
    assert alpha.gt_known_val_mean == 49
    assert alpha.threshold_val_mean == pytest.approx(0.31)
    assert table.loc["beta"].max_box_acc_sd == 4
    assert table.loc["beta"].seeds == "0 1 2"
    assert math.isnan(alpha.gt_known_published_mean)
    assert alpha.gt_known_published_n == 0


def test_csv_keeps_full_precision(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, px_ap=100 / 7)
    (row,) = csv.DictReader(io.StringIO(csv_table(read_track(toy.settings, "toy", toy.root))))
    assert float(row["px_ap_mean"]) == 100 / 7


def test_markdown_shows_mean_sd_and_number_of_seeds(three_seeds):
    page = markdown_table(three_seeds)
    fixed_and_val, oracle, *_ = cells(page, "Alpha")
    assert fixed_and_val[:7] == ["Alpha", "common", "3", "97.5 ± 0.0", "100.0 ± 0.0", "42.0 ± 2.0", "49.0 ± 2.0"]
    assert fixed_and_val[-1] == "0.310 ± 0.010"
    assert oracle[3] == "50.0 ± 2.0"


def test_no_column_mixes_protocols_and_oracles_stand_apart(three_seeds):
    first, second, pixel, normalised = [
        cells(line, "method")[0] for line in markdown_table(three_seeds).splitlines() if "| recipe |" in line
    ]
    assert all("(pixel)" in heading for heading in pixel[3:])
    assert all(any(name in heading for name in ("(max)", "(percentile)", "(ivr)")) for heading in normalised[3:])
    assert not any("pixel" in heading or "ivr" in heading for heading in [*first, *second])
    assert not any("oracle" in heading for heading in first)
    assert {"MaxBoxAcc, oracle", "GT-known, oracle", "MaxBoxAccV2, oracle: mean"} <= set(second)
    assert {"GT-known, fixed", "GT-known, val", "Top-1 Loc, fixed", "Top-5 Loc, val"} <= set(first)


def test_differences_are_paired_and_carry_their_interval(three_seeds):
    # Differences 4, 6, 8: mean 6, sd 2, t(2) = 4.3027, half width 4.3027 * 2 / sqrt(3) = 4.968.
    page = markdown_table(three_seeds)
    assert "Differences from Alpha" in page
    assert "+6.0 ± 2.0 (+1.0 to +11.0, excludes 0)" in cells(page, "Beta")[4]
    assert "+0.0 ± 0.0 (+0.0 to +0.0, includes 0)" in cells(page, "Beta")[4]


def test_one_seed_claims_no_spread(repository):
    toy = repository(methods=["alpha", "beta"], seeds=[0])
    toy.write("alpha", 0, 50)
    toy.write("beta", 0, 60)
    page = markdown_table(read_track(toy.settings, "toy", toy.root))
    assert cells(page, "Alpha")[1][3] == "50.0"
    assert cells(page, "Beta")[4][1:3] == ["+0.0", "+10.0"]
    assert "±" not in page
    assert "excludes" not in page


def test_baselines_stand_below_the_methods_under_their_own_heading(repository):
    toy = repository(baselines=["ceiling"], seeds=[0])
    toy.write("alpha", 0, 50)
    none = {"fixed": None, "val": None, "oracle": None, "published": None}
    toy.write("ceiling", 0, 90, cls={"top1": None, "top5": None}, top1_loc=none, top5_loc=none, px_ap=None)
    page = markdown_table(read_track(toy.settings, "toy", toy.root))
    assert page.index("| Alpha") < page.index("supervised bounds") < page.index("| Ceiling")
    assert cells(page, "Ceiling")[0][3:7] == ["n/a", "n/a", "82.0", "89.0"]
    assert "Differences" not in page


def test_recipes_stand_apart_and_are_not_compared(repository):
    toy = repository(methods=["alpha", "beta"], seeds=[0, 1])
    for seed in (0, 1):
        toy.write("alpha", seed, 50)
        toy.write("beta", seed, 60, recipe="published")
    page = markdown_table(read_track(toy.settings, "toy", toy.root))
    assert page.index("recipe: common") < page.index("| Alpha") < page.index("recipe: published") < page.index("| Beta")
    assert "Differences" not in page


def test_columns_that_nobody_defines_are_left_out(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, px_ap=None, px_ap_per_class=None, normalisation={})
    page = markdown_table(read_track(toy.settings, "toy", toy.root))
    assert "PxAP" not in page
    assert ", published" not in page


def test_a_published_threshold_gets_its_own_columns(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, gt_known={"fixed": 42.0, "val": 49.0, "oracle": 50.0, "published": 44.5})
    page = markdown_table(read_track(toy.settings, "toy", toy.root))
    (headings, *_), (values, *_) = cells(page, "method"), cells(page, "Alpha")
    assert values[headings.index("GT-known, published")] == "44.5"


def test_skipped_runs_are_listed_with_their_reason(repository):
    toy = repository(methods=["alpha", "beta"], seeds=[0, 1])
    for seed in (0, 1):
        toy.skip("alpha", seed, "needs a deeper network", title="Alpha")
        toy.write("beta", seed, 50)
    results = read_track(toy.settings, "toy", toy.root)
    page = markdown_table(results)
    assert "- Alpha (seeds 0, 1): needs a deeper network" in page
    assert "Differences" not in page
    table = pd.read_csv(io.StringIO(csv_table(results))).set_index("method")
    assert table.loc["alpha"].skipped == "needs a deeper network"
    assert table.loc["alpha"].max_box_acc_n == 0


def test_weights_and_val_images_are_given_per_row_where_they_differ(repository):
    toy = repository(baselines=["ceiling"], seeds=[0])
    toy.write("alpha", 0, 50, weights={"name": "pretrained", "sha256": "0123456789abcdef" * 4})
    toy.write("ceiling", 0, 90, images={"val": 48, "test": 400})
    page = markdown_table(read_track(toy.settings, "toy", toy.root))
    assert (
        "240 images with 250 boxes and 240 masks for Alpha; 48 images with 250 boxes and 240 masks for Ceiling" in page
    )
    assert "pretrained (sha256 0123456789ab) for Alpha; none (random initialisation) for Ceiling" in page


def test_names_cannot_break_the_page(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, title="A|B <script> *x* $y$\n# z")
    page = markdown_table(read_track(toy.settings, "toy", toy.root))
    assert r"| A\|B \<script\> \*x\* \$y\$ \# z | common | 1 |" in page
