import csv
import io
import math
import re

import pandas as pd
import pytest
import scipy.stats

from wsolbench.config.settings import ReportSettings
from wsolbench.report.columns import SCORE_TABLES
from wsolbench.report.latex import headline_table
from wsolbench.report.page import page_html, write_page
from wsolbench.report.readme import refreshed
from wsolbench.report.tables import csv_of, markdown_page, table_frame
from wsolbench.report.track import load_track


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
    return toy


def test_csv_has_mean_sd_and_count_of_every_number(three_seeds):
    table = pd.read_csv(io.StringIO(csv_of(table_frame(three_seeds.track())))).set_index("method")
    alpha = table.loc["alpha"]
    assert (alpha.max_box_acc_mean, alpha.max_box_acc_sd, alpha.max_box_acc_n) == (50, 2, 3)
    assert alpha.gt_known_val_mean == 49
    assert alpha.threshold_val_mean == pytest.approx(0.31)
    assert table.loc["beta"].max_box_acc_sd == 4
    assert table.loc["beta"].seeds == "0 1 2"
    assert math.isnan(alpha.gt_known_published_mean)
    assert alpha.gt_known_published_n == 0


def test_csv_has_six_digits(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, px_ap=100 / 7)
    (row,) = csv.DictReader(io.StringIO(csv_of(table_frame(toy.track()))))
    assert row["px_ap_mean"] == "14.2857"


def test_markdown_shows_mean_sd_and_number_of_seeds(three_seeds):
    page = three_seeds.page()
    fixed_and_val, oracle, *_ = cells(page, "Alpha")
    # Half an interval is t(2) = 4.3027 times sd / sqrt(3): 4.97 for 2, 0.0248 for 0.01.
    assert fixed_and_val[:5] == ["Alpha", "common", "3", "97.5 ± 0.0 (±0.0)", "100.0 ± 0.0 (±0.0)"]
    assert fixed_and_val[5:7] == ["42.0 ± 2.0 (±5.0)", "49.0 ± 2.0 (±5.0)"]
    assert fixed_and_val[-1] == "0.310 ± 0.010 (±0.025)"
    assert oracle[3] == "50.0 ± 2.0 (±5.0)"
    assert "half the width of the 95% interval of the mean (Student's t" in page


def test_a_note_stands_beside_the_numbers_of_its_track_in_all_outputs(repository):
    both = repository(tracks=["toy", "other"], seeds=[0])
    both.write("alpha", 0, 50)
    both.write("alpha", 0, 50, track="other")
    settings = both.settings.model_copy(update={"report": ReportSettings(notes={"toy": "Copies of *256* pixels."})})
    costs = pd.DataFrame()
    toy, other = (load_track(settings, name, both.root) for name in both.tracks)
    assert r"Copies of \*256\* pixels." in markdown_page(toy, costs, settings, both.root)
    assert "Copies of *256* pixels." in headline_table(toy)
    assert page_html(settings, both.root).count('<p class="small">Copies of *256* pixels.</p>') == 1
    for tracks, shown in (("toy", r"Copies of \*256\* pixels."), ("other toy", r"toy: Copies of \*256\* pixels.")):
        block = f"<!-- results of {tracks} -->\n<!-- end -->\n"
        assert f"\n{shown}\n" in refreshed(block, settings, both.root)
    assert "Copies" not in markdown_page(other, costs, settings, both.root)


def test_an_interval_is_students_and_needs_two_seeds(repository):
    toy = repository(methods=["alpha", "beta", "gamma"], seeds=[0, 1, 2, 3])
    values = {"alpha": [50.0], "beta": [50.0, 52.0], "gamma": [50.0, 51.0, 53.0, 57.0]}
    for method, levels in values.items():
        for seed in toy.seeds:
            if seed < len(levels):
                toy.write(method, seed, levels[seed])
            else:
                toy.skip(method, seed, "stopped")
    results = toy.track()
    table = pd.read_csv(io.StringIO(csv_of(table_frame(results)))).set_index("method")
    assert math.isnan(table.loc["alpha"].max_box_acc_ci95)
    # t(1) = 12.7062 times sd / sqrt(2) = 1
    assert table.loc["beta"].max_box_acc_ci95 == pytest.approx(12.7062, abs=1e-4)
    low, high = scipy.stats.ttest_1samp(values["gamma"], 0).confidence_interval(0.95)
    assert table.loc["gamma"].max_box_acc_ci95 == pytest.approx((high - low) / 2)
    assert [row[3] for row in (cells(toy.page(), name)[1] for name in ("Alpha", "Beta"))] == [
        "50.0",
        "51.0 ± 1.4 (±12.7)",
    ]


