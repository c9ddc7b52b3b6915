"""LaTeX tables hold the numbers of the Markdown tables, and compile where there is a LaTeX."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

from tests.report.conftest import Repository
from wsolbench.report.latex import latex_escaped, latex_tables
from wsolbench.report.results import read_track
from wsolbench.report.tables import markdown_table


def numbers(text: str) -> list[list[str]]:
    """Cells of every row that holds a measured number, without markup."""
    plain = text.replace(r"$\pm$", "±").replace(r"\_", "_")
    lines = [line.strip("| ").removesuffix(r" \\") for line in plain.splitlines()]
    rows = [re.split(r" [|&] ", line) for line in lines]
    return [row for row in rows if len(row) > 3 and "±" in row[3]]


def test_the_numbers_are_those_of_the_markdown_page(full: Repository) -> None:
    results = read_track(full.settings, "toy", full.root)
    page = markdown_table(results)
    scores = page[: page.index("## Differences")]
    assert numbers(latex_tables(results)) == numbers(scores)
    assert len(numbers(scores)) == 12  # three rows in each of four tables


def test_names_are_escaped() -> None:
    assert latex_escaped("50 % of A_1 & {B}\\n$x$ #1 ~^<>") == (
        r"50 \% of A\_1 \& \{B\}\textbackslash{}n\$x\$ \#1 \textasciitilde{}\textasciicircum{}\textless{}\textgreater{}"
    )


def test_the_tables_are_well_formed(full: Repository, tmp_path: Path) -> None:
    text = latex_tables(read_track(full.settings, "toy", full.root))
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
