"""Trained runs as what localizes: loaded by key or folder, with the thresholds that ``val`` chose."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from ruamel.yaml import YAML

from wsolbench.config.paths import Layout
from wsolbench.config.settings import EvaluateSettings, RuntimeSettings, Settings
from wsolbench.data.masks import encode
from wsolbench.errors import DataError, SettingsError, nearest
from wsolbench.files import parse_file
from wsolbench.models.layers import to_device
from wsolbench.models.method import Method
from wsolbench.runs.device import set_up_device
from wsolbench.runs.run_folder import RUN_FILE, SKIPPED_FILE
from wsolbench.tools.photographs import Photograph
from wsolbench.tools.predictions import Prediction, boxes_at, score_map_of
from wsolbench.training.trained import load_trained, read_trained, run_of_record

__all__ = ["Cuts", "TrainedRun", "label_of", "localize", "open_run"]

_TOP = 5
_log = logging.getLogger("wsolbench.tools.predict")


@dataclass(frozen=True)
class Cuts:
    """Thresholds of a run; ``origin`` says where they are from."""

    box: float
    mask: float
    origin: Literal["--threshold", "val", "fixed"]
    masks_only: bool

    def described(self) -> str:
        """Return the thresholds, and by what they were chosen, in a few words."""
        if self.origin != "val":
            return f"threshold {self.box:g} ({'evaluate.fixed_threshold' if self.origin == 'fixed' else self.origin})"
        of_masks = f"{self.mask:g} (chosen on val for pIoU)"
        if self.masks_only:
            return f"threshold {of_masks}"
        of_boxes = f"threshold {self.box:g} (chosen on val for protocol pixel)"
        return of_boxes if self.mask == self.box else f"{of_boxes}, of masks {of_masks}"


@dataclass(frozen=True)
class TrainedRun:
    """A run that was trained, ready to predict; its network sees pictures of ``side`` pixels."""

    key: str
    method: str
    class_names: Sequence[str]
    side: int
    cuts: Cuts
    network: Method
    device: torch.device


def open_run(
    settings: Settings | None,
    run: str,
    layout: Layout,
    threshold: float | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
) -> TrainedRun:
    """Load a trained run by its key, or from its folder wherever it lies, with the thresholds that ``val`` chose.

    Without settings (outside a repository) their defaults hold; ``threshold`` and ``device`` come before them.

    Raises:
        SettingsError: the key is that of no run, or of a baseline.
        DataError: the run is not trained, or damaged.
    """
    runtime = RuntimeSettings() if settings is None else settings.runtime
    fixed = (EvaluateSettings() if settings is None else settings.evaluate).fixed_threshold
    if (Path(run) / RUN_FILE).is_file():
        layout, run = _locate(Path(run))
    record = _record(settings, run, layout)
    resolved = run_of_record(record)
    cuts = _cuts(layout.metrics(resolved.track_name, run), run, fixed, threshold)
    place = set_up_device(runtime if device is None else runtime.model_copy(update={"device": device}))
    network = load_trained(record, layout, place)
    return TrainedRun(run, resolved.method, record["class_names"], resolved.track.test_side, cuts, network, place)


def localize(
    run: TrainedRun, photographs: Sequence[Photograph], wanted: int | None, *, every: bool = False, masks: bool = False
) -> list[Prediction]:
    """Predict some photographs, opened at the side of the run, in one batch; None wants the predicted class of each.

    Raises:
        DataError: the method does not classify and no class is wanted, it has no maps, or one is not finite.
    """
    if not photographs:
        return []
    labels, maps, probabilities = _forward(run, photographs, wanted)
    found = []
    for photograph, label, raw, shares in zip(photographs, labels.tolist(), maps, probabilities, strict=True):
        score_map, size = score_map_of(raw), (photograph.width, photograph.height)
        code = None
        if masks:
            fitted = Image.fromarray(score_map.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
            code = encode((np.asarray(fitted) >= run.cuts.mask) & bool(score_map.max() > 0))
        best = np.argsort(-shares, kind="stable")[:_TOP].tolist()
        prediction = Prediction(
            photograph.id,
            *size,
            label,
            run.class_names[label],
            float(shares[label]) if len(shares) else None,
            tuple((k, run.class_names[k], float(shares[k])) for k in best),
            boxes_at(score_map, size, run.cuts.box, every=every),
            raw,
            code,
        )
        found.append(prediction)
    return found


def _locate(folder: Path) -> tuple[Layout, str]:
    """Return the key of the run in a folder, and a layout that finds it there."""

    @dataclass(frozen=True)
    class OneRun(Layout):
        def run(self, key: str) -> Path:
            return folder

    cure, yaml = "copy the run's folder again", YAML(typ="safe", pure=True)
    key = parse_file(folder / RUN_FILE, lambda content: str(yaml.load(content)["key"]), cure)
    return OneRun(Path(*folder.resolve().parts[:-3])), key  # .../results/runs/<key>


def _record(settings: Settings | None, key: str, layout: Layout) -> dict[str, Any]:
    """Return the record of a trained run, or say why there is none: another key was meant, a baseline's, or not yet."""
    folder = layout.run(key)
    if not any((folder / name).is_file() for name in (RUN_FILE, SKIPPED_FILE)):
        if settings is None:
            raise SettingsError(
                f"there is no run '{key}' here, nor a params.yaml; give the folder of a run, with its run.yaml"
            )
        method = settings.resolve(key).method
        if method not in settings.methods:
            raise SettingsError(f"'{key}' is a baseline, and baselines are no trained networks; take a method's run")
        if not folder.is_dir():
            raise DataError(f"run '{key}' is not trained; train it (`wsolbench train {key}`), or `dvc pull {folder}`")
    return read_trained(layout, key)


