"""The installed package, in folders that are no checkout of it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

RUN = "shapes-convnet-cam-0"
SMALL = {"epochs: 4": "epochs: 1", "train: 1000": "train: 12", "val: 120": "val: 6", "test: 320": "test: 6"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment into which the wheel was installed beside what it depends on."""
    source, place = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("environment")
    for name in ("wsolbench", "methods", "datasets"):
        shutil.copytree(name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(name, source)
    code = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = source / done.stdout.splitlines()[-1]
    with zipfile.ZipFile(built) as wheel:
        ours = [path.relative_to(source).as_posix() for path in (source / "wsolbench").rglob("*.*") if path.is_file()]
        ours += [
            f"wsolbench/{path.as_posix()}" for folder in ("methods", "datasets") for path in Path(folder).glob("*.py")
        ]
        assert {name for name in ours if "__pycache__" not in name} <= {*wheel.namelist()}
    subprocess.run([sys.executable, "-m", "venv", place], check=True)
    python = place / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", built], check=True)
    (ours,) = (place / "lib").glob("python*/site-packages")
    (ours / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # and not the checkout that they name
    return python.parent


def run(installed: Path, folder: Path, program: str, *command: str) -> str:
    environment = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment |= {"PATH": f"{installed}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    words = [installed / "python", "-m", program] if program == "dvc" else [installed / program]
    done = subprocess.run([*words, *command], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def wsolbench(installed: Path, folder: Path, *command: str) -> str:
    return run(installed, folder, "wsolbench", *command)


@pytest.mark.slow
def test_the_wheel_lists_and_scores_in_an_empty_folder(installed: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    where = run(installed, empty, "python", "-c", "import wsolbench; print(wsolbench.__file__)")
    assert where.startswith(str(installed.parent))
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
    assert "Running stage 'prepare@" in run(installed, project, "dvc", "repro", "prepare@shapes-convnet")
    wsolbench(installed, project, "new", "method", "mine")
    assert "shapes-convnet-mine-0" in wsolbench(installed, project, "list", "runs")
    wsolbench(installed, project, "launch", "--workers", "1")
    assert "mine" in (project / "results" / "report.html").read_text(encoding="utf-8")
    assert "no published numbers" in (project / "results" / "comparison.md").read_text(encoding="utf-8")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(other / "a.png")
    (project / "results" / "summary.md").unlink()
    again = run(installed, project, "dvc", "repro")
    assert "Running stage 'summary'" in again
    assert "Running stage 'train@" not in again
    assert (project / "results" / "summary.md").is_file()
    shutil.copytree(project / "results" / "runs" / RUN, other / "run")
    assert "1 photograph" in wsolbench(installed, other, "predict", "a.png", "--run", "run")
    assert (other / "predictions" / RUN / "pictures" / "a.png.jpg").is_file()
