"""A track with masks and no boxes: tables lead with pixels, plots are of masks, and nothing is empty."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from tests.report.conftest import Repository
from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.build import write_report, write_summary
from wsolbench.report.classes import classes_csv
from wsolbench.report.figures.scores import speed
from wsolbench.report.figures.style import figure_style
from wsolbench.report.gallery import gallery_sections
from wsolbench.report.page import write_page
from wsolbench.report.paired import paired_tests
from wsolbench.report.plot import PLOTS, PlotOptions, figure_of, write_plot
from wsolbench.report.readme import refreshed
from wsolbench.report.track import load_numbers

Make = Callable[..., Repository]


def drawn(repository: Repository, kind: str) -> Figure:
    with figure_style():
        return figure_of(kind, load_numbers(repository.settings, ["toy"], repository.root).frame, repository.root)


def headings(table: str) -> list[list[str]]:
    """Return the headings of each Markdown table but for method, recipe and n."""
    lines = [line for line in table.splitlines() if line.startswith("| method | recipe | n |")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")][3:] for line in lines]


def test_tables_lead_with_pixels_and_have_no_column_of_boxes(masked: Repository) -> None:
    fixed_and_val, oracle, others, _ = headings(masked.page())  # costs
    assert fixed_and_val[:4] == ["pIoU, fixed", "pIoU, val", "PxAP, all thresholds", "PxAP, mean over classes"]
    assert fixed_and_val[4:6] == ["Top-1 Cls", "Top-5 Cls"]
    assert oracle[0] == "pIoU, oracle"
    assert others == ["PxAP (max)", "PxAP (percentile)", "PxAP (ivr)"]
    page, latex = masked.page(), masked.latex()
    assert "Box protocol" not in page + latex
    assert "protocol `pixel`" not in page
    assert latex.count(r"\caption{") == 4  # with costs


def test_readme_and_summary_show_the_numbers_of_pixels(masked: Repository) -> None:
    block = refreshed("<!-- results of toy -->\n<!-- end -->\n", masked.settings, masked.root)
    assert (
        "| Alpha | common | 3 | 51.0 ± 1.0 | 50.0 ± 1.0 | 26.0 ± 1.0 | 27.0 ± 1.0 | 28.0 ± 1.0 | 97.5 ± 0.0 |" in block
    )
    assert headings(block)[0][0] == "PxAP, all thresholds"
    write_summary(masked.settings, masked.root)
    summary = (masked.root / "results" / "summary.md").read_text(encoding="utf-8")
    assert "| Alpha | common | 3 | 51.0 ± 1.0 |" in summary
    assert "GT-known" not in summary


def test_boxes_and_masks_share_no_ranking_and_no_table_of_shades(repository: Make) -> None:
    both = repository(tracks=["toy", "other"], methods=["alpha", "beta"], seeds=[0])
    for method, level in (("alpha", 50.0), ("beta", 60.0)):
        both.write(method, 0, level, px_ap=None)
        replace(both, masks=True).write(method, 0, level, track="other")
    with figure_style():
        axes = figure_of("heat_map", load_numbers(both.settings, ["toy", "other"], both.root).frame, both.root).axes
    shown = {axis.get_title(loc="left"): [text.get_text() for text in axis.texts] for axis in axes}
    assert shown == {
        "MaxBoxAcc, oracle (%), mean over seeds": ["50.0", "60.0"],
        "PxAP, all thresholds (%), mean over seeds": ["55.0", "65.0"],
    }
    table = pd.read_csv(next(path for path in write_summary(both.settings, both.root) if path.name == "summary.csv"))
    assert table.set_index("track")["max_box_acc_n"].to_dict() == {"toy": 1, "other": 0}


@pytest.mark.slow
def test_a_report_has_every_picture_of_masks_and_a_page(masked: Repository) -> None:
    files = {path.name for path in write_report(masked.settings, "toy", masked.root)}
    stems = {"methods", "precision_recall", "threshold_curves", "overlaps", "object_sizes", "misses", "trade_off"}
    assert {name.removesuffix(".webp") for name in files if name.endswith(".webp")} >= stems
    page = write_page(masked.settings, masked.root).read_text(encoding="utf-8")
    assert "true mask (dashed)" in page
    assert "true box (dashed)" not in page


def test_a_report_without_pictures_still_makes_its_directory(repository: Make) -> None:
    toy = repository(seeds=[0])
    toy.skip("alpha", 0, "needs boxes")
    write_report(toy.settings, "toy", toy.root)
    assert list((toy.root / "results" / "plots" / "toy").iterdir()) == []


def test_methods_are_compared_by_pixels_in_full_panels(masked: Repository) -> None:
    axes = drawn(masked, "methods").axes
    shown = {axis.get_title(loc="left"): [bar.get_width() for bar in axis.patches] for axis in axes}
    level = np.array([46, 53.5, 91])  # means over seeds of the levels that alpha, beta and the bound were written with
    assert [title.partition(" ")[0].strip(",") for title in shown] == ["PxAP", "PxAP", "pIoU", "pIoU"]
    assert list(shown.values()) == [pytest.approx(level + more) for more in (5, 4, -19, -18)]
    assert not [text for axis in axes for text in axis.texts]  # nothing is "not defined"


def test_overlaps_are_those_with_the_mask(masked: Repository) -> None:
    axis = drawn(masked, "overlaps").axes[0]
    curve = dict(zip(np.round(axis.lines[0].get_xdata(), 2), axis.lines[0].get_ydata(), strict=True))
    assert (curve[0.2], curve[0.5]) == (100, 0)  # all images overlap by 0.26, 0.27 and 0.28
    assert axis.get_xlabel() == "IoU with the mask"


def test_sizes_are_those_of_the_masks(masked: Repository) -> None:
    axis = drawn(masked, "object_sizes").axes[0]
    assert axis.get_ylabel() == "pIoU (%)"
    marked = [line for line in axis.lines if line.get_marker() == "o"]
    assert np.allclose([line.get_ydata() for line in marked], 27)


def test_misses_are_what_the_overlap_lacks(masked: Repository) -> None:
    figure = drawn(masked, "misses")
    first = [bar.get_width() for bar in figure.axes[0].patches if bar.get_y() < 0.5]
    assert first == pytest.approx([10, 5, 100 - 15 - 27])
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert labels == ["object missed", "around the object", "background"]


@pytest.mark.parametrize("kind", ["trade_off", "speed"])
def test_localization_is_px_ap(masked: Repository, kind: str) -> None:
    if kind == "speed":
        frame = load_numbers(masked.settings, ["toy"], masked.root).frame
        with figure_style():
            axis = speed(frame, pd.Series(1.0, frame["key"].unique())).axes[0]
    else:
        axis = drawn(masked, kind).axes[0]
    assert axis.get_ylabel().startswith("PxAP, all thresholds (%)")
    assert axis.containers[0].lines[0].get_ydata()[0] == pytest.approx(51)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("precision_recall", "no masks"),
        ("trade_off", "none of its runs classifies"),
        ("threshold_curves", "boxes, which have no threshold"),
        ("training", "was trained"),
        ("speed", "was trained"),
    ],
)
def test_why_a_plot_would_be_empty_is_said_in_a_sentence(
    repository: Make, tmp_path: Path, kind: str, reason: str
) -> None:
    toy = repository(methods=[], unseeded=["whole"], seeds=[0])
    nothing = dict.fromkeys(("fixed", "val", "oracle", "published"))
    classes = {"top1": None, "top5": None}
    toy.write("whole", 0, 50, px_ap=None, cls=classes)
    path = toy.metrics("whole")
    path.write_text(json.dumps(json.loads(path.read_text()) | {"threshold": nothing}))
    with pytest.raises(DataError, match=f"there is no plot '{kind}' of toy: .*{reason}"):
        write_plot(toy.settings, kind, [], [], tmp_path / "x.pdf", toy.root, PlotOptions())


@pytest.mark.parametrize("kind", sorted(PLOTS.keys() - {"search"}))
def test_no_plot_of_a_track_without_results_ends_in_a_traceback(repository: Make, tmp_path: Path, kind: str) -> None:
    toy = repository(seeds=[0])
    toy.skip("alpha", 0, "needs boxes")
    with pytest.raises(DataError, match="toy"):
        write_plot(toy.settings, kind, [], [], tmp_path / "x.pdf", toy.root, PlotOptions())


def test_pairs_are_tested_by_the_overlap_with_the_mask(repository: Make) -> None:
    toy = repository(methods=["alpha", "beta"], masks=True)
    random = np.random.default_rng(0)
    for seed in toy.seeds:
        toy.write("alpha", seed, 45.0)
        toy.write("beta", seed, 52.5)
        for method, level in (("alpha", 0.3), ("beta", 0.4)):
            path = Layout(toy.root).per_image("toy", f"toy-{method}-{seed}")
            frame = pd.read_parquet(path)
            frame["mask_iou_val"] = level + random.uniform(-0.2, 0.2, len(frame))
            frame.to_parquet(path, index=False)
    tests = paired_tests(toy.track(), toy.root)
    assert tests is not None
    assert tests.title.endswith("pIoU, val")
    (pair,) = tests.pairs.to_dict("records")
    assert float(pair["difference"]) == pytest.approx(-10, abs=1)
    assert pair["significant"]


def test_classes_have_the_overlap_with_the_mask(masked: Repository) -> None:
    table = pd.read_csv(io.StringIO(classes_csv(masked.track(), masked.root)))
    first = table.iloc[0]
    assert first["p_iou_val_mean"] == pytest.approx(27)
    assert first["p_iou_val_sd"] == pytest.approx(1)


def test_the_gallery_draws_true_and_predicted_masks(masked: Repository) -> None:
    picture = gallery_sections(masked.track(), masked.root, 1)[0].pictures[0]
    assert (picture.boxes, picture.outline) == ([], "M25.0,25.0 75.0,25.0 50.0,75.0Z")
    prediction = picture.predictions[0]
    assert prediction.outline.startswith("M")
    path = masked.metrics("alpha")
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"threshold": content["threshold"] | {"val": 1.0}}))
    highest = gallery_sections(masked.track(), masked.root, 1)[0].pictures[0].predictions[0]
    assert len(highest.outline) < len(prediction.outline)  # at the maximum, hardly a pixel is left
