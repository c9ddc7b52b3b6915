"""Every kind of file that is stored and read again, damaged: the right content or a sentence that names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.hostile.damage import KINDS, OTHERS, answer, damaged, exchanged
from tests.search.stored import store
from tests.tiny import TINY_SHAPES, TINY_TRACK, TRACK, prepared_in
from wsolbench.acquire import inspection
from wsolbench.acquire.inspection import inspect_images, keep_checks
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.cache import Reading, pictures_of
from wsolbench.data.index import INDEX_FILE, TRUTH_FILE, read_selection, read_split
from wsolbench.data.scoremaps import MAPS_FILE, read_maps
from wsolbench.errors import StorageError
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.evaluation.gallery import write_photographs
from wsolbench.evaluation.history import write_history
from wsolbench.evaluation.photographs import read_photographs
from wsolbench.evaluation.thumbnails import read_thumbnails
from wsolbench.launch.resolve import resolve
from wsolbench.report.costs import read_costs
from wsolbench.report.figures.curves import read_curves, training
from wsolbench.report.figures.rows import labelled
from wsolbench.report.figures.style import figure_style
from wsolbench.report.pictures import plot_picture
from wsolbench.report.track import load_numbers, load_track
from wsolbench.results.load import load_per_image
from wsolbench.runs import machine
from wsolbench.runs.progress import PROGRESS_FILE, Progress, read_progress, write_progress
from wsolbench.runs.run_folder import CHECKPOINT_FILE, HISTORY_FILE, RUN_FILE, read_part, read_record
from wsolbench.runs.state import StateKeeper
from wsolbench.search.record import read_searches
from wsolbench.training.costs import write_costs_of
from wsolbench.training.trained import load_trained
from wsolbench.training.trainer import train

pytestmark = pytest.mark.slow

KEY = f"{TRACK}-cam-0"
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Stored:
    """A stored file, and what reads it.

    ``pinned`` files hold digests of their own: what is read of them is what was written. Of the others (text in git,
    whose digests DVC has) any well-formed content is taken. ``silent`` readers do without what is damaged; of what
    ``may_miss``, nobody knows that it was there.
    """

    path: Path
    read: Callable[[], Any]
    count: int = 150
    pinned: bool = True
    silent: bool = False
    may_miss: bool = False


@pytest.fixture(scope="module")
def settings() -> Settings:
    return Settings.model_validate(
        {
            "methods": {"cam": {}},
            "datasets": {"shapes": TINY_SHAPES},
            "tracks": {TRACK: TINY_TRACK},
            "run": {"tracks": [TRACK], "methods": ["cam"], "seeds": [0]},
            "runtime": {"device": "cpu", "threads": 1},
        }
    )


@pytest.fixture(scope="module")
def layout(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A benchmark of one run that has gone through all stages but the report."""
    layout = prepared_in(tmp_path_factory.mktemp("stored"), settings)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(machine, "has_native_bf16", lambda: True)
        train(settings.resolve(KEY), settings, layout)
    evaluate_key(settings, KEY, layout, 1)
    write_history(layout, TRACK, KEY)
    write_photographs(settings, TRACK, layout)
    write_costs_of(settings, TRACK, layout)
    resolve(settings, layout)
    return layout


@pytest.fixture(scope="module")
def scratch(layout: Layout) -> dict[str, Stored]:
    """What lies on one machine only: states, pictures, checks, progress."""
    root, prepared = layout.root, layout.prepared(TRACK)
    test, checked, pictures = read_split(prepared, "test"), layout.checked / "again", layout.root / "pictures"

    def cached() -> Any:
        found = pictures_of(test, prepared, 16, Reading(1, pictures, 2**30))
        return [np.array(found[k]) for k in range(len(test))]

    def inspected() -> Any:
        with keep_checks(checked):
            return inspect_images(prepared, [item.path for item in test.items])

    cached()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inspection, "_SETTLED", -(10**12))
        inspected()
    keeper, progress = StateKeeper(root / "states", "digest"), root / PROGRESS_FILE
    keeper.save(7, {"iteration": 7, "weights": {"a": torch.arange(5.0)}, "rest": (1, [2.5, None], {"b": "ä"})})
    write_progress(progress, Progress(1, 2, 3, 4.5, "epoch"))
    return {
        "state": Stored(*_one(root, "states/*/*.pt"), keeper.load, 500, silent=True),
        "cache": Stored(*_one(pictures, "*.u8"), cached, 200, silent=True),
        "record of inspection": Stored(*_one(checked, "*.jsonl"), inspected, 300, silent=True),
        "progress": Stored(progress, lambda: read_progress(progress), pinned=False, silent=True),
    }


