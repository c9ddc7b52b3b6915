"""Two sets of one's own in one params.yaml, one of boxes and one of masks, through the real pipeline."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.pipeline.conftest import SMALL_TRACK, Pipeline
from wsolbench.data.roots import root_variable

pytestmark = pytest.mark.slow


def draw(root: Path, kinds: tuple[str, ...], *, masks: bool) -> None:
    """Draw 10 pictures of each kind, a bright rectangle on noise, with its box or its mask."""
    random, lines = np.random.default_rng(len(kinds)), ["id,x0,y0,x1,y1"]
    for number, kind in enumerate(kinds):
        for name in (f"{kind}/{n}.png" for n in range(10)):
            pixels, mask = random.integers(0, 99, (50, 60, 3), np.uint8), np.zeros((50, 60), np.uint8)
            x, y = random.integers(2, 25, 2).tolist()
            pixels[y : y + 20, x : x + 30, number] = 250
            mask[y : y + 20, x : x + 30] = 255
            lines.append(f"{name},{x},{y},{x + 30},{y + 20}")
            for folder, picture in (("images", pixels), ("masks", mask)):
                if folder == "images" or masks:
                    (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture).save(root / folder / name)
    if not masks:
        (root / "boxes.csv").write_text("\n".join(lines))


def test_two_sets_of_one_class_each_have_their_own_numbers(
    pipeline: Pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "birds", ("auk", "wren"), masks=False)
    draw(tmp_path / "fish", ("cod", "eel", "ray"), masks=True)
    draw(tmp_path / "other", ("a", "b"), masks=False)
    # That of the class must reach neither; that of a key reaches the set that states no root.
    monkeypatch.setitem(os.environ, root_variable("image_folder"), str(tmp_path / "other"))
    monkeypatch.setitem(os.environ, root_variable("fish"), str(tmp_path / "fish"))
    tracks = pipeline.params()["tracks"]
    small = tracks["shapes-convnet"] | SMALL_TRACK
    pipeline.edit_params(
        datasets__birds={"of": "image_folder", "root": str(tmp_path / "birds")},
        datasets__fish={"of": "image_folder"},
        tracks={"birds-convnet": small | {"dataset": "birds"}, "fish-convnet": small | {"dataset": "fish"}},
        methods={"cam": {}},
        run__methods=["cam"],
        run__tracks=["birds-convnet", "fish-convnet"],
    )
    ran = pipeline.repro()
    assert {"page", "report@birds-convnet", "report@fish-convnet"} <= set(ran)
    found = {}
    for name in ("birds", "fish"):
        path = pipeline.root / f"results/metrics/{name}-convnet/{name}-convnet-cam-0.json"
        found[name] = json.loads(path.read_text())
    assert {name: (each["dataset"], each["images"]["test"]) for name, each in found.items()} == {
        "birds": ("birds", 6),
        "fish": ("fish", 9),
    }
    assert (found["birds"]["boxes_used"]["val"], found["fish"]["masks_used"]["val"]) == (4, 6)
    page = (pipeline.root / "results/report.html").read_text()
    assert "birds, read by image_folder" in page
    (tmp_path / "fish" / "masks" / "eel" / "0.png").unlink()
    ran = pipeline.repro()
    assert "prepare@fish-convnet" in ran
    assert not {f"{stage}@birds-convnet{of}" for stage, of in (("prepare", ""), ("train", "-cam-0"))} & {*ran}
