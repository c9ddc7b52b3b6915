"""A stored run is computed again, and what differs is said."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from safetensors.torch import load_file, save_file

from tests.training.conftest import TRACK
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings, read_settings
from wsolbench.data.scoremaps import StoredMaps, read_maps, write_maps
from wsolbench.errors import DataError, SettingsError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.runs.run_folder import read_record, write_record
from wsolbench.tools.commands import verify as verify_command
from wsolbench.tools.verify import Origin, Verdict, compared, run_keys, verify
from wsolbench.training.readout import read_out
from wsolbench.training.trainer import train

KEY = f"{TRACK}-cam-0"


@pytest.fixture
def stored(layout: Layout, tiny_settings: Settings) -> Layout:
    train(tiny_settings.resolve(KEY), tiny_settings, layout)
    evaluate_key(tiny_settings, KEY, layout, 1)
    return layout


def files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in (root / "results").rglob("*") if path.is_file()}


@pytest.mark.parametrize("origin", ["maps", "checkpoint", "scratch"])
def test_what_was_just_made_is_reproduced_and_nothing_is_written(
    stored: Layout, tiny_settings: Settings, origin: Origin
) -> None:
    before = files(stored.root)
    verdict = verify(tiny_settings, KEY, origin, stored, 1)
    assert (verdict.outcome, verdict.detail) == ("reproduced", "all numbers equal")
    assert files(stored.root) == before
    assert not list((stored.root / ".wsolbench" / "verify").iterdir())


READ = f"{TRACK}-grad_cam_of_cam-0"


@pytest.fixture
def with_readout(tiny_settings: Settings) -> Settings:
    data = tiny_settings.model_dump(exclude_unset=True)
    run = data["run"] | {"readouts": ["grad_cam"], "read": ["cam"]}
    return Settings.model_validate(data | {"methods": data["methods"] | {"grad_cam": {}}, "run": run})


@pytest.mark.slow
@pytest.mark.parametrize("origin", ["maps", "checkpoint", "scratch"])
def test_a_readout_is_made_again_from_the_run_that_it_reads(
    stored: Layout, with_readout: Settings, origin: Origin
) -> None:
    read_out(with_readout.resolve(READ), with_readout, stored)
    evaluate_key(with_readout, READ, stored, 1)
    before = files(stored.root)
    assert verify(with_readout, READ, origin, stored, 1) == Verdict(READ, "reproduced", "all numbers equal")
    assert files(stored.root) == before
    assert run_keys(with_readout)[-1] == READ
    (stored.run(KEY) / "checkpoint.safetensors").unlink()
    if origin == "checkpoint":
        with pytest.raises(DataError, match=rf"{KEY}.checkpoint\.safetensors is missing.*dvc pull"):
            verify(with_readout, READ, origin, stored, 1)
    else:
        assert verify(with_readout, READ, origin, stored, 1).outcome == "reproduced"


def test_without_names_what_is_not_here_is_left_out_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy("params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("wsolbench.tools.verify.verify", lambda _, key, *rest: Verdict(key, "reproduced", "all equal"))
    here, *others = run_keys(read_settings())
    with pytest.raises(typer.Exit) as ended:
        verify_command(None)
    assert ended.value.exit_code == 1  # nothing was verified
    Layout(tmp_path).run(here).mkdir(parents=True)
    capsys.readouterr()
    with pytest.raises(typer.Exit) as ended:
        verify_command(None)
    assert not ended.value.exit_code
    out, err = capsys.readouterr()
    assert out == f"{here}: reproduced (all equal)\n"
    assert err.startswith(f"{len(others)} of {len(others) + 1} runs not in results/runs, and so left out")


def test_each_verdict_is_said_at_once_and_an_error_loses_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b, c, d = run_keys(read_settings())[:4]
    said = []

    def one(_: Settings, key: str, *rest: object) -> Verdict:
        said.append("".join(capsys.readouterr()))
        if key == b:
            raise DataError("its maps are missing")
        if key == d:
            raise KeyError("an error of ours")
        return Verdict(key, "reproduced", "all numbers equal")

    monkeypatch.setattr("wsolbench.tools.verify.verify", one)
    with pytest.raises(typer.Exit) as ended:
        verify_command([a, b, d, c])
    assert ended.value.exit_code == 1
    assert said == [
        "",
        f"{a}: reproduced (all numbers equal)\n",
        f"{b}: not verified (its maps are missing)\n",
        f"{d}: not verified (KeyError: 'an error of ours')\n",
    ]
    with pytest.raises(typer.Exit) as ended:
        verify_command([a, c])
    assert ended.value.exit_code == 0
    said.clear()
    with pytest.raises(SettingsError, match="no-such-run"):
        verify_command([a, "no-such-run-0"])
    assert said == []


def test_other_weights_differ(stored: Layout, tiny_settings: Settings) -> None:
    path = stored.run(KEY) / "checkpoint.safetensors"
    weights = load_file(path)
    weights["head.classifier.weight"] = weights["head.classifier.weight"].flip(0)  # each class has another one's maps
    save_file(weights, path)
    write_record(stored.run(KEY), read_record(stored, KEY))
    assert verify(tiny_settings, KEY, "checkpoint", stored, 1).outcome == "differs"
    assert verify(tiny_settings, KEY, "maps", stored, 1).outcome == "reproduced"
    assert verify(tiny_settings, KEY, "checkpoint", stored, 1, tolerance=100).outcome == "within tolerance"


def test_other_maps_differ(stored: Layout, tiny_settings: Settings) -> None:
    path = stored.run(KEY) / "maps.npz"
    splits = {name: read_maps(path, name) for name in ("val", "test")}
    test = splits["test"]
    turned = StoredMaps(test.ids, test.labels, test.maps[:, ::-1], test.top5, test.top5_logits)
    write_maps(path, splits | {"test": turned})
    write_record(stored.run(KEY), read_record(stored, KEY))
    verdict = verify(tiny_settings, KEY, "maps", stored, 1)
    assert verdict.outcome == "differs"
    assert "largest difference" in verdict.detail


@pytest.mark.parametrize("name", ["run.yaml", "checkpoint.safetensors"])
def test_what_is_not_here_is_named(stored: Layout, tiny_settings: Settings, name: str) -> None:
    (stored.run(KEY) / name).unlink()
    with pytest.raises(DataError, match=rf"{name} is missing.*dvc pull"):
        verify(tiny_settings, KEY, "checkpoint", stored, 1)
    stored.metrics(TRACK, KEY).unlink()
    with pytest.raises(DataError, match=r"json is missing: there is nothing to compare with"):
        verify(tiny_settings, KEY, "checkpoint", stored, 1)


def test_a_baseline_is_not_verified(stored: Layout, tiny_settings: Settings) -> None:
    with pytest.raises(DataError, match="is a baseline"):
        verify(tiny_settings, f"{TRACK}-mask_supervised-0", "maps", stored, 1)
    assert run_keys(tiny_settings) == [f"{TRACK}-cam-0", f"{TRACK}-adl-0"]


def test_numbers_are_compared_in_points_and_everything_else_must_be_equal(stored: Layout) -> None:
    metrics = json.loads(stored.metrics(TRACK, KEY).read_text())
    other = json.loads(json.dumps(metrics))
    other["gt_known"]["val"] += 0.3
    verdict = compared(KEY, metrics, other, 0.5, same_maps=False)
    assert verdict.outcome == "within tolerance"
    assert "0.30 points, in gt_known.val" in verdict.detail
    assert compared(KEY, metrics, other, 0.2, same_maps=False).outcome == "differs"
    assert compared(KEY, metrics, metrics, 0.0, same_maps=False).outcome == "within tolerance"
    other["data_digest"] = "another"
    verdict = compared(KEY, metrics, other, 100, same_maps=True)
    assert (verdict.outcome, verdict.detail[:11]) == ("differs", "data_digest")
