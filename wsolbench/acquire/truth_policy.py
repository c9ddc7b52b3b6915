"""What is made of the truth, and how much of ``val`` there is: settings that every data set takes, next to its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from wsolbench.acquire.sources import Sources
from wsolbench.config.schema import StrictModel, validated
from wsolbench.data.dataset import Contents, Item, Truth
from wsolbench.data.masks import tight_box
from wsolbench.data.tables import read_boxes
from wsolbench.errors import DataError, counted
from wsolbench.files import file_sha256

__all__ = ["COMMON_KEYS", "GROUND_TRUTH", "Divided", "TruthPolicy", "divided"]

GROUND_TRUTH = "gt"


class TruthPolicy(StrictModel):
    """What is made of a data set's truth, and of its ``val``.

    Attributes:
        boxes: ``given``, or ``masks``: ``val`` and ``test`` get one box tight around each mask in place of any boxes
            that the data set gives.
        val_truth: ``gt``, or a CSV file with the header ``id,x0,y0,x1,y1`` whose boxes (half-open, pixels, one or more
            lines per image) stand for the true ones, so that no box label is used anywhere before ``test`` (Murtaza et
            al., A Realistic Protocol for Evaluation of WSOL, WACV 2025, arXiv 2404.10034).
        val_per_class: images of each class that are kept, None for all: those with the lowest sha256 of seed and id.
        val_seed: of that choice.
    """

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
        """Return the contents with the wanted boxes, and the wanted part of ``val`` with its wanted truth.

        Raises:
            DataError: a class has too few images, or the file of boxes is missing, malformed, or of other images; or a
                mask that a box is wanted of is empty.
        """
        if self.boxes == "masks":
            contents = _boxed(contents)
        if self.val_per_class is not None:
            contents = _fewer(contents, self.val_per_class, self.val_seed)
        if self.val_truth == GROUND_TRUTH:
            return contents
        return _pseudo(contents, Path(self.val_truth).expanduser())


COMMON_KEYS = frozenset({"of", *TruthPolicy.model_fields, *Sources.model_fields})
"""Keys that the block of every data set may have next to its constructor's arguments."""


@dataclass(frozen=True)
class Divided:
    """A block of ``datasets`` by who takes what.

    Attributes:
        policy: what is made of the truth.
        sources: where files may be got from.
        arguments: of the data set's constructor.
    """

    policy: TruthPolicy
    sources: Sources
    arguments: dict[str, Any]


def divided(block: Mapping[str, Any], where: str) -> Divided:
    """Divide ``datasets.<key>`` into what the harness takes (``of``, the class, too) and what its constructor takes.

    Raises:
        SettingsError: a value is mistyped.
    """
    policy, sources = (
        {name: value for name, value in block.items() if name in model.model_fields} for model in (TruthPolicy, Sources)
    )
    rest = {name: value for name, value in block.items() if name not in COMMON_KEYS}
    return Divided(validated(TruthPolicy, policy, where), validated(Sources, sources, where), rest)


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


@dataclass(frozen=True)
class _Ranked:
    item: Item
    digest: bytes


def _fewer(contents: Contents, count: int, seed: int) -> Contents:
    by_class: dict[int, list[_Ranked]] = {}
    for item in contents.items:
        if item.split == "val":
            digest = hashlib.sha256(f"{seed}:{item.id}".encode()).digest()
            by_class.setdefault(item.label, []).append(_Ranked(item, digest))
    kept = set()
    for label, ranked in by_class.items():
        if len(ranked) < count:
            name = contents.class_names[label]
            raise DataError(
                f"val_per_class: class '{name}' has {counted(len(ranked), 'val image')}, fewer than {count}"
            )
        kept |= {each.item.id for each in sorted(ranked, key=lambda each: each.digest)[:count]}
    items = [item for item in contents.items if item.split != "val" or item.id in kept]
    ids = {item.id for item in items}
    return replace(contents, items=items, truth={name: truth for name, truth in contents.truth.items() if name in ids})


def _pseudo(contents: Contents, path: Path) -> Contents:
    ids = [item.id for item in contents.items if item.split == "val"]
    boxes = read_boxes(path, set(ids), "val")
    missing = [name for name in ids if name not in boxes]
    if missing:
        what = counted(len(missing), "image of val has", "images of val have")
        raise DataError(f"{path}: {what} no box, among them '{missing[0]}'")
    return replace(contents, truth={**contents.truth, **{name: Truth(found) for name, found in boxes.items()}})
