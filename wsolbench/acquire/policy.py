"""Which part of a data set is used, and what is made of its truth: settings that every set takes, next to its own."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wsolbench.acquire.sources import Sources
from wsolbench.config.schema import StrictModel, validated, validated_arguments
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import Contents, Item, Truth
from wsolbench.data.masks import tight_box
from wsolbench.data.tables import read_boxes
from wsolbench.errors import DataError, counted, nearest
from wsolbench.files import file_sha256

__all__ = ["COMMON_KEYS", "GROUND_TRUTH", "Policy", "dataset_arguments", "policy_and_sources"]

GROUND_TRUTH = "gt"
_NUMBERED = re.compile(r"\d+\.")  # as CUB's classes are


class Policy(StrictModel):
    """The part of a data set that is used, and what is made of its truth.

    ``classes``, ``per_class`` and ``fraction`` may be combined, and are applied in this order, before all others. Of
    the classes that remain, labels count from 0 on, in the order of the whole set: the class layer of a pretrained
    classifier does not fit them. Which images are kept depends on their ids and a seed alone: those of each class and
    split with the lowest sha256 of seed and id.

    Attributes:
        classes: names of the classes to keep, as the data set has them, or without their numbers
            (``Black_footed_Albatross`` for ``001.Black_footed_Albatross``); None for all.
        per_class: images of each class that are kept in each split, where it has more.
        fraction: share of the images of each class that are kept in each split, rounded up.
        seed: of these choices; a generated set draws its pictures by it, too.
        boxes: ``given``, or ``masks``: ``val`` and ``test`` get one box tight around each mask in place of any boxes
            that the data set gives.
        val_truth: ``gt``, or a CSV file with the header ``id,x0,y0,x1,y1`` whose boxes (half-open, pixels, one or more
            lines per image) stand for the true ones, so that no box label is used anywhere before ``test`` (Murtaza et
            al., A Realistic Protocol for Evaluation of WSOL, WACV 2025, arXiv 2404.10034).
        val_per_class: images of each class that ``val`` keeps, and must have; None for all.
        val_seed: of that choice.
    """

    classes: Annotated[list[str], Field(min_length=1)] | None = None
    per_class: Annotated[int, Field(ge=1)] | None = None
    fraction: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=0)] = 0
    boxes: Literal["given", "masks"] = "given"
    val_truth: str = GROUND_TRUTH
    val_per_class: Annotated[int, Field(ge=1)] | None = None
    val_seed: Annotated[int, Field(ge=0)] = 0

    @property
    def truth_name(self) -> str:
        """``gt``, or what tells a file of boxes from another.

        Raises:
            DataError: the file of boxes is missing.
        """
        if self.val_truth == GROUND_TRUTH:
            return GROUND_TRUTH
        path, cure = Path(self.val_truth).expanduser(), "restore it, or name another as val_truth"
        return f"boxes of {path.name} (sha256 {file_sha256(path, cure)[:12]})"

    def applied(self, contents: Contents) -> Contents:
        """Return the wanted part of a data set, with the wanted truth.

        Raises:
            DataError: there is no such class, a class has too few images, a mask that a box is wanted of is empty, or
                the file of boxes is missing, malformed, or of other images.
        """
        if self.classes is not None:
            contents = _of_classes(contents, self.classes)
        if self.per_class is not None:
            most = self.per_class
            contents = _kept(contents, contents.items, lambda _, count: min(count, most), self.seed)
        if self.fraction is not None:
            share = self.fraction
            contents = _kept(contents, contents.items, lambda _, count: math.ceil(count * share), self.seed)
        if self.boxes == "masks":
            contents = _boxed(contents)
        if self.val_per_class is not None:
            contents = _fewer_of_val(contents, self.val_per_class, self.val_seed)
        if self.val_truth == GROUND_TRUTH:
            return contents
        return _pseudo(contents, Path(self.val_truth).expanduser())


COMMON_KEYS = frozenset({"of", *Policy.model_fields, *Sources.model_fields})
"""Keys that the block of every data set may have next to its constructor's arguments."""


def policy_and_sources(settings: Settings, name: str) -> tuple[Policy, Sources]:
    """Return what ``datasets.<name>`` says of the part that is used, and of where files may be got from.

    Raises:
        SettingsError: a value is mistyped.
    """
    block, where = settings.datasets.get(name, {}), f"datasets.{name}"
    policy, sources = ({key: block[key] for key in block.keys() & each.model_fields} for each in (Policy, Sources))
    return validated(Policy, policy, where), validated(Sources, sources, where)


