"""What a data set's masks must be like: ``prepare`` opens them all, once."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from wsolbench.acquire.inspection import inspect_masks
from wsolbench.acquire.official_boxes import TOLERATED
from wsolbench.data.boxes import Turned
from wsolbench.data.dataset import Item, Truth
from wsolbench.data.masks import MaskFacts
from wsolbench.errors import DataError, first_three

__all__ = ["check_masks"]

_MOST = 0.5
_NEARLY_ALL = 0.95  # of a picture
_FAR = 4
_log = logging.getLogger("wsolbench.prepare")


def check_masks(
    root: Path,
    items: Sequence[Item],
    truth: Mapping[str, Truth],
    turned: Turned | None = None,
    *,
    own: bool = False,
) -> None:
    """Open every mask once, and say or refuse what would make its numbers meaningless.

    Args:
        root: folder that mask paths are relative to.
        items: images.
        truth: by image id, all with the same grey levels.
        turned: pictures that fit another way when they are turned.
        own: whether the masks are the user's own, who can correct them: masks without an object, and a few of another
            aspect, are an error then, and said otherwise.

    Raises:
        DataError: masks are missing, unreadable or ambiguous, or of another aspect than their images; of one's own
            also: without an object, or of two images. Says how many, and the first three.
    """
    masked = [item for item in items if item.id in truth and truth[item.id].masks]
    if not masked:
        return
    some = truth[masked[0].id]
    names = list(dict.fromkeys(name for item in masked for name in truth[item.id].masks))
    ignored = list(dict.fromkeys(ignore for item in masked if (ignore := truth[item.id].ignore)))
    facts = dict(zip(names, inspect_masks(root, names, some.mask_above, some.ignore_grey), strict=True))
    sizes = dict(zip(ignored, inspect_masks(root, ignored, 0, None), strict=True)) | facts
    drawn = {
        item: [sizes[name] for name in (*truth[item.id].masks, truth[item.id].ignore) if name is not None]
        for item in masked
    }
    misfits = {item: files for item, files in drawn.items() if not all(_fits(each, item) for each in files)}
    if (own and misfits) or len(misfits) > TOLERATED * len(masked):
        raise DataError(_misfit(root, misfits, turned))
    if misfits:
        _log.warning("%s", _misfit(root, misfits, turned))
    empty = [item.id for item in masked if not any(facts[name].object_share for name in truth[item.id].masks)]
    if empty and own:
        raise DataError(
            f"{root}: the masks of {len(empty)} of {len(masked)} images have no object pixel; draw it, or take these "
            f"masks away: {first_three(empty)}"
        )
    if empty:
        _log.warning(
            "the masks of %d of %d images have no object pixel: %s", len(empty), len(masked), first_three(empty)
        )
    uses = Counter(name for item in masked for name in truth[item.id].masks)
    shared = [name for name, count in uses.items() if count > 1]
    if shared and own:
        raise DataError(f"{root}: {len(shared)} masks are of several images; give each its own: {first_three(shared)}")
    _say_levels(list(facts.values()), some)
    if own and some.ignore_grey is None:
        _say_border(list(facts.values()), some.mask_above)


def _fits(mask: MaskFacts, item: Item, *, turned: bool = False) -> bool:
    """Return whether a mask has the aspect of its picture, if that is known, within a pixel of the smaller one."""
    if not item.width:  # of a list without sizes
        return True
    width, height = (item.height, item.width) if turned else (item.width, item.height)
    across, down = mask.width / width, mask.height / height
    off = abs(across / down - 1) * min(width, mask.width), abs(down / across - 1) * min(height, mask.height)
    return min(off) <= 1


def _misfit(root: Path, misfits: Mapping[Item, Sequence[MaskFacts]], turned: Turned | None) -> str:
    named = []
    for item, files in misfits.items():
        mask = next(each for each in files if not _fits(each, item))
        named.append(f"'{item.id}' {item.width}x{item.height}, mask {mask.width}x{mask.height}")
    other = ""
    if turned and all(
        item.id in turned.ids and all(_fits(each, item, turned=True) for each in files)
        for item, files in misfits.items()
    ):
        other = f"; with {turned.other} they would fit"
    return (
        f"{root}: the masks of {len(misfits)} images have another aspect than the images{other}; draw them on the "
        f"images as they are read: {first_three(named)}"
    )


def _say_levels(facts: Sequence[MaskFacts], some: Truth) -> None:
    keys = f"mask_above (now {some.mask_above}) and ignore_grey (now {some.ignore_grey})"
    indexed = sum(each.stored_as.endswith(" P") for each in facts)
    by_alpha = sum(each.stored_as.endswith(" alpha") for each in facts)
    lossy = sum(each.stored_as.startswith("JPEG") for each in facts)
    full = sum(each.object_share > _NEARLY_ALL * (1 - each.ignored_share) for each in facts)
    if indexed:
        _log.info("%d of %d masks have a palette; their indices are read, not the colours", indexed, len(facts))
    if by_alpha:
        _log.info("%d of %d masks are their files' alpha; the colours are the same everywhere", by_alpha, len(facts))
    if lossy:
        _log.warning(
            "%d of %d masks are JPEG files, whose compression changes levels around an object; %s should leave room",
            lossy,
            len(facts),
            keys,
        )
    if full > _MOST * len(facts):
        _log.warning(
            "%d of %d masks say that nearly the whole picture is object; the keys that set grey levels are %s",
            full,
            len(facts),
            keys,
        )
    if some.ignore_grey is not None and not any(each.ignored_share for each in facts):
        _log.warning("no mask has a pixel of ignore_grey %d", some.ignore_grey)


def _say_border(facts: Sequence[MaskFacts], above: int) -> None:
    """Ask of masks that mostly have the same three levels whether one of them is a border to ignore."""
    ((middle, highest), count) = Counter((each.middle, each.highest) for each in facts).most_common(1)[0]
    if middle <= above or count <= _MOST * len(facts):
        return
    border = highest if middle * _FAR < highest else middle  # of 0, 1, 255, the last is void; of 0, 128, 255 the second
    _log.warning(
        "%d of %d masks hold the grey levels 0, %d, %d, and all above %d is object; `ignore_grey: %d`?",
        count,
        len(facts),
        middle,
        highest,
        above,
        border,
    )
