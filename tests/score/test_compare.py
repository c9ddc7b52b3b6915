"""Several folders of maps: the numbers are those of each alone, and the test is a bootstrap over images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests.score.test_lists import listed
from tests.score.test_score import write
from wsolbench import MapsOf, score_folder
from wsolbench.config.settings import EvaluateSettings
from wsolbench.data.dataset import Split
from wsolbench.errors import DataError
from wsolbench.evaluation.accuracy import choose_threshold
from wsolbench.evaluation.boxes import candidates
from wsolbench.evaluation.external_maps import Task
from wsolbench.evaluation.protocols import CHOE2020, threshold_grid
from wsolbench.evaluation.scoring import Rules
from wsolbench.tools.compare import compare
from wsolbench.tools.score import Truths, folders_of, run_score

IMAGES, STEP = 14, 0.1
RULES = EvaluateSettings(threshold_step=STEP, normalisations=[])


def blob(random: np.random.Generator, centre: tuple[float, float], noise: float) -> np.ndarray:
    rows, columns = np.mgrid[:28, :28] / 28
    far = (rows - centre[1]) ** 2 + (columns - centre[0]) ** 2
    return np.exp(-far / 0.05) + noise * random.random((28, 28))


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return made(tmp_path, "test")


def made(folder: Path, name: str, *, masks: bool = False) -> Split:
    """Images with a box (or a mask) each, and maps that find it well (a), badly (b), and like a (c)."""
    random, names = np.random.default_rng(len(name)), [f"{k}.jpg" for k in range(IMAGES)]
    located = []
    for image in names:
        centre = random.uniform(0.3, 0.7, 2)
        x0, y0 = (centre * 224 - 50).astype(int)
        located.append(f"{x0},{y0},{x0 + 100},{y0 + 100}")
        if masks:
            mask = np.zeros((224, 224), np.uint8)
            mask[y0 : y0 + 100, x0 : x0 + 100] = 1
            Image.fromarray(mask).save(folder / f"{image}.png")
            located[-1] = f"{image}.png"
        a = blob(random, tuple(centre), 0.1)
        for each, array in (("a", a), ("b", blob(random, (0.4, 0.5), 0.9)), ("c", a)):
            write(folder / name / each, image, array)
    return listed(folder, names, located, "224,224")


def tasks(folder: Path, split: Split, names: str = "abc", val: Split | None = None) -> dict[str, Task]:
    return {
        name: Task(
            MapsOf(folder / "test" / name, split),
            None if val is None else MapsOf(folder / "val" / name, val),
            None,
            "label",
            Rules.of(RULES),
        )
        for name in names
    }


def test_numbers_are_those_of_each_alone_and_differences_theirs(tmp_path: Path, split: Split) -> None:
    found = compare(tasks(tmp_path, split), 1)
    for name, each in found.scores.items():
        alone = score_folder(MapsOf(tmp_path / "test" / name, split), settings=RULES, jobs=1)
        assert each.numbers == alone.numbers
        pd.testing.assert_frame_equal(each.per_image, alone.per_image)
    rows = found.differences.set_index(["first", "second"])
    v2 = {name: each.numbers["max_box_acc_v2"]["mean"] for name, each in found.scores.items()}
    assert rows.loc[("a", "b"), "difference"] == pytest.approx(v2["a"] - v2["b"])
    assert rows.loc[("a", "b"), "low"] < v2["a"] - v2["b"] < rows.loc[("a", "b"), "high"]
    assert rows.loc[("a", "c")].tolist() == ["MaxBoxAccV2", 0, 0, 0, 1, 1]  # the same maps
    assert rows.loc[("a", "b"), "p_corrected"] == min(3 * rows.loc[("a", "b"), "p"], 1)


def overlaps_of(split: Split, folder: Path) -> np.ndarray:
    """``(images, thresholds)`` best overlaps of all boxes, by one call per image and threshold."""
    from wsolbench.data.scoremaps import upsample_and_normalise

    found = []
    for item in split.items:
        score_map = upsample_and_normalise(np.load(folder / f"{item.id}.npy"), 224, 224)
        true = CHOE2020.true_boxes([item], [split.truth(item.id)]).boxes
        each = [candidates(score_map[None], np.array([cut]))[0] for cut in threshold_grid(STEP)]
        found.append([boxes.best_ious(CHOE2020, true)[1][0] for boxes in each])
    return np.array(found)


def drawn_one_by_one(overlaps: dict[str, np.ndarray], chosen: dict[str, list[int]] | None, count: int) -> np.ndarray:
    random, found = np.random.default_rng(7), []
    for _ in range(count):
        images = random.integers(0, IMAGES, IMAGES)
        of = {}
        for name, each in overlaps.items():
            accuracies = [(each[images] >= iou).mean(0) for iou in (0.3, 0.5, 0.7)]
            picked = [a.max() if chosen is None else a[chosen[name][k]] for k, a in enumerate(accuracies)]
            of[name] = 100 * np.mean(picked)
        found.append(of["a"] - of["b"])
    return np.array(found)


@pytest.mark.slow
def test_the_interval_is_that_of_resamples_drawn_one_by_one(tmp_path: Path) -> None:
    val, split = made(tmp_path, "val"), made(tmp_path, "test")
    found = compare(tasks(tmp_path, split, "ab", val), 1).differences.set_index("measure")
    overlaps = {name: overlaps_of(split, tmp_path / "test" / name) for name in "ab"}
    of_val = {name: overlaps_of(val, tmp_path / "val" / name) for name in "ab"}
    chosen = {
        name: [choose_threshold((each >= iou).sum(0).astype(float)) for iou in (0.3, 0.5, 0.7)]
        for name, each in of_val.items()
    }
    for measure, at in (("MaxBoxAccV2", None), ("MaxBoxAccV2, val", chosen)):
        expected = drawn_one_by_one(overlaps, at, 4000)
        low, high = np.quantile(expected, [0.025, 0.975])
        assert found.loc[measure, "low"] == pytest.approx(low, abs=3)
        assert found.loc[measure, "high"] == pytest.approx(high, abs=3)
        smaller = min((expected <= 0).mean(), (expected >= 0).mean())
        assert found.loc[measure, "p"] == pytest.approx(min(2 * smaller, 1), abs=0.04)


def test_masks_are_compared_by_px_ap(tmp_path: Path) -> None:
    found = compare(tasks(tmp_path, made(tmp_path, "test", masks=True)), 1)
    rows = found.differences.set_index(["first", "second"])
    px_ap = {name: each.numbers["px_ap"] for name, each in found.scores.items()}
    assert rows["measure"].unique().tolist() == ["PxAP"]
    assert rows.loc[("a", "b"), "difference"] == pytest.approx(px_ap["a"] - px_ap["b"])
    assert rows.loc[("a", "b"), "p"] < 0.05
    assert rows.loc[("a", "c"), ["low", "high", "p"]].tolist() == [0, 0, 1]


def test_files_and_table_have_a_column_per_folder(tmp_path: Path, split: Split) -> None:
    folders = folders_of([tmp_path / "test" / name for name in "ab"], ["ours", "CAM"], [], [])
    shown = run_score(None, Truths(None, tmp_path / "lists", tmp_path, None), "test", folders, tmp_path / "out", 1)
    (head,) = [line for line in shown.splitlines() if line.startswith("| ") and "ours |" in line]
    assert [cell.strip() for cell in head.split("|")[2:-1]] == ["ours", "CAM"]
    (line,) = [line for line in shown.splitlines() if line.startswith("| GT-known Loc (choe2020), fixed ")]
    rows = pd.read_csv(tmp_path / "out" / "per_image.csv")
    shares = [f"{(rows[f'{name}.iou_fixed'] >= 0.5).mean() * 100:.1f}" for name in ("ours", "CAM")]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == shares
    assert rows["id"].tolist() == [item.id for item in split.items]
    assert (tmp_path / "out" / "CAM" / "metrics.json").is_file()
    assert (tmp_path / "out" / "comparison.md").read_text().strip() in shown
    differences = pd.read_csv(tmp_path / "out" / "differences.csv")
    assert differences[["measure", "first", "second"]].to_numpy().tolist() == [["MaxBoxAccV2", "ours", "CAM"]]


def test_bad_maps_of_all_folders_are_named_at_once(tmp_path: Path, split: Split) -> None:
    for name in "ab":
        write(tmp_path / "test" / name, "3.jpg", np.full((4, 4), np.nan))
    with pytest.raises(DataError, match="2 of 28 maps") as caught:
        compare(tasks(tmp_path, split, "ab"), 1)
    assert str(caught.value).count("3.jpg.npy") == 2
