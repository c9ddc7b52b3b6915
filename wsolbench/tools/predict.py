"""``wsolbench predict``: classes, maps, boxes, masks and pictures of anybody's photographs, by a trained run."""

from __future__ import annotations

import csv
import errno
import io
import json
import logging
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from wsolbench import __version__
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.cache import Reading
from wsolbench.data.scoremaps import upsample_and_normalise
from wsolbench.errors import DataError, SettingsError, counted, nearest
from wsolbench.evaluation.choe2020 import SIDE
from wsolbench.evaluation.pixel import candidates
from wsolbench.files import replace_directory
from wsolbench.models.layers import to_device
from wsolbench.models.method import Method
from wsolbench.runs.device import set_up_device
from wsolbench.runs.progress import meter
from wsolbench.runs.run_folder import RUN_FILE, SKIPPED_FILE
from wsolbench.tools.predict_cuts import Cuts, cuts_of
from wsolbench.tools.predict_input import ABOUT_FILE, Photograph, find_photographs, open_photographs
from wsolbench.tools.predict_output import FORMATS, Box, Format, Prediction, coco, draw, run_lengths, table, tree
from wsolbench.training.trained import load_trained, read_trained, run_of_record

__all__ = ["PredictOptions", "Predicted", "predict"]

_BATCH = 16  # photographs at a time, which bounds memory
_TOP = 5
_log = logging.getLogger("wsolbench.tools.predict")


@dataclass(frozen=True)
class PredictOptions:
    """What is asked for.

    Attributes:
        threshold: in [0, 1), of box and mask; None takes those that the run's ``val`` split chose.
        class_name: name, or number, of the class to localize in all photographs; None localizes the predicted one.
        masks: whether to write masks also where the run's data set has boxes.
        all_boxes: whether to give the boxes of all components, as MaxBoxAccV2 counts them, and not of the largest only.
        formats: of the table.
    """

    threshold: float | None = None
    class_name: str | None = None
    masks: bool = False
    all_boxes: bool = False
    formats: Sequence[Format] = ("csv",)


@dataclass(frozen=True)
class Predicted:
    """What was written, and what was left out.

    Attributes:
        folder: with the results.
        count: photographs in it.
        skipped: a sentence about each that could not be read, or whose result could not be written.
        kinds: names in ``folder`` with results.
    """

    folder: Path
    count: int
    skipped: tuple[str, ...]
    kinds: tuple[str, ...]


@dataclass
class _Work:
    """What is needed for each photograph, and what is collected of them."""

    folder: Path
    class_names: Sequence[str]
    cuts: Cuts
    masks: bool
    all_boxes: bool
    lengths: bool
    done: list[Prediction] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


def predict(
    settings: Settings, key: str, sources: Sequence[Path], out: Path, layout: Layout, options: PredictOptions
) -> Predicted:
    """Predict photographs with a trained run.

    Writes to ``<out>/<key>``, so that no two runs mix; what the same run wrote there before is replaced as a whole
    when all is done. In it:

    - ``predictions.csv`` (``'`` is before a name that a spreadsheet would take for a formula), ``predictions.json`` and
      ``coco.json``, as asked for: class, its probability, box, score;
    - ``classes.txt``, up to five classes per photograph, as ``wsolbench score --predictions`` reads them;
    - ``maps/<id>.npy``, the raw map, as ``wsolbench score --maps`` reads it;
    - ``pictures/<id>.jpg``, photograph, map, box and class, 320 to 2048 pixels long;
    - ``masks/<id>.png``, 255 where the map reaches the threshold: where asked for, or the data set has masks only;
    - ``about-predictions.json``, run, thresholds and what was left out.

    Photographs are turned as viewers display them, and everything refers to the displayed picture. The box is that of
    protocol ``pixel``: the largest component of what reaches the threshold times the maximum. Its score is the mean of
    the normalised map inside it.

    Args:
        settings: runtime, and the fixed threshold.
        key: ``<track>-<method>-<seed>`` of a trained run.
        sources: image files and directories.
        out: directory for the results of all runs.
        layout: where the run lies.
        options: what is asked for.

    Raises:
        SettingsError: the class does not exist, or the key is that of no run, or of a baseline.
        DataError: the run is not trained or damaged, no photograph can be read, or the results cannot be written.
    """
    record = _record(settings, key, layout)
    run = run_of_record(record)
    class_names: list[str] = record["class_names"]
    wanted = None if options.class_name is None else _label(options.class_name, class_names)
    target = out / key
    _check_target(target)
    root, names, skipped = find_photographs(sources)
    cuts = cuts_of(settings, run.track_name, key, layout, options.threshold)
    device = set_up_device(settings.runtime)
    method = load_trained(record, layout, device)
    listed = counted(len(names) + len(skipped), "file")
    _log.info("%s: %s with the suffix of an image, %s", key, listed, cuts.described())
    with _replaced(target) as folder:
        masks = options.masks or cuts.masks_only
        lengths = masks and "coco" in options.formats
        work = _Work(folder, class_names, cuts, masks, options.all_boxes, lengths, skipped=skipped)
        threads = Reading.of(settings.runtime, layout).threads
        batches = open_photographs(root, names, run.track.test_side, _BATCH, threads)
        with meter("predicting", len(names), "images") as progress:
            for batch in batches:
                _predict_batch(work, batch, method, wanted, device)
                progress.advance(len(batch))
        if not work.done:
            raise DataError("no photograph can be used:\n" + "\n".join(work.skipped))
        _write_tables(work, options, key, run.method)
    kinds = [FORMATS[each] for each in dict.fromkeys(options.formats)]
    kinds += ["maps", "pictures", *(["masks"] if masks else [])]
    return Predicted(target, len(work.done), tuple(work.skipped), tuple(kinds))


