"""A benchmark of one's own photographs goes to somebody who has not got them, by git and a remote of DVC's."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.conftest import SMALL_TRACK, Pipeline, copy_checkout, git_repository, stages_in

pytestmark = pytest.mark.slow

RUN = "birds-cam-0"
CLASSES, IMAGES, SIDE, LOW, HIGH = 3, 10, 48, 12, 36


def photographs(root: Path) -> None:
    """Write pictures of a bright square each, in a colour of its class, and their boxes."""
    drawn, lines = np.random.default_rng(0), ["id,x0,y0,x1,y1"]
    for label in range(CLASSES):
        for number in range(IMAGES):
            pixels = drawn.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
            pixels[LOW:HIGH, LOW:HIGH, label] = 250
            path = root / "images" / f"bird{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
            if number < IMAGES // 2:
                lines.append(f"bird{label}/{number}.png,{LOW},{LOW},{HIGH},{HIGH}")
    (root / "boxes.csv").write_text("\n".join(lines) + "\n")


def test_a_clone_that_pulls_verifies_without_the_photographs_and_runs_nothing(tmp_path: Path) -> None:
    own, theirs, away = tmp_path / "own", tmp_path / "theirs", tmp_path / "photographs"
    photographs(away)
    own.mkdir()
    copy_checkout(own)
    made = Pipeline(own)
    made.edit_params(
        datasets__birds={"of": "image_folder", "root": str(away)},
        tracks__birds={"extends": "shapes-convnet", "dataset": "birds", **SMALL_TRACK},
        methods={"cam": {}},
        evaluate__published_threshold={},
        run__tracks=["birds"],
        run__methods=["cam"],
        run__readouts=[],
        run__full_only={},
        run__only={},
        run__suite=[],
        run__seeds=[0],
        run__baselines=[],
        run__seeded_baselines=["mask_supervised"],
    )
    git_repository(own)
    made.run("wsolbench", "launch")
    made.run("dvc", "remote", "add", "--default", "shelf", str(tmp_path / "remote"))
    made.run("git", "add", "--all")
    made.run("git", "commit", "--quiet", "--message", "results")
    made.run("dvc", "push")

    subprocess.run(["git", "clone", "--quiet", own, theirs], check=True)
    away.rename(tmp_path / "gone")
    shutil.rmtree(own)
    clone = Pipeline(theirs)
    clone.run("dvc", "pull")
    assert clone.run("wsolbench", "verify", "--from", "maps").stdout == f"{RUN}: reproduced (all numbers equal)\n"
    status = json.loads(clone.run("dvc", "status", "--json").stdout)
    assert status == {"resolve": ["always changed"], "look@birds": ["always changed"]}
    assert stages_in(clone.run("dvc", "repro").stdout) == []
    launched = clone.run("wsolbench", "launch")
    assert launched.stdout == "Everything is up to date.\n"
    assert clone.run("git", "status", "--porcelain").stdout == ""
    missing = clone.run("wsolbench", "verify", "--from", "checkpoint", check=False)
    assert missing.returncode == 1
    assert f"{RUN}: not verified" in missing.stderr
    assert str(away) in missing.stderr

    # What would need the photographs says so, and what it was to replace is still there.
    clone.edit_params(tracks__birds__warmup_iters=3)
    failed = clone.run("wsolbench", "launch", check=False)
    assert failed.returncode == 1
    assert str(away) in failed.stdout + failed.stderr
    assert " D " not in clone.run("git", "status", "--porcelain").stdout
    assert (theirs / "results" / "metrics" / "birds" / "birds-mask_supervised-0.json").is_file()
