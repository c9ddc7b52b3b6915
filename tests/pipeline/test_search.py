"""`wsolbench search` as a user calls it: in several processes, killed, gone on with, applied and reported."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ruamel.yaml import YAML

from tests.pipeline.conftest import Pipeline
from wsolbench.data.index import read_split, splits_of

pytestmark = pytest.mark.slow

TRACK, METHOD, TRIALS = "shapes-convnet", "adl", 4
SEARCH = ("wsolbench", "search", TRACK, "--method", METHOD, "--trials", str(TRIALS))


def folder_of(root: Path, method: str = METHOD) -> Path:
    return root / "results" / "search" / TRACK / method


def files_of(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder_of(root).glob("[!.]*")}


def started(pipeline: Pipeline, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        arguments, cwd=pipeline.root, env=pipeline.environment(), stderr=subprocess.PIPE, start_new_session=True
    )


def wait_for_trials(pipeline: Pipeline, process: subprocess.Popen[bytes], count: int) -> None:
    """Wait until so many trials are stored."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if len(list(folder_of(pipeline.root).glob("0*.json"))) >= count:
            return
        time.sleep(0.02)
    raise AssertionError(f"{count} trials were not finished before the search ended")


def test_a_search_from_the_command_line(pipeline: Pipeline) -> None:
    pipeline.edit_params(**{f"tracks__{TRACK}__epochs": 15})
    for command in ("prepare", "weights"):
        pipeline.run("wsolbench", command, TRACK)
    folder = pipeline.root / "data" / TRACK
    for item in read_split(folder, "test").items:  # a trial that opened one would fail
        (folder / item.path).unlink()
    pq.write_table(splits_of(folder / "truth.parquet", ("val",)), folder / "truth.parquet")

    # Two processes, and one, find the same bytes.
    pipeline.run(*SEARCH, "--workers", "2")
    two = files_of(pipeline.root)
    pipeline.run(*SEARCH, "--restart")
    assert files_of(pipeline.root) == two

    # Killed without warning, then asked to stop, then gone on with.
    shutil.rmtree(folder_of(pipeline.root))
    shutil.rmtree(pipeline.root / ".wsolbench" / "search")
    killed = started(pipeline, *SEARCH)
    wait_for_trials(pipeline, killed, 1)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert 0 < len(files_of(pipeline.root).keys() - {"search.json"}) < TRIALS
    stopped = started(pipeline, *SEARCH, "--workers", "2")
    wait_for_trials(pipeline, stopped, 2)
    stopped.send_signal(signal.SIGINT)
    _, said = stopped.communicate(timeout=120)
    assert stopped.returncode == 130, said
    assert b"the same command goes on" in said
    resumed = pipeline.run(*SEARCH)
    assert files_of(pipeline.root) == two
    assert f"{TRIALS} trials" in resumed.stdout

    # Another definition is refused, until it is asked for.
    pipeline.edit_params(**{f"tracks__{TRACK}__momentum": 0.8})
    refused = pipeline.run(*SEARCH, check=False)
    assert refused.returncode == 1
    assert "recipe.momentum differ" in refused.stderr
    assert "--restart" in refused.stderr
    assert files_of(pipeline.root) == two
    pipeline.edit_params(**{f"tracks__{TRACK}__momentum": 0.9})

    # The winner goes to params.yaml, and the same search still counts as done.
    before = (pipeline.root / "params.yaml").read_text()
    pipeline.run(*SEARCH, "--apply")
    after = (pipeline.root / "params.yaml").read_text()
    found, expected = (YAML(typ="safe").load(text) for text in (after, before))
    assert found["methods"][METHOD]["tracks"][TRACK]["recipe"] == "searched"
    assert found == expected | {"methods": expected["methods"] | {METHOD: found["methods"][METHOD]}}
    assert files_of(pipeline.root) == two
    assert pipeline.run(*SEARCH).stdout == resumed.stdout
    shown = pipeline.run("wsolbench", "train", f"{TRACK}-{METHOD}-0", "--dry-run").stdout
    assert "recipe: searched" in shown
    pipeline.run("wsolbench", "plot", "search", "--tracks", TRACK, "--out", "search.svg")
    assert (pipeline.root / "search.svg").stat().st_size > 1000