def _predict_batch(
    work: _Work, batch: Sequence[Photograph | str], method: Method, wanted: int | None, device: torch.device
) -> None:
    """Predict and write what could be opened of a batch, and note why the rest could not."""
    opened = [each for each in batch if isinstance(each, Photograph)]
    work.skipped += [each for each in batch if isinstance(each, str)]
    for photograph, *found in zip(opened, *_localized(method, opened, wanted, device), strict=True):
        _keep(work, photograph, *found)


def _record(settings: Settings, key: str, layout: Layout) -> dict[str, Any]:
    """Return the record of a trained run, or say why there is none: another key was meant, a baseline's, or not yet."""
    folder = layout.run(key)
    if not any((folder / name).is_file() for name in (RUN_FILE, SKIPPED_FILE)):
        method = settings.resolve(key).method
        if method not in settings.methods:
            raise SettingsError(
                f"'{key}' is a baseline, and baselines are no trained networks; take the run of a method"
            )
        if not folder.is_dir():
            raise DataError(f"run '{key}' is not trained; train it (`wsolbench train {key}`), or `dvc pull {folder}`")
    return read_trained(layout, key)


def _label(name: str, class_names: Sequence[str]) -> int:
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


def _check_target(target: Path) -> None:
    """Refuse to replace what predictions did not write."""
    if target.is_dir() and any(target.iterdir()) and not (target / ABOUT_FILE).is_file():
        raise DataError(f"{target} holds other files than predictions; move them, or choose another --out")
    if target.exists() and not target.is_dir():
        raise DataError(f"{target} is a file; choose another --out")


