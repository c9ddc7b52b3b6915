"""Maps from outside become a row of a benchmark's tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.evaluation.made_up_run import KEY, TEST, TRACK, VAL, MadeUpRun, settings
from tests.hostile.test_inputs import PARAMS
from tests.report.conftest import write_costs
from tests.score.test_score import write_maps
from wsolbench.cli import app
from wsolbench.config.settings import Settings
from wsolbench.errors import DataError, SettingsError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.report.build import write_report
from wsolbench.report.track import load_track
from wsolbench.tools.entries import score_entry
from wsolbench.tools.score import Folder


@pytest.fixture
def chosen(run: MadeUpRun) -> Settings:
    """Settings of a benchmark of one run, which is evaluated."""
    made = settings()
    made = made.model_copy(update={"report": made.report.model_copy(update={"gallery": 0})})
    evaluate_key(made, KEY, run.layout, 1)
    write_costs(run.layout, TRACK, run.metrics())
    return made


def fill_in(path: Path) -> None:
    """Fill in a template, as a person would."""
    path.write_text(re.sub(r"^(\w+): +#.*", r"\1: said of \1", path.read_text(), flags=re.MULTILINE))


@pytest.mark.slow
def test_from_maps_to_a_row_of_the_tables(run: MadeUpRun, chosen: Settings, maps: Path) -> None:
    val = write_maps(run.root / "val", "val", VAL)
    said = score_entry(chosen, TRACK, Folder("psol", maps, val), run.root, 1)
    folder = run.root / "entries" / "psol"
    assert f"fill in {folder / 'entry.yaml'}" in said
    with pytest.raises(DataError, match=r"entries/psol/entry\.yaml: title: .*\n.*entry\.yaml: reference: "):
        write_report(chosen, TRACK, run.root)
    fill_in(folder / "entry.yaml")
    assert "fill in" not in score_entry(chosen, TRACK, Folder("psol", maps, val), run.root, 1)
    assert sorted(path.name for path in (folder / TRACK).iterdir()) == ["metrics.json", "per_image.parquet"]
    stored, trained = json.loads((folder / TRACK / "metrics.json").read_text()), run.metrics()
    assert stored["truth_digest"] == trained["truth_digest"]
    assert stored["max_box_acc"] == trained["max_box_acc"] == 60
    assert stored["gt_known"] == trained["gt_known"]
    write_report(chosen, TRACK, run.root)
    page = (run.root / "results" / "tables" / f"{TRACK}.md").read_text()
    assert re.search(r"\*\*not trained here: .*\n\| said of title \| theirs \| 1 \| n/a \|", page)
    assert "Licence: said of licence." in page


def test_maps_of_predicted_classes_without_val_are_a_row_too(run: MadeUpRun, chosen: Settings, maps: Path) -> None:
    guesses = run.root / "classes.txt"
    guesses.write_text("".join(f"test{k},{picture.guesses[0]}\n" for k, picture in enumerate(TEST)))
    score_entry(chosen, TRACK, Folder("psol", maps, None, guesses), run.root, 1, maps_of="predicted")
    fill_in(run.root / "entries" / "psol" / "entry.yaml")
    track = load_track(chosen, TRACK, run.root)
    row = track.rows.index[-1]
    assert track.values(row, "cls.top1").tolist() == [60]
    assert track.values(row, "top1_loc.fixed").tolist() == [40]
    assert track.values(row, "gt_known.fixed").empty


def test_the_command_writes_below_the_present_directory(
    run: MadeUpRun, maps: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (run.root / "params.yaml").write_text(PARAMS.replace("small", TRACK))
    with monkeypatch.context() as patch:
        patch.chdir(run.root)
        done = CliRunner().invoke(app, ["score", "--maps", str(maps), "--entry", "psol", "--track", TRACK])
    assert done.exit_code == 0, done.exception
    assert "MaxBoxAcc" in done.stdout
    assert sorted(path.name for path in (run.root / "entries" / "psol").rglob("*.*")) == [
        "entry.yaml", "metrics.json", "per_image.parquet",
    ]  # fmt: skip


def test_what_is_asked_for_is_checked_before_maps(run: MadeUpRun, tmp_path: Path) -> None:
    for name, track, message in (
        ("cam", TRACK, "'cam' is a method or baseline"),
        ("a b", TRACK, "cannot be a key"),
        ("psol", "toi", "no 'toi'; did you mean 'toy'"),
    ):
        with pytest.raises(SettingsError, match=message):
            score_entry(settings(), track, Folder(name, tmp_path), run.root, 1)
    with pytest.raises(DataError, match=f"run `wsolbench prepare {TRACK}` first"):
        score_entry(settings(), TRACK, Folder("psol", tmp_path), tmp_path / "elsewhere", 1)
