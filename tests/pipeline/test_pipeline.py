"""The pipeline as its users drive it. The tests of this file build on one another's state, in order."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pipeline.conftest import Pipeline

pytestmark = pytest.mark.slow

TRACK = "shapes-convnet"
REPORTS = [f"report@{TRACK}", "summary", "page"]


def stages_of(method: str) -> list[str]:
    return sorted([f"train@{TRACK}-{method}-0", f"evaluate@{TRACK}-{method}-0", f"costs@{TRACK}"])


def metrics(pipeline: Pipeline, method: str) -> dict[str, object]:
    path = pipeline.root / f"results/metrics/{TRACK}/{TRACK}-{method}-0.json"
    found: dict[str, object] = json.loads(path.read_text())
    return found


@pytest.fixture(scope="module")
def finished(pipeline: Pipeline) -> Pipeline:
    """The pipeline after its first run."""
    ran = pipeline.repro()
    first = [f"{stage}@{TRACK}" for stage in ("prepare", "weights", "photographs")]
    assert sorted(ran) == sorted([*first, *{*stages_of("cam"), *stages_of("adl")}, *REPORTS])
    return pipeline


def test_one_command_goes_from_nothing_to_tables_and_plots(finished: Pipeline) -> None:
    assert metrics(finished, "cam")["status"] == "ok"
    tables = finished.root / "results" / "tables"
    assert "CAM" in (tables / f"{TRACK}.md").read_text()
    assert "cam" in (finished.root / "results" / "summary.csv").read_text()
    plots = {path.name for path in (finished.root / "results" / "plots" / TRACK).iterdir()}
    assert "methods.webp" in plots
    assert (finished.root / "results" / "summary.md").is_file()
    assert "CAM" in (finished.root / "results" / "report.html").read_text(encoding="utf-8")


def test_nothing_runs_twice(finished: Pipeline) -> None:
    assert finished.repro() == []


RUNS = {f"{kind}@{TRACK}-{method}-0" for kind in ("train", "evaluate") for method in ("cam", "adl")}
TRAININGS = {run for run in RUNS if run.startswith("train")}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("methods/adl.py", '"""', '"""Changed: ', set()),
        ("wsolbench/config/recipe.py", "sync_bn: bool = False", "sync_bn: bool = True", TRAININGS),
        ("wsolbench/evaluation/misses.py", "\n\n\n", "\n\nCHANGED = True\n\n\n", RUNS - TRAININGS),
    ],
)
def test_status_names_exactly_the_stages_that_a_change_touches(
    finished: Pipeline, file: str, old: str, new: str, expected: set[str]
) -> None:
    """By DVC itself, against what has run."""

    path = finished.root / file
    source = path.read_text()
    assert old in source
    path.write_text(source.replace(old, new, 1))
    try:
        finished.run("wsolbench", "resolve")
        found = json.loads(finished.run("dvc", "status", "--json").stdout)
    finally:
        path.write_text(source)
        finished.run("wsolbench", "resolve")
    asked_for_each_time = {"resolve", f"look@{TRACK}"}
    assert {*found} - asked_for_each_time == expected


def test_a_new_method_is_one_file_and_one_line_and_runs_only_its_own_stages(finished: Pipeline) -> None:
    source = (finished.root / "methods" / "cam.py").read_text()
    (finished.root / "methods" / "mine.py").write_text(source.replace('title = "CAM"', 'title = "Mine"'))
    params = finished.root / "params.yaml"
    before = params.read_text()
    params.write_text(before.replace("  adl: {}\n", "  adl: {}\n  mine: {}\n").replace("- adl\n", "- adl\n  - mine\n"))
    ran = finished.repro()
    assert sorted(ran[:3]) == stages_of("mine")
    assert ran[3:] == REPORTS
    assert metrics(finished, "mine")["title"] == "Mine"


def test_changing_one_methods_argument_runs_only_its_stages(finished: Pipeline) -> None:
    finished.edit_params(methods__adl={"args": {"drop_rate": 0.5}})
    ran = finished.repro()
    assert sorted(ran[:3]) == stages_of("adl")
    assert set(ran) <= {*stages_of("adl"), *REPORTS}


def test_a_variant_is_run_and_reported_and_changing_it_runs_only_its_own_stages(finished: Pipeline) -> None:
    block = {"of": "cam", "title": "short", "tracks": {TRACK: {"train": {"lr": 0.01}}}}
    finished.edit_params(methods__brief=block, run__methods=["cam", "adl", "brief"])
    own = stages_of("brief")
    ran = finished.repro()
    assert sorted(ran[:3]) == own
    assert ran[3:] == REPORTS
    assert metrics(finished, "brief")["title"] == "CAM, short"
    assert metrics(finished, "brief")["variant_of"] == "cam"
    page = (finished.root / "results" / "tables" / f"{TRACK}.md").read_text()
    assert "variants" in page
    assert re.search(r"^\| CAM, short( †)? \|", page, re.MULTILINE)  # so few images may be at chance
    finished.edit_params(methods__brief=block | {"tracks": {TRACK: {"train": {"lr": 0.02}}}})
    ran = finished.repro()
    assert ran[:2] == [f"train@{TRACK}-brief-0", f"evaluate@{TRACK}-brief-0"]
    assert set(ran) <= {*own, *REPORTS} - {f"costs@{TRACK}"}  # the rate changes no count
    finished.edit_params(run__methods=["cam", "adl"])
    assert set(finished.repro()) == {f"costs@{TRACK}", *REPORTS}
    assert "CAM, short" not in (finished.root / "results" / "tables" / f"{TRACK}.md").read_text()


def test_deleting_one_result_rebuilds_just_that_with_the_same_bytes(finished: Pipeline) -> None:
    path = finished.root / f"results/metrics/{TRACK}/{TRACK}-cam-0.json"
    before = path.read_bytes()
    path.unlink()
    assert finished.repro() == [f"evaluate@{TRACK}-cam-0"]
    assert path.read_bytes() == before


def test_training_again_gives_the_same_bytes(finished: Pipeline) -> None:
    folder = finished.root / f"results/runs/{TRACK}-adl-0"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    finished.run("dvc", "repro", "-f", "-s", "--no-run-cache", f"train@{TRACK}-adl-0")
    after = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(before) == {"checkpoint.safetensors", "maps.npz", "history.csv", "run.yaml"}
    assert after == before
    assert set(finished.repro()) == {f"report@{TRACK}", "page"}  # their table of costs has the time of this training


def test_checkpoints_and_maps_travel_through_a_remote_and_are_verified(finished: Pipeline, tmp_path: Path) -> None:
    run = f"{TRACK}-cam-0"
    folder = finished.root / "results" / "runs" / run
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    finished.run("dvc", "remote", "add", "--default", "away", str(tmp_path / "remote"))
    finished.run("dvc", "push")
    shutil.rmtree(folder)
    shutil.rmtree(finished.root / ".dvc" / "cache")
    missing = finished.run("wsolbench", "verify", run, "--from", "checkpoint", check=False)
    assert missing.returncode == 1
    assert f"dvc pull results/runs/{run}" in missing.stderr
    finished.run("dvc", "pull")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    for origin in ("maps", "checkpoint", "scratch"):
        done = finished.run("wsolbench", "verify", run, "--from", origin)
        assert done.stdout == f"{run}: reproduced (all numbers equal)\n"
    assert finished.repro() == []


def test_a_killed_run_leaves_a_tree_that_the_next_repro_completes(finished: Pipeline) -> None:
    finished.edit_params(methods__adl={"args": {"drop_rate": 0.25}})
    work = finished.root / ".wsolbench" / "work" / f"{TRACK}-adl-0"
    process = finished.start_repro()
    wait_until(work.exists)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    for pid in [*map(int, children), process.pid]:
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    assert not (finished.root / f"results/runs/{TRACK}-adl-0").exists()
    time.sleep(1)  # an orphaned trainer, if the kill missed it, would still hold the run's lock
    ran = finished.repro()
    assert sorted(ran[:3]) == stages_of("adl")
    assert not work.exists()
    assert finished.repro() == []


def test_a_missing_data_set_stops_its_own_track_only(finished: Pipeline) -> None:
    finished.edit_params(run__tracks=[TRACK, "cub-mobilenet_v1"], methods__cam={"args": {}})
    done = finished.run("dvc", "repro", "-k", check=False)
    assert done.returncode != 0
    assert "CUB_200_2011" in done.stderr
    assert "datasets.cub.root" in done.stderr
    assert finished.run("dvc", "status", f"report@{TRACK}").stdout.strip().endswith("up to date.")


def wait_until(condition: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)
