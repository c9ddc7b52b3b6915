"""Runs and photographs from Python: what ``wsolbench predict`` writes, as objects."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import wsolbench
from tests.tools.predicting import KEY, Predict, lines, noise
from wsolbench.config.paths import Layout
from wsolbench.errors import DataError, SettingsError


@pytest.fixture
def run(trained: Layout) -> wsolbench.api.TrainedRun:
    return wsolbench.load_run(trained.run(KEY), device="cpu")


def test_a_run_is_loaded_from_its_folder_ready_to_use(run: wsolbench.api.TrainedRun) -> None:
    assert (run.key, run.method, len(run.class_names)) == (KEY, "adl", 3)
    assert isinstance(run.network, torch.nn.Module)
    assert not run.network.training


def test_a_run_is_loaded_by_its_key_where_a_repository_is(trained: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="did you mean"):
        wsolbench.load_run("shapes-convnet-camm-0")
    monkeypatch.chdir(trained.root)
    assert wsolbench.load_run(KEY, device="cpu").key == KEY


def test_what_is_no_run_or_damaged_is_named(copied: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsError, match=r"no run 'nothing' here.*run\.yaml"):
        wsolbench.load_run("nothing")
    (copied.run(KEY) / "checkpoint.safetensors").write_bytes(b"no tensors")
    with pytest.raises(DataError, match=r"checkpoint\.safetensors"):
        wsolbench.load_run(copied.run(KEY))


def test_photographs_are_predicted_as_the_command_does(
    run: wsolbench.api.TrainedRun, predict: Predict, tmp_path: Path
) -> None:
    files = [noise(tmp_path / "photographs" / f"{name}.png", seed=seed) for seed, name in enumerate("ab")]
    predict(tmp_path / "photographs")
    found = wsolbench.predict(run, files)
    assert [(each.width, each.height) for each in found] == [(60, 40)] * 2
    for one, row in zip(found, lines(tmp_path / "out" / KEY), strict=True):
        assert (str(one.label), one.name) == (row["class"], row["name"])
        assert one.probability == pytest.approx(float(row["probability"]), abs=1e-4)
        assert [str(corner) for corner in one.boxes[0].corners] == [row[name] for name in ("x0", "y0", "x1", "y1")]


def test_files_pictures_and_arrays_are_alike_and_a_class_may_be_asked_for(
    run: wsolbench.api.TrainedRun, tmp_path: Path
) -> None:
    file = noise(tmp_path / "a.png")
    with Image.open(file) as opened:
        picture = opened.convert("RGB")
    of_file, of_path, of_picture, of_array = wsolbench.predict(run, [str(file), file, picture, np.asarray(picture)])
    for other in (of_path, of_picture, of_array):
        assert np.array_equal(other.map, of_file.map)
        assert (other.label, other.boxes) == (of_file.label, of_file.boxes)
    for label, name in enumerate(run.class_names):
        (asked,) = wsolbench.predict(run, [picture], class_name=name)
        assert asked.label == label
    with pytest.raises(SettingsError, match="knows no class 'nobody'"):
        wsolbench.predict(run, [picture], class_name="nobody")
    shutil.copy("pyproject.toml", tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png"):
        wsolbench.predict(run, [tmp_path / "b.png"])
