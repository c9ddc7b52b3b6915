"""``wsolbench check``: one line per promise, and which of them is broken."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wsolbench.errors import SettingsError
from wsolbench.tools.check import name_of

EIL = Path("docs/examples/eil.py").read_text(encoding="utf-8")


def checked(file: Path) -> tuple[int, list[str]]:
    command = [sys.executable, "-c", "from wsolbench.cli import main; main()", "check", str(file)]
    done = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines()


@pytest.mark.slow
def test_the_worked_example_outside_of_the_repository_keeps_all_promises(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(EIL)
    status, lines = checked(tmp_path / "mine.py")
    assert status == 0, lines
    assert len(lines) > 15
    assert all(line.startswith("kept ") for line in lines)


@pytest.mark.slow
def test_what_is_broken_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(EIL.replace('"erased": self', 'f"erased{progress}": self'))
    status, lines = checked(tmp_path / "mine.py")
    assert status == 1
    broken = [line for line in lines if line.startswith("BROKEN")]
    assert ["losses are finite scalars of the same names throughout" in line for line in broken] == [True]


@pytest.mark.slow
def test_an_exemption_is_told_with_its_reason(tmp_path: Path) -> None:
    exempt = '    exempt = Exempt(rounding="a reason")\n    title = "EIL"'
    mine = EIL.replace('    title = "EIL"', exempt).replace("import Backbone,", "import Backbone, Exempt,")
    (tmp_path / "mine.py").write_text(mine)
    status, lines = checked(tmp_path / "mine.py")
    assert status == 0, lines
    assert "exempt  memory format changes nothing but rounding (a reason)" in lines
    assert sum(line.startswith("exempt ") for line in lines) == 2


@pytest.mark.slow
def test_a_readout_has_promises_of_its_own(tmp_path: Path) -> None:
    shutil.copy("methods/layer_cam.py", tmp_path / "mine.py")
    status, lines = checked(tmp_path / "mine.py")
    assert status == 0, lines
    assert "kept    images of a batch do not meet" in lines


def test_what_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WSOLBENCH_COMPONENTS", "{}")
    with pytest.raises(SettingsError, match="nothing_of_that_name"):
        name_of("nothing_of_that_name")
    with pytest.raises(SettingsError, match=r"absent\.py"):
        name_of(str(tmp_path / "absent.py"))
