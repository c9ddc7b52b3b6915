"""The thresholds that predictions are cut at, and by what they were chosen."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any, Literal

from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.errors import DataError
from wsolbench.files import read_file

__all__ = ["Cuts", "cuts_of"]

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
        if self.origin == "val":
            of_masks = f"{self.mask:g} (chosen on val for pIoU)"
            of_boxes = f"threshold {self.box:g} (chosen on val for protocol pixel)"
            if self.masks_only:
                return f"threshold {of_masks}"
            return of_boxes if self.mask == self.box else f"{of_boxes}, of masks {of_masks}"
        return f"threshold {self.box:g} ({'evaluate.fixed_threshold' if self.origin == 'fixed' else self.origin})"


def cuts_of(settings: Settings, track: str, key: str, layout: Layout, asked: float | None) -> Cuts:
    """Return the thresholds of a run, and say so where they are not those that its ``val`` split chose."""
    path = layout.metrics(track, key)
    again = f"run `wsolbench evaluate {key}`, or give --threshold"
    numbers: dict[str, Any] = {}
    if path.is_file():
        try:
            numbers = json.loads(read_file(path, again))
            masks_only = numbers["max_box_acc"] is None and numbers["p_iou_threshold"]["fixed"] is not None
            by_box, by_mask = numbers["pixel"]["threshold"]["val"], numbers["p_iou_threshold"]["val"]
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path} is damaged; delete it and {again}") from None
        chosen = by_mask if masks_only else by_box
    else:
        masks_only, chosen, by_mask = False, None, None
    if asked is not None:
        return Cuts(asked, asked, "--threshold", masks_only)
    if chosen is not None:
        return Cuts(chosen, chosen if by_mask is None else by_mask, "val", masks_only)
    fixed = settings.evaluate.fixed_threshold
    reason = "its track has no val split to choose one" if numbers else f"{path} is not here; {again}"
    _log.warning("%s: the threshold is the fixed one, %g, and not one that val chose: %s", key, fixed, reason)
    return Cuts(fixed, fixed, "fixed", masks_only)
