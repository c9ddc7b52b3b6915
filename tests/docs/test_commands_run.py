"""Every block of commands that is not marked runs, page by page, in a small benchmark that has run once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.datasets.roots import write_cub
from tests.docs.blocks import Block, blocks
from tests.pipeline.conftest import Pipeline, git_repository, new_pipeline, small_settings
from wsolbench.config.paths import Layout
from wsolbench.data.scoremaps import read_maps

pytestmark = pytest.mark.slow

TRACK = "shapes-convnet"
SHOWN = [block for block in blocks("bash") if not block.why]
ENVIRONMENT = Path(sys.prefix)
UV = f"""#!/bin/sh
mkdir -p .venv && cd .venv && ln -sfn {ENVIRONMENT}/bin {ENVIRONMENT}/lib {ENVIRONMENT}/pyvenv.cfg .
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small benchmark in git that has run, with what pages take from their readers beside and within it."""
    root = tmp_path_factory.mktemp("documented") / "benchmark"
    root.mkdir()
    made = new_pipeline(root)
    made.edit_params(**small_settings("cam", "adl", "dgdm"))
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy(name, root)
    (root / "tests").mkdir()
    (root / "tests" / "test_nothing.py").write_text("def test_nothing() -> None:\n    assert True\n")
    git_repository(root)
    made.run("git", "branch", "--move", "main")
    made.run("wsolbench", "launch")
    made.run("git", "add", "--all")
    made.run("git", "commit", "--quiet", "--message", "results")
    give_what_readers_have(root)
    return root


def give_what_readers_have(root: Path) -> None:
    """Write a virtual environment, maps, photographs and a data set to where pages say that they are."""
    (root / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (root / ".venv" / name).symlink_to(ENVIRONMENT / name)
    (root / ".venv" / ".ready").touch()
    (root / "MAPS").mkdir()
    stored = read_maps(Layout(root).run(f"{TRACK}-cam-0") / "maps.npz", "test")
    for name, heat in zip(stored.ids.tolist(), stored.maps, strict=True):
        path = root / "MAPS" / f"{name}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, heat)
    (root / "PHOTOS").mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8)).save(root / "PHOTOS" / "a.png")
    write_cub(root.parent / "data")
    (root.parent / "bin").mkdir()
    (root.parent / "bin" / "uv").write_text(UV)
    (root.parent / "bin" / "uv").chmod(0o755)


@pytest.fixture(scope="module")
def copies(finished: Path) -> Iterator[dict[Path, Path]]:
    """Where the blocks of a page run, one after another: in a copy for each page."""
    yield {}
    shutil.rmtree(finished.parent)


def copy_for(block: Block, finished: Path, copies: dict[Path, Path]) -> Path:
    if "git clone" in block.text:
        place = finished.parent / f"beside-{block.page.stem}"
        place.mkdir()
        (place / "REPOSITORY").symlink_to(finished)
        return place
    if block.page not in copies:
        place = finished.parent / f"of-{block.page.stem}"
        shutil.copytree(finished, place, symlinks=True)
        copies[block.page] = place
    return copies[block.page]


@pytest.mark.parametrize("block", SHOWN, ids=str)
def test_a_block_of_commands_runs(block: Block, finished: Path, copies: dict[Path, Path]) -> None:
    root = copy_for(block, finished, copies)
    code = root / "wsolbench" if "git clone" in block.text else root
    text = block.text.replace("=/data", f"={finished.parent / 'data'}")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "VIRTUAL_ENV"))}
    environment |= {"PATH": f"{finished.parent / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": Pipeline(code).environment()["PYTHONPATH"]}
    script = ["bash", "-euo", "pipefail", "-c", text]
    done = subprocess.run(script, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_few_blocks_are_not_run() -> None:
    assert len(SHOWN) > len(blocks("bash")) / 2
