"""Histories in git are those of the trainings, rounded and never long."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from wsolbench.config.paths import Layout
from wsolbench.errors import DataError
from wsolbench.evaluation.history import write_history
from wsolbench.runs.run_folder import write_record

KEY = "toy-cam-0"
RECORD = {"key": KEY, "track": {}, "method": {}, "seed": 0}


def written(root: Path, content: str | None) -> pd.DataFrame:
    layout = Layout(root)
    layout.run(KEY).mkdir(parents=True)
    if content is not None:
        (layout.run(KEY) / "history.csv").write_text(content)
    write_record(layout.run(KEY), RECORD)
    write_history(layout, "toy", KEY)
    folder = layout.history("toy", KEY).parent
    assert [path.name for path in folder.iterdir()] == [f"{KEY}.csv"]
    return pd.read_csv(layout.history("toy", KEY))


def test_losses_rates_and_scores_are_kept_and_rounded(tmp_path: Path) -> None:
    found = written(tmp_path, "epoch,iteration,lr,loss_a,val_cls\n1,63,0.05,2.0228476,1\n2,126,0.04665063509,1e-9,2\n")
    expected = {"epoch": [1, 2], "lr": [0.05, 0.046651], "loss_a": [2.0228, 1e-9], "val_cls": [1, 2]}
    pd.testing.assert_frame_equal(found, pd.DataFrame(expected))


@pytest.mark.parametrize(("epochs", "kept"), [(1, 1), (99, 99), (100, 100), (101, 100), (600, 100)])
def test_long_trainings_are_thinned_from_the_first_to_the_last(tmp_path: Path, epochs: int, kept: int) -> None:
    rows = "".join(f"{epoch},{epoch * 9},0.1,{1 / epoch}\n" for epoch in range(1, epochs + 1))
    found = written(tmp_path, "epoch,iteration,lr,loss_a\n" + rows)["epoch"]
    assert (len(found), found.iloc[0], found.iloc[-1]) == (kept, 1, epochs)
    if kept > 1:
        assert found.diff().max() - found.diff().min() <= 1


def test_a_run_that_trained_nothing_has_no_rows(tmp_path: Path) -> None:
    found = written(tmp_path, "epoch,iteration,lr\n")
    assert (list(found), len(found)) == (["epoch", "lr"], 0)


def test_a_skipped_run_has_no_rows(tmp_path: Path) -> None:
    Layout(tmp_path).run(KEY).mkdir(parents=True)
    write_record(Layout(tmp_path).run(KEY), RECORD | {"reason": "no masks"})
    write_history(Layout(tmp_path), "toy", KEY)
    assert Layout(tmp_path).history("toy", KEY).read_text() == "epoch,lr\n"


def test_what_is_missing_or_cut_in_half_is_named(tmp_path: Path) -> None:
    text = "epoch,iteration,lr,loss_a\n1,9,0.1,2.5\n2,18,0.1,2.25\n"
    written(tmp_path, text)
    layout = Layout(tmp_path)
    (layout.run(KEY) / "history.csv").write_text(text[: text.index("2,18")])
    with pytest.raises(DataError, match=r"history\.csv is damaged .*train the run again .*dvc pull"):
        write_history(layout, "toy", KEY)
    (layout.run(KEY) / "history.csv").unlink()
    with pytest.raises(DataError, match=r"history\.csv is missing; train the run again .*dvc pull"):
        write_history(layout, "toy", KEY)
