"""Results of runs that never happened, in the layout of real ones."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.search.stored import head_of, store
from wsolbench.config.paths import Layout
from wsolbench.config.recipe import MethodBlock
from wsolbench.config.settings import EvaluateSettings, RunSettings, Settings, Track
from wsolbench.data.scoremaps import StoredMaps
from wsolbench.evaluation.photographs import TILE, Caption, Photograph, encode_caption, encode_sheet
from wsolbench.evaluation.thumbnails import candidates, encode_thumbnails
from wsolbench.report.build import write_report
from wsolbench.report.costs import read_costs
from wsolbench.report.latex import all_tables
from wsolbench.report.page import write_page
from wsolbench.report.tables import markdown_page
from wsolbench.report.track import TrackResults, load_track

TRACK = Track(
    dataset="pictures", backbone="net", weights=None, resize=32, crop=32, epochs=1, batch=1, lr=0.1, weight_decay=0,
    head_lr_mult=1, schedule="cosine",
)  # fmt: skip

FULL: dict[str, list[str]] = {"methods": ["alpha", "beta"], "baselines": ["ceiling"]}


@dataclass
class Repository:
    """A root directory to put fabricated results into, and the settings that name them."""

    root: Path
    methods: list[str] = field(default_factory=lambda: ["alpha"])
    baselines: list[str] = field(default_factory=list)
    unseeded: list[str] = field(default_factory=list)
    variants: list[str] = field(default_factory=list)  # of alpha
    readouts: list[str] = field(default_factory=list)  # of alpha, too
    seeds: list[int] = field(default_factory=lambda: [0, 1, 2])
    tracks: list[str] = field(default_factory=lambda: ["toy"])
    gallery: int = 3
    masks: bool = False  # and no boxes

    @property
    def settings(self) -> Settings:
        """Settings without the registry's check, so that any name may stand for a method."""
        return Settings.model_construct(
            methods={name: MethodBlock() for name in self.methods}
            | {name: MethodBlock(of="alpha", title=name) for name in self.variants},
            datasets={},
            tracks=dict.fromkeys(self.tracks, TRACK),
            run=RunSettings(
                tracks=self.tracks,
                methods=[*self.methods, *self.variants],
                readouts=self.readouts,
                read=["alpha"],
                baselines=self.unseeded,
                seeded_baselines=self.baselines,
                seeds=self.seeds,
            ),
            evaluate=EvaluateSettings(gallery=self.gallery),
        )

    def track(self, name: str = "toy") -> TrackResults:
        """Read the results of a track."""
        return load_track(self.settings, name, self.root)

    def page(self, name: str = "toy") -> str:
        """Return the Markdown page of a track."""
        track = self.track(name)
        return markdown_page(track, read_costs(track, self.root), self.settings, self.root)

    def latex(self, name: str = "toy") -> str:
        """Return all LaTeX tables of a track but the headline."""
        track = self.track(name)
        return all_tables(track, read_costs(track, self.root))

    def metrics(self, method: str, seed: int = 0, track: str = "toy") -> Path:
        return Layout(self.root).metrics(track, f"{track}-{method}-{seed}")

    def write(self, method: str, /, seed: int, level: float, track: str = "toy", **changes: Any) -> None:
        """Write metrics, curve, images and maps of a run whose accuracies lie around ``level`` percent."""
        key = f"{track}-{method}-{seed}"
        layout = Layout(self.root)
        content = metrics_file(key, track, method, seed, level)
        content = (content | without_boxes(content) if self.masks else content) | changes
        _put(layout.metrics(track, key), json.dumps(content).encode())
        if content["status"] == "ok":
            _per_image(layout.per_image(track, key), content["gt_known"]["val"], content["p_iou"])
            _curve(layout.curves(track, key), content["threshold"]["oracle"], content["gt_known"]["oracle"])
            write_costs(layout, track, content)
            _thumbnails(layout.thumbnails(track, key), self.gallery, key)
            _photographs(layout.photographs(track), self.gallery, masks=self.masks)

    def skip(self, method: str, seed: int, reason: str, track: str = "toy", **changes: Any) -> None:
        """Write the metrics file of a run that its method refused."""
        key = f"{track}-{method}-{seed}"
        content = {"status": "skipped", "key": key, "track": track, "method": method, "seed": seed, "reason": reason}
        content |= {"title": method, "recipe": "common"}
        _put(Layout(self.root).metrics(track, key), json.dumps(content | changes).encode())