def formatted(table, method, column):
    """Return a number as people see it, from the CSV table and by hand."""
    mean, deviation, half = (table.loc[method, f"{column.stem}_{end}"] for end in ("mean", "sd", "ci95"))
    if math.isnan(mean):
        return "n/a"
    spread = "" if math.isnan(deviation) else f" ± {deviation:.{column.decimals}f} (±{half:.{column.decimals}f})"
    return f"{mean:.{column.decimals}f}{spread}"


def test_numbers_are_the_same_in_csv_markdown_latex_and_on_the_page(full):
    full.write("beta", 1, 53.5, top1_loc=dict.fromkeys(("fixed", "val", "oracle", "published")))
    results = full.track()
    table = pd.read_csv(io.StringIO(csv_of(table_frame(results)))).set_index("method")
    markdown, latex = full.page(), full.latex()
    page = write_page(full.settings, full.root).read_text(encoding="utf-8")
    heads = re.findall(r'<th scope="col" data-groups[^>]*>([^<]+)</th>', page)
    shown = 0
    for columns in SCORE_TABLES.values():
        used = [each for each in columns if table[f"{each.stem}_n"].any()]
        for row in results.rows.itertuples():
            numbers = [formatted(table, row.Index[3], each) for each in used]
            start = [row.title, "common", "3"]
            assert f"| {' | '.join([*start, *numbers])} |\n" in markdown
            in_latex = [line.removesuffix(r" \\").split(" & ") for line in latex.splitlines()]
            without = [re.sub(r" \(±.*\)", "", number).replace("±", r"$\pm$") for number in numbers]
            assert " & ".join(without) in " & ".join(" & ".join(line[3:]) for line in in_latex if line[:3] == start)
            line = re.search(rf">{row.title}</button></span></th>(.*?)</tr>", page, re.DOTALL)[1]
            on_page = dict(zip(heads, re.findall(r">([^<>]+)</td>", line)[2:], strict=True))
            assert [on_page[each.heading] for each in used] == numbers
            shown += len(numbers)
    assert shown > 100


def test_no_column_mixes_protocols_and_oracles_stand_apart(three_seeds):
    first, second, pixel, normalised, _ = [  # costs
        cells(line, "method")[0] for line in three_seeds.page().splitlines() if "| recipe |" in line
    ]
    assert all("(pixel)" in heading for heading in pixel[3:])
    assert all(any(name in heading for name in ("(max)", "(percentile)", "(ivr)")) for heading in normalised[3:])
    assert not any("pixel" in heading or "ivr" in heading for heading in [*first, *second])
    assert not any("oracle" in heading for heading in first)
    assert {"MaxBoxAcc, oracle", "GT-known, oracle", "MaxBoxAccV2, oracle: mean"} <= set(second)
    assert {"GT-known, fixed", "GT-known, val", "Top-1 Loc, fixed", "Top-5 Loc, val"} <= set(first)


def test_differences_are_paired_and_carry_their_interval(three_seeds):
    # Differences 4, 6, 8: mean 6, sd 2, t(2) = 4.3027, half width 4.3027 * 2 / sqrt(3) = 4.968.
    page = three_seeds.page()
    assert "Differences from Alpha" in page
    assert "+6.0 ± 2.0 (+1.0 to +11.0, excludes 0)" in cells(page, "Beta")[4]
    assert "+0.0 ± 0.0 (+0.0 to +0.0, includes 0)" in cells(page, "Beta")[4]


def test_one_seed_claims_no_spread(repository):
    toy = repository(methods=["alpha", "beta"], seeds=[0])
    toy.write("alpha", 0, 50)
    toy.write("beta", 0, 60)
    page = toy.page()
    assert cells(page, "Alpha")[1][3] == "50.0"
    assert cells(page, "Beta")[4][1:3] == ["+0.0", "+10.0"]
    assert "±" not in page
    assert "excludes" not in page


