"""The README's table is that of the results."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.report.conftest import Repository
from wsolbench.config.settings import read_settings
from wsolbench.errors import DataError, SettingsError
from wsolbench.report.readme import refreshed, write_readme

BLOCK = "before\n<!-- results of toy -->\nold\n<!-- end -->\nafter\n"


def test_a_block_is_replaced_and_the_rest_left_alone(full: Repository) -> None:
    (full.root / "README.md").write_text(BLOCK)
    assert write_readme(full.settings, full.root)
    found = (full.root / "README.md").read_text()
    assert found.startswith("before\n<!-- results of toy -->\n\n| method |")
    assert found.endswith("|\n\n<!-- end -->\nafter\n")
    assert "| Alpha | common | 3 | 97.5 ± 0.0 | 45.0 ± 1.0 | 46.0 ± 1.0 |" in found
    assert "\nold\n" not in found
    assert not write_readme(full.settings, full.root)


def test_a_block_may_name_its_rows(full: Repository) -> None:
    found = refreshed(BLOCK.replace("toy", "toy: alpha"), full.settings, full.root)
    assert "| Alpha |" in found
    assert "| Beta |" not in found
    with pytest.raises(DataError, match="nobody"):
        refreshed(BLOCK.replace("toy", "toy: nobody"), full.settings, full.root)


def test_a_block_of_several_tracks_has_a_row_per_method_and_a_column_per_track(tmp_path: Path) -> None:
    several = Repository(tmp_path, ["alpha", "beta"], ["ceiling"], seeds=[0, 1], tracks=["toy", "masked"])
    for seed in (0, 1):
        several.write("ceiling", seed, 90.0)
        several.write("alpha", seed, 50.0 + 2 * seed)
        several.write("beta", seed, 40.0, recipe="searched")
        several.masks = True
        for method in ("ceiling", "alpha", "beta"):
            several.write(method, seed, 30.0, track="masked")
        several.masks = False
    found = refreshed(BLOCK.replace("toy", "toy masked: beta alpha"), several.settings, several.root)
    header, _, beta, alpha, *_, note, end = [line for line in found.splitlines()[2:] if line][:-1]
    assert header == "| method | toy | masked |"
    assert beta.startswith("| Beta | 39.0 ± 0.0 ° | ")
    assert not beta.endswith("° |")
    assert alpha.startswith("| Alpha | 50.0 ± 1.4 | ")
    assert note == "° by a recipe of its own, and so not compared with the others"
    assert end == "<!-- end -->"
    with pytest.raises(DataError, match="toy masked does not have: nobody"):
        refreshed(BLOCK.replace("toy", "toy masked: nobody"), several.settings, several.root)


def test_wrong_blocks_are_named(full: Repository) -> None:
    with pytest.raises(DataError, match=r"README\.md cannot be read"):
        write_readme(full.settings, full.root)
    (full.root / "README.md").write_text("nothing")
    with pytest.raises(DataError, match="has no block"):
        write_readme(full.settings, full.root)
    with pytest.raises(SettingsError, match="nosuch"):
        refreshed(BLOCK.replace("toy", "nosuch"), full.settings, full.root)


@pytest.mark.slow
def test_the_readme_of_this_repository_shows_its_results() -> None:
    text = Path("README.md").read_text(encoding="utf-8")
    assert "<!-- results of shapes" in text
    assert refreshed(text, read_settings(), Path()) == text, "run `make readme`"
