"""A benchmark of one's own photographs, with boxes or masks, goes to somebody who has not got them, by git and DVC."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.pipeline.conftest import SMALL_TRACK, Pipeline, copy_checkout, git_repository, stages_in

pytestmark = pytest.mark.slow

RUNS = ("birds-cam-0", "fish-cam-0")
CLASSES, IMAGES, SIDE, LOW, HIGH = 3, 10, 48, 12, 36


def photographs(root: Path, *, masks: bool) -> None:
    """Write pictures of a bright square each, in a colour of its class, and the boxes or masks of half of them."""
    drawn, lines = np.random.default_rng(0), ["id,x0,y0,x1,y1"]
    for label in range(CLASSES):
        for number in range(IMAGES):
            pixels = drawn.integers(0, 90, (SIDE, SIDE, 3), dtype=np.uint8)
            pixels[LOW:HIGH, LOW:HIGH, label] = 250
            save(root / "images" / f"kind{label}" / f"{number}.png", pixels)
            if number < IMAGES // 2 and masks:
                save(root / "masks" / f"kind{label}" / f"{number}.png", (pixels[..., label] == 250) * np.uint8(255))
            elif number < IMAGES // 2:
                lines.append(f"kind{label}/{number}.png,{LOW},{LOW},{HIGH},{HIGH}")
    if not masks:
        (root / "boxes.csv").write_text("\n".join(lines) + "\n")


def save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_a_clone_that_pulls_verifies_without_the_photographs_and_runs_nothing(tmp_path: Path) -> None:
    own, theirs, away = tmp_path / "own", tmp_path / "theirs", tmp_path / "photographs"
    photographs(away / "birds", masks=False)
    photographs(away / "fish", masks=True)
    own.mkdir()
    copy_checkout(own)
    made = Pipeline(own)
    made.edit_params(
        **{f"datasets__{name}": {"of": "image_folder", "root": str(away / name)} for name in ("birds", "fish")},
        **{
            f"tracks__{name}": {"extends": "shapes-convnet", "dataset": name, **SMALL_TRACK}
            for name in ("birds", "fish")
        },
        methods={"cam": {}},
        evaluate__published_threshold={},
        run__tracks=["birds", "fish"],
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
    said = clone.run("wsolbench", "verify", "--from", "maps").stdout
    assert said.splitlines() == [f"{run}: reproduced (all numbers equal)" for run in RUNS]
    status = json.loads(clone.run("dvc", "status", "--json").stdout)
    assert status == {name: ["always changed"] for name in ("resolve", "look@birds", "look@fish")}
    assert stages_in(clone.run("dvc", "repro").stdout) == []
    launched = clone.run("wsolbench", "launch")
    assert launched.stdout == "Everything is up to date.\n"
    assert clone.run("git", "status", "--porcelain").stdout == ""
    missing = clone.run("wsolbench", "verify", "--from", "checkpoint", check=False)
    assert missing.returncode == 1
    assert all(f"{run}: not verified" in missing.stderr for run in RUNS)
    assert all(str(away / name) in missing.stderr for name in ("birds", "fish"))

    # What would need the photographs says so, and what it was to replace is still there.
    clone.edit_params(tracks__birds__warmup_iters=3)
    failed = clone.run("wsolbench", "launch", check=False)
    assert failed.returncode == 1
    assert str(away) in failed.stdout + failed.stderr
    assert " D " not in clone.run("git", "status", "--porcelain").stdout
    assert (theirs / "results" / "metrics" / "birds" / "birds-mask_supervised-0.json").is_file()