def _cuts(metrics: Path, key: str, fixed: float, asked: float | None) -> Cuts:
    """Return the thresholds of a run, and say so where they are not those that its ``val`` split chose."""
    again = f"run `wsolbench evaluate {key}`, or give --threshold"
    by_box = by_mask = None
    masks_only, there = False, metrics.is_file()
    if there:
        masks_only, by_box, by_mask = parse_file(metrics, _stored_cuts, f"restore it, or {again}")
    if asked is not None:
        return Cuts(asked, asked, "--threshold", masks_only)
    chosen = by_mask if masks_only else by_box
    if chosen is not None:
        return Cuts(chosen, chosen if by_mask is None else by_mask, "val", masks_only)
    reason = "its track has no val split to choose one" if there else f"{metrics} is not here; {again}"
    _log.warning("%s: the threshold is the fixed one, %g, and not one that val chose: %s", key, fixed, reason)
    return Cuts(fixed, fixed, "fixed", masks_only)


def _stored_cuts(content: bytes) -> tuple[bool, float | None, float | None]:
    numbers: Mapping[str, Any] = json.loads(content)
    masks_only = numbers["max_box_acc"] is None and numbers["p_iou_threshold"]["fixed"] is not None
    return masks_only, numbers["pixel"]["threshold"]["val"], numbers["p_iou_threshold"]["val"]


def label_of(name: str, class_names: Sequence[str]) -> int:
    """Return the label of a class by its name or number.

    Raises:
        SettingsError: there is no such class, or there are several.
    """
    places = [label for label, known in enumerate(class_names) if known == name]
    if len(places) > 1:
        raise SettingsError(f"--class: {len(places)} classes are called '{name}'; give the number of one: {places}")
    if places:
        return places[0]
    if name.isdecimal() and name.isascii() and int(name) < len(class_names):
        return int(name)
    hint = nearest(name, class_names)
    raise SettingsError(
        f"--class: the run knows no class '{name}'; {hint if len(hint) < 1000 else 'see its class_names in run.yaml'}"
    )


def _forward(
    run: TrainedRun, photographs: Sequence[Photograph], wanted: int | None
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return the class that is localized, ``(B,)``, its map ``(B, h, w)``, and all probabilities ``(B, classes)``."""
    pixels = torch.from_numpy(np.stack([each.resized for each in photographs])).permute(0, 3, 1, 2)
    labels = torch.full((len(photographs),), wanted or 0)
    with torch.set_grad_enabled(run.network.needs_grad):
        images = run.network.backbone.normalise(to_device(pixels, run.device))
        found = run.network.predict(images, to_device(labels, run.device))
        if wanted is None:
            if not found.logits.shape[1]:
                raise DataError("the run does not classify; say with --class which class to localize")
            # Stable, as in stored runs: of equal logits, the lower class.
            labels = torch.sort(found.logits.detach(), dim=1, descending=True, stable=True)[1][:, 0].cpu()
            found = run.network.predict(images, to_device(labels, run.device))
    if found.maps is None:
        raise DataError("the run answers in boxes, which predict does not draw; take the run of a method with maps")
    maps = found.maps.detach().float().cpu().numpy()
    finite = np.isfinite(maps).all((1, 2))
    if not finite.all():
        name = photographs[int(np.argmin(finite))].id
        raise DataError(f"the map of '{name}' is not finite; the training of the run has diverged")
    return labels.numpy(), maps, found.logits.detach().float().softmax(1).cpu().numpy()
