"""What a data set's masks must be like: ``prepare`` opens them all, once, and keeps them in the truth."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from wsolbench.acquire.inspection import inspect_masks
from wsolbench.acquire.mask_files import Greys, MaskFacts
from wsolbench.acquire.official_boxes import TOLERATED
from wsolbench.data.boxes import NOT_TURNED, Turned
from wsolbench.data.dataset import Item, Truth
from wsolbench.errors import DataError, counted, first_three

__all__ = ["MaskFiles", "with_masks"]

_MOST = 0.5
_NEARLY_ALL = 0.95  # of a picture
_FAR = 4
_log = logging.getLogger("wsolbench.prepare")


@dataclass(frozen=True)
class MaskFiles:
    """Mask files of an image, one per object, and the file of what counts for neither side, below one folder."""

    masks: tuple[str, ...]
    ignore: str | None = None


def with_masks(
    root: Path,
    items: Sequence[Item],
    truth: Mapping[str, Truth],
    files: Mapping[str, MaskFiles],
    greys: Greys | None = None,
    turned: Turned = NOT_TURNED,
    *,
    own: bool = False,
) -> dict[str, Truth]:
    """Open every mask once, say or refuse what would make its numbers meaningless, and return truth that has them.

    What an image's ignore file shows counts for neither side; without one, what has the grey to ignore in its first
    mask. Masks of images without truth are checked and not kept. Those of one's ``own`` can be corrected: masks without
    an object, and a few of another aspect, are an error then, and a warning otherwise.

    Raises:
        DataError: masks are missing, unreadable or ambiguous, or of another aspect than their images; of one's own
            also: without an object, or of two images. Says how many, and the first three.
    """
    masked = [item for item in items if item.id in files and files[item.id].masks]
    if not masked:
        return dict(truth)
    greys = greys or Greys()
    objects = _facts(root, (name for item in masked for name in files[item.id].masks), greys)
    ignored = _facts(root, (name for item in masked if (name := files[item.id].ignore)), Greys())
    drawn = {item: [objects[name] for name in files[item.id].masks] for item in masked}
    _check_aspects(
        root, {item: [*drawn[item], *_ignore_of(files[item.id], ignored)] for item in masked}, turned, own=own
    )
    empty = [item.id for item, masks in drawn.items() if not any(mask.object_share for mask in masks)]
    if empty:
        what = f"the masks of {len(empty)} of {counted(len(masked), 'image')} have no object pixel"
        if own:
            raise DataError(f"{root}: {what}; draw it, or take these masks away: {first_three(empty)}")
        _log.warning("%s: %s", what, first_three(empty))
    uses = Counter(name for item in masked for name in files[item.id].masks)
    shared = [name for name, count in uses.items() if count > 1]
    if shared and own:
        what = counted(len(shared), "mask is", "masks are")
        raise DataError(f"{root}: {what} of several images; give each its own: {first_three(shared)}")
    _report_levels(list(objects.values()), greys)
    if own and greys.ignore is None:
        _suggest_border(list(objects.values()), greys.above)
    found = dict(truth)
    for item in masked:
        if item.id in truth:
            own_ignore = [mask.mask for mask in _ignore_of(files[item.id], ignored)] or [drawn[item][0].ignored]
            codes = tuple(mask.mask for mask in drawn[item])
            found[item.id] = replace(truth[item.id], masks=codes, ignore=own_ignore[0] or None)
    return found


def _facts(root: Path, names: Iterable[str], greys: Greys) -> dict[str, MaskFacts]:
    once = list(dict.fromkeys(names))
    return dict(zip(once, inspect_masks(root, once, greys), strict=True))


def _ignore_of(files: MaskFiles, ignored: Mapping[str, MaskFacts]) -> list[MaskFacts]:
    return [ignored[files.ignore]] if files.ignore else []


def _check_aspects(root: Path, drawn: Mapping[Item, Sequence[MaskFacts]], turned: Turned, *, own: bool) -> None:
    misfits = {
        item: misfit for item, masks in drawn.items() if (misfit := [each for each in masks if not _fits(each, item)])
    }
    if not misfits:
        return
    named = [
        f"'{item.id}' {item.width}x{item.height}, mask {mask.width}x{mask.height}"
        for item, (mask, *_) in misfits.items()
    ]
    fit_turned = all(_fits(each, item, turned=True) for item in misfits for each in drawn[item])
    other = turned.hint(item.id for item in misfits) if fit_turned else ""
    what = counted(len(misfits), "image has masks", "images have masks")
    message = (
        f"{root}: {what} of another aspect than the image's{other}; draw them on the images as they are read: "
        f"{first_three(named)}"
    )
    if own or len(misfits) > TOLERATED * len(drawn):
        raise DataError(message)
    _log.warning("%s", message)


def _fits(mask: MaskFacts, item: Item, *, turned: bool = False) -> bool:
    """Return whether a mask has the aspect of its picture, if that is known, within a pixel of the smaller one."""
    if not item.width:  # of a list without sizes
        return True
    width, height = (item.height, item.width) if turned else (item.width, item.height)
    across, down = mask.width / width, mask.height / height
    off = abs(across / down - 1) * min(width, mask.width), abs(down / across - 1) * min(height, mask.height)
    return min(off) <= 1


def _report_levels(facts: Sequence[MaskFacts], greys: Greys) -> None:
    keys = f"mask_above (now {greys.above}) and ignore_grey (now {greys.ignore})"
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
    if greys.ignore is not None and not any(each.ignored_share for each in facts):
        _log.warning("no mask has a pixel of ignore_grey %d", greys.ignore)


def _suggest_border(facts: Sequence[MaskFacts], above: int) -> None:
    """Suggest to ignore one of the levels of masks that mostly have the same three: a border."""
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
