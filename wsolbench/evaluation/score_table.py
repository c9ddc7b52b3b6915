"""The numbers of a split as a table of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

__all__ = ["comparison_table", "difference_table", "score_table"]

_AT = ("fixed", "val", "oracle")
_THRESHOLDED = (
    ("threshold", "threshold"),
    ("GT-known Loc", "gt_known"),
    ("Top-1 Loc", "top1_loc"),
    ("Top-5 Loc", "top5_loc"),
    ("mean IoU", "mean_iou"),
)
_PIXELS = (("pIoU", "p_iou"), ("pIoU, pooled", "p_iou_pooled"), ("its threshold", "p_iou_threshold"))
_PREDICTED = "Maps are of predicted classes: what is GT-known (MaxBoxAcc and PxAP, too) is not available."
_READING = (
    "Points of percent of the images; interval and p come from a bootstrap over images, the same for both. It knows "
    "nothing of training again."
)
_CORRECTED = " The corrected p (Holm) counts all pairs of a measure."
_SINGLE = (("PxAP", "px_ap"), ("PxAP, mean over classes", "px_ap_per_class"))


def score_table(numbers: Mapping[str, Any]) -> str:
    """Return a Markdown table of all numbers: a row per measure, a column per choice of the threshold (boxes: one)."""
    rows = _rows(numbers)
    if not _has_thresholds(numbers):
        rows = [[title, next(cell for cell in reversed(cells) if cell != "-")] for title, *cells in rows]
        return f"{_head(numbers)}\n\n{_aligned([['', 'boxes'], *rows])}"
    return f"{_head(numbers)}\n\n{_aligned([['', *_AT], *rows])}"


def _has_thresholds(numbers: Mapping[str, Any]) -> bool:
    """Return whether the numbers are of maps; of those of predicted classes that is taken for granted."""
    blocks = (numbers["threshold"], numbers["pixel"]["threshold"], numbers["p_iou_threshold"])
    chosen = any(value is not None for block in blocks for value in block.values())
    return chosen or numbers.get("maps_of") == "predicted"


def comparison_table(several: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a Markdown table of several numbers of the same images: one row per measure, one column per name."""
    by_name = {
        name: {
            title if at == _AT[-1] and cells[:-1] == ["-", "-"] else f"{title}, {at}": cell
            for title, *cells in _rows(numbers)
            for at, cell in zip(_AT, cells, strict=True)
            if cell != "-"
        }
        for name, numbers in several.items()
    }
    titles = dict.fromkeys(title for cells in by_name.values() for title in cells)
    rows = [[title, *(cells.get(title, "-") for cells in by_name.values())] for title in titles]
    heads = "\n".join(f"{name}: {_head(numbers)}" for name, numbers in several.items())
    return f"{heads}\n\n{_aligned([['', *by_name], *rows])}"


def difference_table(differences: pd.DataFrame) -> str:
    """Return a Markdown table of :class:`~wsolbench.tools.compare.Comparison`'s differences."""
    several = bool(differences.groupby("measure").size().max() > 1)
    rows = [["", "difference", "95% interval", "p", *(["p, corrected"] if several else [])]]
    for measure, first, second, points, low, high, p, corrected in differences.itertuples(index=False):
        line = [f"{measure}: {first} - {second}", f"{points:+.1f}", f"{low:+.1f} to {high:+.1f}"]
        rows.append([*line, _p(float(p)), *([_p(float(corrected))] if several else [])])
    return f"{_aligned(rows)}\n\n{_READING}{_CORRECTED if several else ''}"


def _head(numbers: Mapping[str, Any]) -> str:
    images, cls = numbers["images"], numbers["cls"]
    head = f"{images['test']} images, {images['val']} of val; "
    head += f"Top-1 Cls {_text(cls['top1'])}, Top-5 Cls {_text(cls['top5'])}"
    return head + (f". {_PREDICTED}" if numbers.get("maps_of") == "predicted" else "")


def _rows(numbers: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for name, block in (("choe2020", numbers), ("pixel", numbers["pixel"])):
        if block["max_box_acc"] is None and block["top1_loc"]["fixed"] is None:  # masks only
            continue
        rows += [[f"{title} ({name})", *_three(block[key], key)] for title, key in _THRESHOLDED]
        at_val, at_best = block["max_box_acc_v2_val"]["mean"], block["max_box_acc_v2"]["mean"]
        rows.append([f"MaxBoxAccV2 ({name})", "-", _text(at_val), _text(at_best)])
        rows.append([f"width of the peak ({name})", "-", "-", _text(block["peak_width"])])
    rows += [[title, *_three(numbers[key], key)] for title, key in _PIXELS]
    rows += [[title, "-", "-", _text(numbers[key])] for title, key in _SINGLE]
    for name, block in numbers["normalisation"].items():
        rows.append([f"GT-known Loc (choe2020, normalised by {name})", *_three(block["gt_known"])])
        rows.append([f"PxAP (normalised by {name})", "-", "-", _text(block["px_ap"])])
    for size, block in numbers["by_size"].items():
        rows.append([f"GT-known Loc, {size} ({block['images']} images)", *_three(block["gt_known"])])
        rows.append([f"pIoU, {size} ({block['images']} images)", *_three(block["p_iou"])])
    for title, name in (("missed", "misses"), ("lacks of pIoU", "pixel_errors")):
        blocks: Mapping[str, Any] = numbers[name]
        for kind in next((block for block in blocks.values() if block), ()):
            shares = {at: None if block is None else block[kind] for at, block in blocks.items()}
            rows.append([f"{title}: {kind.replace('_', '-')}", *_three(shares)])
    return [row for row in rows if any(cell != "-" for cell in row[1:])]


def _three(block: Mapping[str, float | None], key: str = "") -> list[str]:
    return [_text(block.get(at), 3 if "threshold" in key else 1) for at in _AT]


def _text(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _aligned(rows: list[list[str]]) -> str:
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    lines = []
    for title, *cells in rows:
        padded = [title.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))]
        lines.append(f"| {' | '.join(padded)} |")
    rule = "|".join(["-" * (first + 2), *("-" * (width + 1) + ":" for width in widths)])
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]])


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else "< 0.001"