def metrics_file(key: str, track: str, method: str, seed: int, level: float) -> dict[str, Any]:
    """Return the content of a metrics file as the evaluation writes it."""
    at = {"fixed": level - 8, "val": level - 1, "oracle": level, "published": None}
    per_iou = {"iou30": min(level + 20, 100), "iou50": level, "iou70": level / 2, "mean": level * 0.9}
    return {
        "status": "ok", "key": key, "track": track, "dataset": "pictures", "backbone": "net", "method": method,
        "title": method.title(), "method_status": "published", "recipe": "common", "seed": seed, "weights": None,
        "selection": "last", "val_truth": "gt", "boxes_used": {"val": 250}, "masks_used": {"val": 240},
        "data_digest": "digest of the index", "protocol": "choe2020",
        "images": {"val": 240, "test": 400}, "cls": {"top1": 97.5, "top5": 100.0},
        "threshold": {"fixed": 0.2, "val": 0.30 + 0.01 * seed, "oracle": 0.36, "published": None},
        "gt_known": at, "top1_loc": {name: value and value - 2 for name, value in at.items()}, "top5_loc": at,
        "max_box_acc": level, "regret": 1.0, "max_box_acc_v2": per_iou, "max_box_acc_v2_val": per_iou,
        "px_ap": level + 5, "px_ap_per_class": level + 4, "mean_iou": at, "peak_width": 20.0,
        "p_iou": {"fixed": level - 20, "val": level - 19, "oracle": level - 18},
        "by_size": {
            size: {
                "images": images,
                "gt_known": {name: at[name] for name in ("fixed", "val", "oracle")},
                "p_iou": {"fixed": level - 20, "val": level - 19, "oracle": level - 18},
            }
            for size, images in (("small", 0), ("medium", 300), ("large", 100))
        },
        "pixel_errors": {
            name: {"missed": 10.0, "context": 5.0, "background": 85.0 - (level - less)}
            for name, less in (("fixed", 20), ("val", 19), ("oracle", 18))
        },
        "misses": {
            name: {"part": 20.0, "more": 5.0, "multi_instance": 0.0, "background": 3.0, "other": 2.0}
            for name in ("fixed", "val", "oracle")
        },
        "pixel": {
            "threshold": {"fixed": 0.2, "val": 0.3, "oracle": 0.36, "published": None},
            "gt_known": {name: value and value - 1 for name, value in at.items()},
            "top1_loc": at, "top5_loc": at, "mean_iou": at,
            "max_box_acc": level - 1, "regret": 1.0, "peak_width": 20.0,
            "max_box_acc_v2": per_iou, "max_box_acc_v2_val": per_iou,
        },
        "normalisation": {
            name: {"gt_known": at, "max_box_acc": level, "max_box_acc_v2": level * 0.9, "px_ap": level + 5}
            for name in ("max", "percentile", "ivr")
        },
    }  # fmt: skip


def without_boxes(content: dict[str, Any]) -> dict[str, Any]:
    """Return what differs in the metrics of a run on a data set that has masks and no boxes."""
    nothing = dict.fromkeys(("fixed", "val", "oracle", "published"))
    at = dict.fromkeys(("gt_known", "top1_loc", "top5_loc", "mean_iou"), nothing)
    no_v2 = dict.fromkeys(("iou30", "iou50", "iou70", "mean"))
    numbers = {"max_box_acc": None, "regret": None, "max_box_acc_v2": no_v2, "max_box_acc_v2_val": no_v2}
    three = dict.fromkeys(("fixed", "val", "oracle"))
    others = {"gt_known": three, "max_box_acc": None, "max_box_acc_v2": None}
    return {
        **at, **numbers, "peak_width": None, "misses": three, "boxes_used": {"val": 0},
        "pixel": {"threshold": nothing, **at, **numbers, "peak_width": None},
        "by_size": {size: block | {"gt_known": three} for size, block in content["by_size"].items()},
        "normalisation": {name: block | others for name, block in content["normalisation"].items()},
    }  # fmt: skip


@pytest.fixture
def repository(tmp_path: Path) -> Callable[..., Repository]:
    shutil.copytree("results/published", tmp_path / "results" / "published")
    return lambda **settings: Repository(tmp_path, **settings)


@pytest.fixture
def full(repository: Callable[..., Repository]) -> Repository:
    """Two methods and a bound over three seeds: MaxBoxAcc 45, 46, 47; 52.5, 53.5, 54.5; 90, 91, 92."""
    return filled(repository(**FULL))


@pytest.fixture
def everything(full: Repository) -> Repository:
    """:func:`full` with histories of the methods and a search."""
    layout = Layout(full.root)
    store(full.root, [40.0, None, 30.0])
    for method in ("alpha", "beta"):
        for seed in full.seeds:
            losses = {"loss_a": [2.0, 1.0], "loss_b": [1.0, 1.0 + seed], "val_cls": [7.0, 8.0]}
            history = pd.DataFrame({"epoch": [1, 3], "lr": [0.1, 0.01]} | losses).to_csv(index=False)
            _put(layout.history("toy", f"toy-{method}-{seed}"), history.encode())
    return full


