"""LaTeX tables hold the numbers of the Markdown tables, and compile where there is a LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.report.conftest import Repository
from wsolbench.report.latex import headline_table, latex_escaped


def numbers(text: str) -> list[list[str]]:
    """Cells of every row that holds a measured number, without markup."""
    plain = text.replace(r"$\pm$", "±").replace(r"\_", "_")
    lines = [line.strip("| ").removesuffix(r" \\") for line in plain.splitlines()]
    rows = [re.split(r" [|&] ", line) for line in lines]
    return [row for row in rows if len(row) > 3 and "±" in row[3]]


def test_the_numbers_are_those_of_the_markdown_page_without_intervals(full: Repository) -> None:
    page = re.sub(r" \(±[0-9.]+\)", "", full.page())
    scores = numbers(page[: page.index("## Differences")])
    assert len(scores) == 12  # three rows in each of four tables
    found = numbers(full.latex().partition("costs.")[0])
    cells = [[row for row in found if row[0] == title] for title in ("Alpha", "Beta", "Ceiling")]
    for title, parts in zip(("Alpha", "Beta", "Ceiling"), cells, strict=True):
        assert [cell for row in parts for cell in row[3:]] == [
            cell for row in scores if row[0] == title for cell in row[3:]
        ]


def test_no_table_is_wider_than_a_page_or_scaled_and_each_has_a_label(full: Repository) -> None:
    text = full.latex()
    assert all(len(columns) <= 3 + 6 for columns in re.findall(r"begin\{tabular\}\{(\w+)\}", text))
    assert "resizebox" not in text
    assert re.findall(r"\\label\{(.*?)\}", text) == [
        f"tab:toy-{end}" for end in ("val", "oracle", "pixel", "normalised", "costs")
    ]
    assert text.count("Data set pictures") == 1
    assert text.count(r"\ref{tab:toy-val}") == 3


def test_names_are_escaped() -> None:
    assert latex_escaped("50 % of A_1 & {B}\\n$x$ #1 ~^<>") == (
        r"50 \% of A\_1 \& \{B\}\textbackslash{}n\$x\$ \#1 \textasciitilde{}\textasciicircum{}\textless{}\textgreater{}"
    )


def test_the_tables_are_well_formed(full: Repository, tmp_path: Path) -> None:
    text = full.latex()
    assert text.count("{") == text.count("}")
    for table in re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        columns, body = table
        for line in body.splitlines():
            if " & " in line:
                assert line.count(" & ") == len(columns) - 1
    if shutil.which("pdflatex"):
        document = r"\documentclass{article}\usepackage{booktabs,graphicx}\begin{document}" + text + r"\end{document}"
        (tmp_path / "t.tex").write_text(document)
        subprocess.run(["pdflatex", "-interaction=nonstopmode", "t.tex"], cwd=tmp_path, check=True, capture_output=True)


def test_notes_are_those_of_the_markdown_page(repository) -> None:  # type: ignore[no-untyped-def]
    toy = repository(methods=["alpha", "beta"], baselines=["ceiling"], seeds=[0, 1])
    for seed in toy.seeds:
        toy.write("alpha", seed, 50, weights={"name": "in_1k", "sha256": "0123456789abcdef" * 4})
        toy.skip("beta", seed, "needs 100 % of a_mask", title="Beta & co")
        toy.write("ceiling", seed, 90, images={"val": 48, "test": 400})
    text = toy.latex()
    assert text.count(r"Skipped: Beta \& co (seeds 0, 1): needs 100 \% of a\_mask.") == 1
    assert r"in\_1k (sha256 0123456789ab) for Alpha; none (random initialisation) for Ceiling" in text
    assert "Truth of val that chose thresholds: 240 images with 250 boxes and 240 masks for Alpha; 48 images" in text
    assert r"mean $\pm$ sample standard deviation over the seeds" in text
    assert "in brackets" not in text
    assert "`" not in text


def test_where_every_run_was_skipped_the_reason_is_left(repository) -> None:  # type: ignore[no-untyped-def]
    toy = repository(seeds=[0])
    toy.skip("alpha", 0, "needs masks")
    text = toy.latex()
    assert "Every run was skipped (seeds asked for: 0). Skipped: alpha (seeds 0): needs masks." in text
    assert "tabular" not in text


def test_the_headline_has_seven_columns_and_the_best_of_each_recipe_in_bold(repository) -> None:  # type: ignore[no-untyped-def]
    toy = repository(methods=["alpha", "beta", "gamma", "delta"], baselines=["ceiling"], seeds=[0])
    for method, level in (("alpha", 45), ("beta", 50), ("gamma", 30), ("delta", 40), ("ceiling", 90)):
        toy.write(method, 0, level, recipe="searched" if method in {"gamma", "delta"} else "common")
    text = headline_table(toy.track())
    assert re.findall(r"begin\{tabular\}\{(\w+)\}", text) == ["lrrrrrr"]
    assert r"\label{tab:toy}" in text
    assert r"Alpha & 97.5 & 44.0 & 42.0 & 45.0 & 40.5 & 50.0 \\" in text  # equal at Top-1 Cls: nothing is best
    assert r"Beta & 97.5 & \textbf{49.0} & \textbf{47.0} & \textbf{50.0} & \textbf{45.0} & \textbf{55.0} \\" in text
    assert r"Delta & 97.5 & \textbf{39.0} & " in text
    assert r"Ceiling & 97.5 & 89.0 & " in text


def test_nothing_else_is_bold(full: Repository) -> None:
    assert "textbf" not in full.latex()