@contextmanager
def _replaced(target: Path) -> Iterator[Path]:
    """Yield a new folder that takes the place of ``target`` when all went well, and is removed otherwise."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".tmp", dir=target.parent))
        folder.chmod(0o755)
    except OSError as error:
        raise DataError(f"{target.parent} cannot be written ({error.strerror}); choose another --out") from None
    try:
        yield folder
        replace_directory(folder, target)
    except OSError as error:
        raise DataError(f"{target} cannot be written ({error.strerror or error})") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _localized(
    method: Method, photographs: Sequence[Photograph], wanted: int | None, device: torch.device
) -> tuple[NDArray[np.int64], NDArray[np.float32], NDArray[np.float32]]:
    """Return the class that is localized, ``(B,)``, its map ``(B, h, w)``, and all probabilities ``(B, classes)``.

    Raises:
        DataError: the method does not classify and no class is wanted, it has no maps, or one is not finite.
    """
    if not photographs:
        return np.zeros(0, np.int64), np.zeros((0, 1, 1), np.float32), np.zeros((0, 0), np.float32)
    pixels = torch.from_numpy(np.stack([each.resized for each in photographs])).permute(0, 3, 1, 2)
    labels = torch.full((len(photographs),), wanted or 0)
    with torch.set_grad_enabled(method.needs_grad):
        images = method.backbone.normalise(to_device(pixels, device))
        found = method.predict(images, to_device(labels, device))
        if wanted is None:
            if not found.logits.shape[1]:
                raise DataError("the run does not classify; say with --class which class to localize")
            # Stable, as in stored runs: of equal logits, the lower class.
            labels = torch.sort(found.logits.detach(), dim=1, descending=True, stable=True)[1][:, 0].cpu()
            found = method.predict(images, to_device(labels, device))
    if found.maps is None:
        raise DataError("the run answers in boxes, which predict does not draw; take the run of a method with maps")
    maps = found.maps.detach().float().cpu().numpy()
    finite = np.isfinite(maps).all((1, 2))
    if not finite.all():
        name = photographs[int(np.argmin(finite))].id
        raise DataError(f"the map of '{name}' is not finite; the training of the run has diverged")
    return labels.numpy(), maps, found.logits.detach().float().softmax(1).cpu().numpy()


def _keep(
    work: _Work, photograph: Photograph, label: int, raw: NDArray[np.float32], probabilities: NDArray[np.float32]
) -> None:
    """Write the files of a photograph and keep its line of the tables."""
    score_map = upsample_and_normalise(raw, SIDE, SIDE)
    best = np.argsort(-probabilities, kind="stable")[:_TOP]
    mask = None
    if work.masks:
        size = (photograph.width, photograph.height)
        fitted = Image.fromarray(score_map.astype(np.float32)).resize(size, Image.Resampling.BILINEAR)
        mask = (np.asarray(fitted) >= work.cuts.mask) & bool(score_map.max() > 0)
    found = Prediction(
        photograph.id,
        photograph.width,
        photograph.height,
        int(label),
        work.class_names[label],
        float(probabilities[label]) if len(probabilities) else None,
        tuple((int(k), work.class_names[k], float(probabilities[k])) for k in best),
        _boxes(score_map, photograph, work.cuts.box, every=work.all_boxes),
        run_lengths(mask) if mask is not None and work.lengths else None,
    )
    try:
        _save(work.folder / "maps" / f"{found.id}.npy", raw)
        if mask is not None:
            _save(work.folder / "masks" / f"{found.id}.png", Image.fromarray((mask * 255).astype(np.uint8)))
        picture = draw(photograph.shown, score_map, found, work.cuts.mask if work.masks else None)
        _save(work.folder / "pictures" / f"{found.id}.jpg", picture)
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        work.skipped.append(f"{found.id}: its name is too long to write files after it; rename it")
        return
    work.done.append(found)


def _boxes(score_map: NDArray[np.float64], photograph: Photograph, cut: float, *, every: bool) -> tuple[Box, ...]:
    found = candidates(score_map, np.array([cut]))
    largest = found.single[found.cut[0]]
    if not largest[2] > largest[0]:
        return ()
    others = [box for box in found.boxes_at(0) if tuple(box) != tuple(largest)] if every else []
    size = np.array([photograph.width, photograph.height])
    boxes = []
    for x0, y0, x1, y1 in [largest, *sorted(others, key=lambda box: -(box[2] - box[0]) * (box[3] - box[1]))]:
        low = np.minimum(np.rint(np.array([x0, y0]) * size / SIDE).astype(int), size - 1)
        high = np.maximum(np.rint(np.array([x1, y1]) * size / SIDE).astype(int), low + 1)
        boxes.append(Box((*low.tolist(), *high.tolist()), float(score_map[y0:y1, x0:x1].mean())))
    return tuple(boxes)


def _save(path: Path, content: NDArray[np.float32] | Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, Image.Image):
        content.save(path, quality=90)  # of a JPEG; PNG has none
    else:
        np.save(path, content)


def _write_tables(work: _Work, options: PredictOptions, key: str, method: str) -> None:
    contents = {"csv": lambda: table(work.done), "json": lambda: tree(work.done)}
    contents["coco"] = lambda: coco(work.done, work.class_names)
    for kind in dict.fromkeys(options.formats):
        (work.folder / FORMATS[kind]).write_text(contents[kind](), encoding="utf-8")
    listed = io.StringIO()
    rows = csv.writer(listed, lineterminator="\n")
    rows.writerows([each.id, *(label for label, _, _ in each.top5)] for each in work.done if each.top5)
    (work.folder / "classes.txt").write_text(listed.getvalue(), encoding="utf-8")
    about = {
        "run": key,
        "method": method,
        "version": __version__,
        "maps_of": "predicted class" if options.class_name is None else work.done[0].name,
        "threshold": {"box": work.cuts.box, "mask": work.cuts.mask, "from": work.cuts.origin},
        "box": "largest component at the threshold (protocol pixel), half-open, pixels of the displayed photograph",
        "score": "mean of the normalised map inside the box",
        "photographs": len(work.done),
        "left_out": work.skipped,
    }
    (work.folder / ABOUT_FILE).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
