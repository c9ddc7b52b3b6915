"""The numbers of a split as a table of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["score_table"]

_AT = ("fixed", "val", "oracle")
_THRESHOLDED = (
    ("threshold", "threshold"),
    ("GT-known Loc", "gt_known"),
    ("Top-1 Loc", "top1_loc"),
    ("Top-5 Loc", "top5_loc"),
    ("mean IoU", "mean_iou"),
)
_PIXELS = (("pIoU", "p_iou"), ("pIoU, pooled", "p_iou_pooled"), ("its threshold", "p_iou_threshold"))
_SINGLE = (("PxAP", "px_ap"), ("PxAP, mean over classes", "px_ap_per_class"))


def score_table(numbers: Mapping[str, Any]) -> str:
    """Return a Markdown table of all numbers: one row per measure, one column per choice of the threshold.

    Args:
        numbers: of :func:`wsolbench.score`. What is None is shown as a dash; rows without a number are left out.
    """
    rows = [["", *_AT]]
    for name, block in (("choe2020", numbers), ("pixel", numbers["pixel"])):
        if block["max_box_acc"] is None:  # masks only
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
    kept = [row for k, row in enumerate(rows) if k == 0 or any(cell != "-" for cell in row[1:])]
    images, cls = numbers["images"], numbers["cls"]
    head = f"{images['test']} images, {images['val']} of val; "
    return f"{head}Top-1 Cls {_text(cls['top1'])}, Top-5 Cls {_text(cls['top5'])}\n\n{_aligned(kept)}"


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