@pytest.fixture(scope="session")
def _report(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    made = filled(Repository(tmp_path_factory.mktemp("report"), **FULL))
    searched(made.root, "beta", [30.0, None, 50.0, 40.0])
    searched(made.root, "alpha", [10.0, 20.0, 60.0, 30.0])
    write_report(made.settings, "toy", made.root)
    write_page(made.settings, made.root)
    return made


@pytest.fixture
def reported(_report: Repository, tmp_path: Path) -> Repository:
    """A copy of :func:`full` with searches of the two methods, and its report and page, which take seconds to make."""
    shutil.copytree(_report.root, tmp_path, dirs_exist_ok=True)
    return replace(_report, root=tmp_path)


def searched(root: Path, method: str, values: list[float | None], **changes: Any) -> None:
    """Store a search whose trials had these values; None failed."""
    shutil.rmtree(root / "results" / "search" / "toy" / method, ignore_errors=True)
    store(root, values, head_of(method, **{"trials": len(values)} | changes))


@pytest.fixture
def masked(repository: Callable[..., Repository]) -> Repository:
    """:func:`full` with masks and no boxes: PxAP 50, 51, 52; 57.5, 58.5, 59.5; 95, 96, 97; pIoU 24 less than that."""
    return filled(repository(**FULL, masks=True))


def filled(toy: Repository) -> Repository:
    """Write runs of two methods and a bound over three seeds: see :func:`full`."""
    for seed in toy.seeds:
        for method, level in (("alpha", 45.0), ("beta", 52.5), ("ceiling", 90.0)):
            toy.write(method, seed, level + seed)
    return toy


def _curve(path: Path, best: float, top: float | None) -> None:
    threshold = np.arange(100) / 100
    bump = np.clip((top or 40) * np.exp(-(((threshold - best) / 0.25) ** 2)), 0, 100)
    columns = ("box_acc_iou30", "box_acc_iou50", "box_acc_iou70", "multi_box_acc_iou50", "val_box_acc_iou50")
    boxes = dict.fromkeys(columns, np.nan if top is None else bump)
    pixels = {"p_iou": bump / 2, "px_precision": 30 + 60 * threshold, "px_recall": 100 - 99 * threshold**2}
    frame = pd.DataFrame({"threshold": threshold, **boxes, **pixels})
    _put(path, frame.to_csv(index=False).encode())


def write_costs(layout: Layout, track: str, content: dict[str, Any]) -> None:
    """Counts of a method, and a training of 20 seconds and one more per seed."""
    key, seed, digest = content["key"], content["seed"], content["data_digest"]
    counted = {"data_digest": digest, "train_images": 600, "epochs": 2, "side": 32, "classes": 2, "parameters": 12_345}
    counted |= {"train_flops_per_image": 3_000_000, "test_flops_per_image": 1_000_000}
    counted["key"] = key.rpartition("-")[0]
    _put(layout.costs(track, counted["key"]), json.dumps(counted).encode())
    provenance = {"key": key, "seed": seed, "amp": "bf16", "index_digest": digest, "device": "a device", "threads": 1}
    provenance |= {"wall_seconds": {"training": 20.0 + seed}, "peak_memory_mib": {"host": 1000 + seed}}
    _put(layout.provenance(key), json.dumps(provenance).encode())


def _per_image(path: Path, hits: float | None, pixels: dict[str, float | None]) -> None:
    """400 images, the first ``hits`` percent of which are localized; all overlap with their masks alike."""
    overlap = np.where(np.arange(400) < 4 * (hits or 0), 0.75, 0.25) if hits is not None else np.full(400, np.nan)
    columns = {"id": [f"image {k}" for k in range(400)], "predicted": np.arange(400) % 2, "iou_val": overlap}
    box = {"x0": 56, "y0": 28, "x1": 112, "y1": 224}
    columns["label"] = np.arange(400) % 2
    of_masks = {f"mask_iou_{at}": np.nan if value is None else value / 100 for at, value in pixels.items()}
    frame = pd.DataFrame(columns | {"iou_fixed": overlap, "iou_oracle": overlap} | of_masks | box)
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(path, index=False)


def _thumbnails(path: Path, images: int, key: str) -> None:
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")
    maps = np.random.default_rng(seed).normal(size=(400, 5, 5)).astype(np.float32)
    ids = np.array([f"image {k}" for k in range(400)])
    nothing = np.zeros((400, 0))
    stored = StoredMaps(ids, np.zeros(400, np.int64), maps, nothing.astype(np.int64), nothing)
    _put(path, encode_thumbnails(stored, images))


def _photographs(paths: tuple[Path, Path], images: int, *, masks: bool) -> None:
    """Grey photographs, the brighter the higher the image's number; each with one true box or triangle."""
    chosen = candidates([f"image {k}" for k in range(400)], images)
    truth: tuple[Any, Any] = (
        ([], [[(0.25, 0.25), (0.75, 0.25), (0.5, 0.75)]]) if masks else ([(0.25, 0.25, 0.75, 0.75)], [])
    )
    facts = [Photograph(f"image {k}", 1, *truth) for k in chosen]
    caption = Caption("digest of the index", ["class zero", "class one"], facts)
    tiles = [np.full((TILE, TILE, 3), k // 2, np.uint8) for k in chosen]
    for path, content in zip(paths, (encode_sheet(tiles), encode_caption(caption)), strict=True):
        _put(path, content)


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
