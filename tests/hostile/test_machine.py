"""A machine that does not let a command write: what could not be written is named, and there is no traceback."""

from __future__ import annotations

import json
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from tests.tiny import TINY_SHAPES, TINY_TRACK, TRACK
from wsolbench.acquire.prepare import prepare
from wsolbench.config.paths import Layout
from wsolbench.config.settings import read_settings
from wsolbench.data.cache import Reading, pictures_of
from wsolbench.data.index import read_split
from wsolbench.data.loader import EpochOrder, TrainingSet, training_loader
from wsolbench.errors import StorageError
from wsolbench.files import locked, replace_directory, write_bytes

KEY = f"{TRACK}-cam-0"
CONTENT = {
    "methods": {"cam": {}},
    "datasets": {"shapes": TINY_SHAPES},
    "tracks": {TRACK: TINY_TRACK | {"amp": "off"}},
    "run": {"tracks": [TRACK], "methods": ["cam"], "seeds": [0]},
    "runtime": {"device": "cpu", "threads": 1, "cache_gib": 0},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    (root / "params.yaml").write_text(json.dumps(CONTENT))
    for command in (("prepare", TRACK), ("weights", TRACK), ("train", KEY)):
        assert wsolbench(root, *command).returncode == 0
    return root


@pytest.fixture
def root(trained: Path, tmp_path: Path) -> Path:
    shutil.copytree(trained, tmp_path / "root")
    return tmp_path / "root"


def wsolbench(root: Path, *command: str, most_bytes: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command in a process that may not write files of more than so many bytes."""
    limit = None if most_bytes is None else partial(_limit, most_bytes)
    program = [sys.executable, "-c", "from wsolbench.cli import main; main()", *command]
    return subprocess.run(program, cwd=root, capture_output=True, text=True, preexec_fn=limit, check=False)


def _limit(most_bytes: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "most_bytes", "named"),
    [
        (("prepare", TRACK), 1000, "data/tiny/"),
        (("prepare", TRACK), 3000, "data/tiny/"),
        (("train", KEY), 300, "wsolbench"),
        (("train", KEY), 50_000, "checkpoint.safetensors"),
        (("evaluate", KEY, "--jobs", "1"), 1000, "cannot be written"),
        (("evaluate", KEY, "--jobs", "2"), 1000, "cannot be written"),
        (("evaluate", KEY, "--jobs", "1"), 7_000, "cannot be written"),
        (("show", TRACK), 1000, f"show-{TRACK}-test.png"),
        (("resolve",), 100, "data/recipes/"),
    ],
)
def test_a_limit_of_file_sizes_is_said(root: Path, command: tuple[str, ...], most_bytes: int, named: str) -> None:
    before = {
        path: path.read_bytes() for path in (root / "results").rglob("*") if path.suffix != ".log" and path.is_file()
    }
    done = wsolbench(root, *command, most_bytes=most_bytes)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert named in done.stderr
    assert {path: path.read_bytes() for path in before} == before
    assert not [path for path in (root / "results").rglob("*") if path.suffix == ".tmp"]


@pytest.mark.slow
@pytest.mark.parametrize("command", [("train", KEY), ("evaluate", KEY), ("costs", TRACK), ("photographs", TRACK)])
def test_results_that_cannot_be_written_are_named(root: Path, command: tuple[str, ...]) -> None:
    """As on a read-only disk; root may write everywhere, so a file stands where directories are wanted."""
    for name in ("logs", "metrics", "costs", "thumbnails", "provenance"):
        shutil.rmtree(root / "results" / name, ignore_errors=True)
        (root / "results" / name).write_text("")
    done = wsolbench(root, *command)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "wsolbench: results/" in done.stderr


def test_an_existing_file_as_the_place_of_scores_or_locks_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "new").mkdir()
    for write in (
        lambda path: write_bytes(path / "metrics.json", b""),
        lambda path: replace_directory(tmp_path / "new", path / "run"),
        lambda path: locked(path / "lock").__enter__(),
    ):
        with pytest.raises(StorageError, match=r"file/\w+(\.json)? cannot be written"):
            write(tmp_path / "file")
    assert (tmp_path / "file").is_file()


def test_a_full_disk_is_said_by_what_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    write_bytes(tmp_path / "a", b"old")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match=r"a cannot be written .*No space left"):
            write_bytes(tmp_path / "a", b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"old"}


def test_a_cache_folder_that_is_none_costs_time_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text(json.dumps(CONTENT))
    (tmp_path / "file").write_text("")
    layout = Layout(tmp_path)
    prepare(read_settings(tmp_path / "params.yaml"), TRACK, layout)
    split, folder = read_split(layout.prepared(TRACK), "test"), layout.prepared(TRACK)
    expected = pictures_of(split, folder, 16, Reading())
    found = pictures_of(split, folder, 16, Reading(cache=tmp_path / "file", most_bytes=10**9))
    assert all(np.array_equal(found[k], expected[k]) for k in range(len(split)))


def test_loader_processes_are_refused_where_they_cannot_share(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only() -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(multiprocessing, "Lock", read_only)
    data = TrainingSet.__new__(TrainingSet)
    data._labels = [0]
    with pytest.raises(StorageError, match=r"/dev/shm.*Read-only.*runtime\.workers: 0"):
        training_loader(data, 1, 0, workers=2, pin=False)
    assert isinstance(training_loader(data, 1, 0, workers=0, pin=False).sampler, EpochOrder)
