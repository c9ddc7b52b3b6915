"""Find the mask of each image by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wsolbench.data.folders import IMAGE_SUFFIXES, files_below
from wsolbench.errors import DataError, counted, first_three

__all__ = ["match_masks"]

_ENDINGS = [f"{mark}{word}" for word in ("mask", "gt", "label", "seg", "segmentation") for mark in "_-. "]


def match_masks(folder: Path, images: Sequence[str]) -> dict[str, str]:
    """Return the mask file of each image that has one; both are paths below their own folder.

    The mask of ``cat/0.jpg`` is ``cat/0.png``, ``cat/0_mask.png`` or ``cat/0.jpg.png``, with any suffix of an image in
    either case, and with ``gt``, ``label``, ``seg`` or ``segmentation`` for ``mask``.

    Raises:
        DataError: files belong to no image or to two, or an image has two; says how many, and the first three.
    """
    by_name: dict[str, list[str]] = {}
    for image in images:
        for name in dict.fromkeys((image, image.removesuffix(Path(image).suffix))):
            by_name.setdefault(name, []).append(image)
    found: dict[str, list[str]] = {}
    alone, shared = [], []
    for mask in files_below(folder):
        owners = _owners(mask, by_name)
        if len(owners) == 1:
            found.setdefault(owners[0], []).append(mask)
        elif owners:
            shared.append(f"{mask} of {' and '.join(owners)}")
        else:
            alone.append(mask)
    double = [f"{' and '.join(masks)} of {image}" for image, masks in found.items() if len(masks) > 1]
    told = "to no image; the mask of <class>/<name>.jpg is <class>/<name>.png"
    _refuse(folder, alone, ("mask belongs", "masks belong"), told)
    told = "of two images; name each after its image's whole name: <class>/<name>.jpg.png"
    _refuse(folder, shared, ("mask is", "masks are"), told)
    _refuse(folder, double, ("image has two masks", "images have two masks"), "each; take one of them away")
    return {image: masks[0] for image, masks in found.items()}


def _owners(mask: str, by_name: dict[str, list[str]]) -> list[str]:
    suffix = Path(mask).suffix
    if suffix.lower() not in IMAGE_SUFFIXES:
        return []
    stem = mask.removesuffix(suffix)
    shorter = (stem[: -len(ending)] for ending in _ENDINGS if stem.lower().endswith(ending))
    return next((by_name[name] for name in (stem, *shorter) if name in by_name), [])


def _refuse(folder: Path, names: list[str], forms: tuple[str, str], why: str) -> None:
    if names:
        raise DataError(f"{folder}: {counted(len(names), *forms)} {why}: {first_three(names)}")
