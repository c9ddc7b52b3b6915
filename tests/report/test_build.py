import re
import subprocess
import sys
from pathlib import Path

import pytest

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.report.build import write_report
from wsolbench.report.page import write_page

STEMS = ("methods", "precision_recall", "threshold_curves", "overlaps", "object_sizes", "misses", "trade_off")
TABLES = {"toy.md", "toy.tex", "toy_all.tex", "toy_classes.csv", "toy_costs.csv"}
PICTURES = {f"{stem}.webp" for stem in STEMS}
ANOTHER_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.report.conftest import Repository
from wsolbench.report.build import write_report
from wsolbench.report.page import write_page
toy = Repository(Path(sys.argv[2]), methods=["alpha", "beta"], baselines=["ceiling"])
write_report(toy.settings, "toy", toy.root)
write_page(toy.settings, toy.root)
sys.exit(", ".join({"torch", "torchvision", "mmengine"} & set(sys.modules)) or 0)
"""


def generated(root: Path) -> dict[str, bytes]:
    results = root / "results"
    found = [path for folder in ("tables", "plots") for path in (results / folder).rglob("*") if path.is_file()]
    found += results.glob("report*")
    return {str(path.relative_to(root)): path.read_bytes() for path in found}


@pytest.mark.slow
def test_another_process_writes_the_same_bytes_and_needs_no_torch(reported):
    before = generated(reported.root)
    command = [sys.executable, "-c", ANOTHER_PROCESS, str(Path(__file__).parent), str(reported.root)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert generated(reported.root) == before


@pytest.mark.slow
def test_a_report_is_tables_pictures_and_a_page_the_same_each_time(reported):
    before = generated(reported.root)
    files = write_report(reported.settings, "toy", reported.root)
    page = write_page(reported.settings, reported.root)
    assert {path.name for path in files} == PICTURES | TABLES | {"examples.webp", "search.webp"}
    assert set(before) == {str(path.relative_to(reported.root)) for path in (*files, page)}  # no temporary file is left
    assert generated(reported.root) == before
    assert not re.search(rb"<dc:date>|Matplotlib v|Software", b"".join(before.values()))


@pytest.mark.slow
def test_one_run_with_an_awkward_name_is_drawn(repository):
    toy = repository(seeds=[4])
    title = (
        r"A rather long name with $\frac{1}{2}$ <b>& more than three lines of text that nobody needs to read in full"
    )
    toy.write("alpha", 4, 50, title=title, top1_loc=dict.fromkeys(("fixed", "val", "oracle", "published")))
    assert {path.name for path in write_report(toy.settings, "toy", toy.root)} >= PICTURES


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("curves", b""),
        ("curves", b"threshold,other\n0.1,2\n"),
        ("curves", b"threshold,box_acc_iou50\n0.1,\n"),
        ("curves", None),
    ],
)
def test_a_missing_or_damaged_input_is_named_and_old_files_stay(full, kind, content):
    path = getattr(Layout(full.root), kind)("toy", "toy-beta-0")
    path.unlink() if content is None else path.write_bytes(content)
    table = full.root / "results" / "tables" / "toy.md"
    table.parent.mkdir(parents=True)
    table.write_text("old")
    problem = "is missing" if content is None else "is damaged"
    with pytest.raises(DataError, match=f"{path.name} {problem}.*run `wsolbench evaluate toy-beta-0`"):
        write_report(full.settings, "toy", full.root)
    assert generated(full.root) == {"results/tables/toy.md": b"old"}


def test_a_track_whose_every_run_was_skipped_has_a_table_and_no_pictures(repository):
    toy = repository(seeds=[0])
    stale = toy.root / "results" / "plots" / "toy" / "methods.webp"
    stale.parent.mkdir(parents=True)
    stale.write_text("old")
    toy.skip("alpha", 0, "needs masks")
    assert {path.name for path in write_report(toy.settings, "toy", toy.root)} == TABLES
    assert not stale.exists()
    assert "- alpha (seeds 0): needs masks" in (toy.root / "results" / "tables" / "toy.md").read_text(encoding="utf-8")
