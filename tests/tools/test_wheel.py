"""The installed package, in folders that are no checkout of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RUN = "from wsolbench.cli import main; main()"
SMALL = {"epochs: 4": "epochs: 1", "train: 1000": "train: 12", "val: 120": "val: 6", "test: 320": "test: 6"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel, as pip would put it."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for name in ("wsolbench", "methods", "datasets"):
        shutil.copytree(name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(name, source)
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(source / done.stdout.splitlines()[-1]) as wheel:
        ours = [path.relative_to(source).as_posix() for path in (source / "wsolbench").rglob("*.*") if path.is_file()]
        ours += [
            f"wsolbench/{path.as_posix()}" for folder in ("methods", "datasets") for path in Path(folder).glob("*.py")
        ]
        assert {name for name in ours if "__pycache__" not in name} <= {*wheel.namelist()}
        wheel.extractall(site)
    return site


def wsolbench(installed: Path, folder: Path, *command: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, "-c", RUN, *command]
    done = subprocess.run(program, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_wheel_lists_and_scores_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "dgdm " in wsolbench(installed, empty, "list", "methods")
    lists = {"image_ids": "a.jpg", "class_labels": "a.jpg,0", "image_sizes": "a.jpg,30,20"}
    (empty / "lists").mkdir()
    for name, line in (lists | {"localization": "a.jpg,5,5,20,15"}).items():
        (empty / "lists" / f"{name}.txt").write_text(f"{line}\n")
    (empty / "maps").mkdir()
    np.save(empty / "maps" / "a.jpg.npy", np.eye(7))
    assert "MaxBoxAcc" in wsolbench(installed, empty, "score", "--maps", "maps", "--metadata", "lists")


@pytest.mark.slow
def test_a_project_trains_methods_of_its_own_and_its_runs_predict_anywhere(installed: Path, tmp_path: Path) -> None:
    project, other = tmp_path / "project", tmp_path / "other"
    other.mkdir()
    wsolbench(installed, tmp_path, "new", "project", "project")
    params = (project / "params.yaml").read_text()
    for one, small in SMALL.items():
        assert one in params
        params = params.replace(one, small)
    (project / "params.yaml").write_text(params)
    wsolbench(installed, project, "new", "method", "mine")
    assert "shapes-convnet-mine-0" in wsolbench(installed, project, "list", "runs")
    wsolbench(installed, project, "launch", "--workers", "1")
    assert "mine" in (project / "results" / "report.html").read_text(encoding="utf-8")
    assert "no published numbers" in (project / "results" / "comparison.md").read_text(encoding="utf-8")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(other / "a.png")
    run = project / "results" / "runs" / "shapes-convnet-cam-0"
    shutil.copytree(run, other / "run")
    assert "1 photograph" in wsolbench(installed, other, "predict", "a.png", "--run", "run")
    assert (other / "predictions" / run.name / "pictures" / "a.png.jpg").is_file()