def dataset_arguments(settings: Settings, name: str, *, complete: bool = False) -> dict[str, Any]:
    """Return the arguments in ``datasets.<name>``: all that is not common, or that the constructor names itself.

    Raises:
        SettingsError: an argument does not fit the constructor of the data set's class.
    """
    block, component = settings.datasets.get(name, {}), settings.dataset_class(name)
    own = signature(component).parameters
    chosen = {key: value for key, value in block.items() if key not in COMMON_KEYS or key in own}
    return validated_arguments(component, chosen, f"datasets.{name}", complete=complete, beside=COMMON_KEYS)


def _of_classes(contents: Contents, names: Iterable[str]) -> Contents:
    """Return the images of some classes, whose labels are their places among these."""
    known = {_NUMBERED.sub("", name, count=1): label for label, name in enumerate(contents.class_names)}
    known |= {name: label for label, name in enumerate(contents.class_names)}
    for name in names:
        if name not in known:
            raise DataError(f"classes: '{name}' is no class of this data set; {nearest(name, contents.class_names)}")
    kept = sorted({known[name] for name in names})
    items = [replace(item, label=kept.index(item.label)) for item in contents.items if item.label in kept]
    return _only(replace(contents, class_names=[contents.class_names[label] for label in kept]), items)


def _kept(contents: Contents, items: Iterable[Item], count: Callable[[Item, int], int], seed: int) -> Contents:
    """Return as many of each class and split of ``items`` as ``count`` says of one and their number; and all others."""
    groups: dict[tuple[str, int], list[Item]] = {}
    for item in items:
        groups.setdefault((item.split, item.label), []).append(item)
    dropped: set[str] = set()
    for group in groups.values():
        ranked = sorted(group, key=lambda item: hashlib.sha256(f"{seed}:{item.id}".encode()).digest())
        dropped |= {item.id for item in ranked[count(group[0], len(group)) :]}
    return _only(contents, [item for item in contents.items if item.id not in dropped])


def _fewer_of_val(contents: Contents, wanted: int, seed: int) -> Contents:
    def count(item: Item, found: int) -> int:
        if found < wanted:
            name = contents.class_names[item.label]
            raise DataError(f"val_per_class: class '{name}' has {counted(found, 'val image')}, fewer than {wanted}")
        return wanted

    return _kept(contents, [item for item in contents.items if item.split == "val"], count, seed)


def _only(contents: Contents, items: list[Item]) -> Contents:
    ids = {item.id for item in items}
    return replace(contents, items=items, truth={name: truth for name, truth in contents.truth.items() if name in ids})


def _boxed(contents: Contents) -> Contents:
    if not any(truth.masks for truth in contents.truth.values()):
        raise DataError("boxes: masks needs a data set with masks, and this one has none; take given")
    truth = {
        item.id: replace(found, boxes=_boxes_around(item, found), published=None)
        for item in contents.items
        if (found := contents.truth.get(item.id)) is not None
    }
    return replace(contents, truth=truth)


def _boxes_around(item: Item, truth: Truth) -> NDArray[np.float64]:
    """Return the tightest box around each mask, ``(n, 4)``, in pixels of the image; masks may be of another size."""
    boxes = np.zeros((len(truth.masks), 4))
    for place, mask in enumerate(truth.object_masks()):
        if not mask.any():
            raise DataError(f"a mask of image '{item.id}' is empty, so that there is no box around it")
        across, down = item.width / mask.shape[1], item.height / mask.shape[0]
        boxes[place] = np.array(tight_box(mask)) * [across, down, across, down]
    return boxes


def _pseudo(contents: Contents, path: Path) -> Contents:
    ids = [item.id for item in contents.items if item.split == "val"]
    boxes = read_boxes(path, set(ids), "val")
    missing = [name for name in ids if name not in boxes]
    if missing:
        what = counted(len(missing), "image of val has", "images of val have")
        raise DataError(f"{path}: {what} no box, among them '{missing[0]}'")
    return replace(contents, truth={**contents.truth, **{name: Truth(found) for name, found in boxes.items()}})