@pytest.fixture(scope="module")
def files(settings: Settings, layout: Layout, scratch: dict[str, Stored]) -> dict[str, Stored]:
    root, prepared, run, again = layout.root, layout.prepared(TRACK), layout.run(KEY), "make it again"
    photographs, caption = layout.photographs(TRACK)
    results, record = load_track(settings, TRACK, root), read_record(layout, KEY)
    splits: list[Any] = ["train", "val", "test"]

    def splits_of() -> Any:
        return [read_split(prepared, split) for split in splits]

    def drawn() -> None:
        with figure_style():
            training(load_numbers(settings, [TRACK], root).frame, root)

    searched, plot = store(root, [30.0, None, 50.0]), root / "plots" / "a.webp"
    plot.parent.mkdir()
    Image.new("RGB", (30, 20), "red").save(plot)
    recipe = layout.recipes / "train" / f"{KEY}.json"
    frame, column = labelled(load_numbers(settings, [TRACK], root).frame), "box_acc_iou50"
    thumbnails, history = layout.thumbnails(TRACK, KEY), layout.history(TRACK, KEY)
    return scratch | {
        "index": Stored(prepared / INDEX_FILE, splits_of, 250),
        "truth": Stored(prepared / TRUTH_FILE, splits_of, 250),
        "selection": Stored(layout.selection(TRACK), lambda: read_selection(prepared, layout.selection(TRACK))),
        "run.yaml": Stored(run / RUN_FILE, lambda: read_record(layout, KEY), 120),
        "checkpoint": Stored(run / CHECKPOINT_FILE, lambda: load_trained(record, layout, CPU).state_dict(), 120),
        "history of a run": Stored(run / HISTORY_FILE, lambda: read_part(layout, record, HISTORY_FILE)),
        "maps": Stored(run / MAPS_FILE, lambda: [read_maps(run / MAPS_FILE, name) for name in ("val", "test")], 250),
        "pinned maps": Stored(
            run / MAPS_FILE, lambda: read_maps(run / MAPS_FILE, "val", record["files"][MAPS_FILE])
        ),
        "metrics": Stored(layout.metrics(TRACK, KEY), lambda: load_track(settings, TRACK, root), 200, pinned=False),
        "per image": Stored(  # pages have checksums; their headers and the footer have none
            layout.per_image(TRACK, KEY),
            lambda: load_per_image(TRACK, [KEY], root, ["iou_val", "label"]),
            250,
            pinned=False,
        ),
        "thumbnails": Stored(thumbnails, lambda: read_thumbnails(thumbnails, again), 200),
        "curves": Stored(layout.curves(TRACK, KEY), lambda: read_curves(frame, root, column), pinned=False),
        "history": Stored(history, drawn, 60, pinned=False),
        "costs": Stored(layout.costs(TRACK, f"{TRACK}-cam"), lambda: read_costs(results, root), pinned=False),
        "provenance": Stored(layout.provenance(KEY), lambda: read_costs(results, root), pinned=False),
        "photographs": Stored(photographs, lambda: read_photographs(root, TRACK), pinned=False),
        "caption": Stored(caption, lambda: read_photographs(root, TRACK), pinned=False),
        "search": Stored(searched / "search.json", lambda: read_searches(root, "toy"), 150),
        "trial": Stored(searched / "0001.json", lambda: read_searches(root, "toy"), 150, may_miss=True),
        "plot": Stored(plot, lambda: plot_picture(plot), pinned=False),
        "recipe": Stored(recipe, lambda: resolve(settings, layout) and None, 10, silent=True),
    }  # fmt: skip


def _one(root: Path, pattern: str) -> tuple[Path]:
    (found,) = root.glob(pattern)
    return (found,)


KINDS_OF_FILES = (
    *("index", "truth", "selection", "run.yaml", "checkpoint", "history of a run", "maps", "pinned maps", "state"),
    *("cache", "record of inspection", "metrics", "per image", "thumbnails", "curves", "history"),
    *("costs", "provenance", "photographs", "caption", "progress", "recipe"),
    *("search", "trial", "plot"),
)


@pytest.mark.filterwarnings("ignore:Data has no positive values")  # a minus sign before a loss
@pytest.mark.parametrize("kind", KINDS_OF_FILES)
def test_what_is_damaged_is_named_or_still_right(
    files: dict[str, Stored], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = files[kind]
    right, error = answer(stored.read)
    assert error is None
    content, rng = stored.path.read_bytes(), np.random.default_rng(sum(kind.encode()))
    harms: list[Callable[[Path], Any]] = [
        *(partial(_write, content=damaged(content, rng)) for _ in range(stored.count)),
        *(partial(_write, content=other) for other in OTHERS.values()),
        *(partial(_write, content=files[other].path.read_bytes()) for other in KINDS_OF_FILES),
        *KINDS.values(),
    ]
    for number, harm in enumerate(harms):
        with exchanged(stored.path, harm):
            found, error = answer(stored.read)
        if error is not None:
            assert not stored.silent or isinstance(error, StorageError), (number, error)
            assert stored.path.name in str(error) or stored.path.parent.name in str(error), (number, error)
            assert len(str(error)) < 1000
        elif stored.pinned and not (stored.may_miss and harm is KINDS["missing"]):
            assert found == right or (stored.silent and found is None), number


def test_there_are_enough_of_them(files: dict[str, Stored]) -> None:
    assert set(files) == set(KINDS_OF_FILES)
    assert sum(stored.count + len(OTHERS) + len(files) + len(KINDS) for stored in files.values()) > 3500


def _write(path: Path, content: bytes) -> None:
    path.write_bytes(content)
