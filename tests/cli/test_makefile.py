"""The environment is made anywhere, also below a folder whose name has a space."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

UV = """#!/bin/sh
echo "$1 $2|$VIRTUAL_ENV" >> "$CALLS"
mkdir -p .venv
"""


@pytest.mark.parametrize("folder", ["plain", "with a space"])
def test_the_environment_is_made_below_any_folder(tmp_path: Path, folder: str) -> None:
    checkout, binaries, calls = tmp_path / folder, tmp_path / "bin", tmp_path / "calls"
    for made in (checkout, binaries):
        made.mkdir()
    (binaries / "uv").write_text(UV)
    (binaries / "uv").chmod(0o755)
    shutil.copy("Makefile", checkout)
    for name in ("requirements.lock", "pyproject.toml"):
        (checkout / name).touch()
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "VIRTUAL_ENV"))}
    environment |= {"PATH": f"{binaries}:{os.environ['PATH']}", "CALLS": str(calls)}
    command = ["make", f"PYTHON={sys.executable}", ".venv/.ready"]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    venv = checkout / ".venv"
    assert calls.read_text().splitlines() == ["venv --quiet|", f"pip sync|{venv}", f"pip install|{venv}"]
    again = subprocess.run([*command, "-q"], cwd=checkout, env=environment, check=False)
    assert again.returncode == 0  # nothing is done twice