def test_baselines_stand_below_the_methods_under_their_own_heading(repository):
    toy = repository(baselines=["ceiling"], seeds=[0])
    toy.write("alpha", 0, 50)
    none = {"fixed": None, "val": None, "oracle": None, "published": None}
    toy.write("ceiling", 0, 90, cls={"top1": None, "top5": None}, top1_loc=none, top5_loc=none, px_ap=None)
    page = toy.page()
    assert page.index("| Alpha") < page.index("supervised bounds") < page.index("| Ceiling")
    assert cells(page, "Ceiling")[0][3:7] == ["n/a", "n/a", "82.0", "89.0"]
    assert "Differences" not in page


def test_recipes_stand_apart_and_are_not_compared(repository):
    toy = repository(methods=["alpha", "beta"], seeds=[0, 1])
    for seed in (0, 1):
        toy.write("alpha", seed, 50)
        toy.write("beta", seed, 60, recipe="published")
    page = toy.page()
    assert page.index("recipe: common") < page.index("| Alpha") < page.index("recipe: published") < page.index("| Beta")
    assert "Differences" not in page


def test_columns_that_nobody_defines_are_left_out(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, px_ap=None, px_ap_per_class=None, normalisation={})
    page = toy.page()
    assert "PxAP" not in page
    assert ", published" not in page


def test_a_published_threshold_gets_its_own_columns(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, gt_known={"fixed": 42.0, "val": 49.0, "oracle": 50.0, "published": 44.5})
    page = toy.page()
    (headings, *_), (values, *_) = cells(page, "method"), cells(page, "Alpha")
    assert values[headings.index("GT-known, published")] == "44.5"


def test_methods_that_are_skipped_for_one_reason_share_a_line(repository):
    toy = repository(methods=["alpha", "beta", "gamma", "delta"], seeds=[0, 1])
    for seed in (0, 1):
        toy.skip("alpha", seed, "needs masks", title="Alpha")
        toy.skip("gamma", seed, "needs masks", title="Gamma, small")
        toy.write("delta", seed, 50)
    toy.skip("beta", 0, "needs masks", title="Beta")
    toy.write("beta", 1, 50, title="Beta")
    listed = [line for line in toy.page().splitlines() if line.endswith("needs masks")]
    assert listed == ["- Alpha; Gamma, small (seeds 0, 1): needs masks", "- Beta (seeds 0): needs masks"]


def test_skipped_runs_are_listed_with_their_reason(repository):
    toy = repository(methods=["alpha", "beta"], seeds=[0, 1])
    for seed in (0, 1):
        toy.skip("alpha", seed, "needs a deeper network", title="Alpha")
        toy.write("beta", seed, 50)
    results = toy.track()
    page = toy.page()
    assert "- Alpha (seeds 0, 1): needs a deeper network" in page
    assert "Differences" not in page
    table = pd.read_csv(io.StringIO(csv_of(table_frame(results)))).set_index("method")
    assert table.loc["alpha"].skipped == "needs a deeper network"
    assert table.loc["alpha"].max_box_acc_n == 0


def test_weights_and_val_images_are_given_per_row_where_they_differ(repository):
    toy = repository(baselines=["ceiling"], seeds=[0])
    toy.write("alpha", 0, 50, weights={"name": "pretrained", "sha256": "0123456789abcdef" * 4})
    toy.write("ceiling", 0, 90, images={"val": 48, "test": 400})
    page = toy.page()
    assert (
        "240 images with 250 boxes and 240 masks for Alpha; 48 images with 250 boxes and 240 masks for Ceiling" in page
    )
    assert "pretrained (sha256 0123456789ab) for Alpha; none (random initialisation) for Ceiling" in page


def test_names_cannot_break_the_page(repository):
    toy = repository(seeds=[0])
    toy.write("alpha", 0, 50, title="A|B <script> *x* $y$\n# z")
    page = toy.page()
    assert r"| A\|B \<script\> \*x\* \$y\$ \# z | common | 1 |" in page


def test_a_blank_line_is_before_every_heading(three_seeds):
    lines = three_seeds.page().splitlines()
    headings = [number for number, line in enumerate(lines) if line.startswith("#") and number]
    assert "## What the columns mean" in lines
    assert all(not lines[number - 1] and lines[number - 2] for number in headings)
