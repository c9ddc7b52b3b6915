"""The readout stage: further maps of a trained run, stored and evaluated as a run of its own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import TRACK
from tests.training.simulated_cuda import simulated_cuda
from tests.training.test_trainer import CAM, train_into, with_runtime
from wsolbench.config import registry
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.scoremaps import StoredMaps, read_maps
from wsolbench.errors import DataError, SettingsError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.launch.resolve import resolve
from wsolbench.results.schema import Provenance
from wsolbench.runs.run_folder import read_record
from wsolbench.tools.small_networks import READOUTS
from wsolbench.training.readout import read_out

KEY = f"{TRACK}-grad_cam_of_cam-0"


@pytest.fixture
def settings(tiny_settings: Settings) -> Settings:
    data = tiny_settings.model_dump(exclude_unset=True)
    plus = {"of": "grad_cam", "title": "++", "args": {"variant": "++"}}
    methods = data["methods"] | {name: {} for name in READOUTS} | {"grad_cam_pp": plus}
    run = data["run"] | {"readouts": [*READOUTS, "grad_cam_pp"], "read": ["cam"], "baselines": []}
    return Settings.model_validate(data | {"methods": methods, "run": run})


def read(settings: Settings, layout: Layout, key: str) -> StoredMaps:
    read_out(settings.resolve(key), settings, layout)
    stored = read_maps(layout.run(key) / "maps.npz", "test", read_record(layout, key)["files"]["maps.npz"])
    assert isinstance(stored, StoredMaps)
    return stored


def test_its_maps_are_the_positive_part_of_cams_and_it_is_evaluated_as_any_run(
    layout: Layout, settings: Settings
) -> None:
    train_into(layout, settings, CAM)
    before = {path.name: path.read_bytes() for path in layout.run(CAM).iterdir()}
    found, cam = read(settings, layout, KEY), read_maps(layout.run(CAM) / "maps.npz", "test")
    np.testing.assert_allclose(found.maps * 100, np.maximum(cam.maps, 0), rtol=1e-3, atol=1e-4)
    assert np.array_equal(found.top5, cam.top5)
    assert {path.name for path in layout.run(KEY).iterdir()} == {"maps.npz", "run.yaml"}
    assert {path.name: path.read_bytes() for path in layout.run(CAM).iterdir()} == before
    evaluate_key(settings, KEY, layout, 1)
    metrics = json.loads(layout.metrics(TRACK, KEY).read_text())
    assert (metrics["key"], metrics["method"], metrics["reads"]) == (KEY, "grad_cam_of_cam", "cam")
    assert metrics["title"] == "Grad-CAM of CAM"
    assert metrics["training"] == read_record(layout, CAM)["training"]
    provenance = Provenance.model_validate_json(layout.provenance(KEY).read_text(), strict=True)
    assert (provenance.key, provenance.index_digest) == (KEY, metrics["data_digest"])
    assert provenance.wall_seconds.training is None
    assert provenance.wall_seconds.prediction is not None


def test_twice_gives_the_same_bytes_and_a_variant_others(layout: Layout, settings: Settings) -> None:
    train_into(layout, settings, CAM)
    one, again = (read(settings, layout, KEY).maps for _ in range(2))
    assert np.array_equal(one, again)
    other = f"{TRACK}-grad_cam_pp_of_cam-0"
    assert not np.array_equal(read(settings, layout, other).maps, one)
    assert read_record(layout, other)["method"]["variant_of"] == "grad_cam"


@pytest.mark.slow
@pytest.mark.parametrize("name", READOUTS)
@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")
def test_every_readout_reads_there_what_it_reads_on_a_cpu(
    layout: Layout, settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    key = f"{TRACK}-{name}_of_cam-0"
    train_into(layout, settings, CAM)
    expected = read(settings, layout, key)
    with simulated_cuda(monkeypatch):
        found = read(with_runtime(settings, device="cuda"), layout, key)
    np.testing.assert_allclose(found.maps, expected.maps, rtol=1e-4, atol=1e-6)


def test_what_is_not_trained_or_no_readout_is_named(layout: Layout, settings: Settings) -> None:
    with pytest.raises(DataError, match=CAM):
        read(settings, layout, KEY)
    with pytest.raises(SettingsError, match=r"grad_cam.*run\.readouts"):
        train_into(layout, settings, f"{TRACK}-grad_cam-0")
    with pytest.raises(SettingsError, match=CAM):
        read(settings, layout, CAM)


def test_a_skipped_run_is_skipped_by_what_reads_it(
    layout: Layout, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry.load("method", "cam"), "unsupported", classmethod(lambda *_: "not today"))
    train_into(layout, settings, CAM)
    read_out(settings.resolve(KEY), settings, layout)
    evaluate_key(settings, KEY, layout, 1)
    assert json.loads(layout.metrics(TRACK, KEY).read_text())["reason"] == "not today"


def test_an_edit_of_a_readout_trains_nothing_and_one_of_what_it_reads_touches_both(
    tmp_path: Path, settings: Settings
) -> None:
    resolve(settings, Layout(tmp_path))
    recipes = {path: json.loads(path.read_text()) for path in Layout(tmp_path).recipes.rglob("*.json")}
    by = {
        module: {f"{path.parent.name} {path.stem}" for path, recipe in recipes.items() if module in recipe["code"]}
        for module in ("wsolbench.methods.layer_cam", "wsolbench.methods.cam")
    }
    assert by["wsolbench.methods.layer_cam"] == {f"readout {TRACK}-layer_cam_of_cam-0"}
    readings = {f"readout {TRACK}-{name}_of_cam-0" for name in (*READOUTS, "grad_cam_pp")}
    assert by["wsolbench.methods.cam"] == {f"train {CAM}", f"costs {TRACK}", *readings}
    assert {path.stem for path in recipes if path.parent.name == "evaluate"} >= {KEY, CAM}
