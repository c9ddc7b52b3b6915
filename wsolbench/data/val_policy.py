"""How much of ``val`` there is, and whose truth it has: settings that every data set takes, next to its own."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from wsolbench.data.index import file_sha256
from wsolbench.dataset import Contents, Item, Truth
from wsolbench.errors import DataError
from wsolbench.schema import StrictModel, validated

__all__ = ["GROUND_TRUTH", "ValPolicy", "divided_arguments"]

GROUND_TRUTH = "gt"
_COLUMNS = ["id", "x0", "y0", "x1", "y1"]


class ValPolicy(StrictModel):
    """What is made of a data set's ``val``.

    Attributes:
        val_truth: ``gt``, or a CSV file with the header ``id,x0,y0,x1,y1`` whose boxes (half-open, pixels, one or more
            lines per image) stand for the true ones, so that no box label is used anywhere before ``test`` (Murtaza et
            al., A Realistic Protocol for Evaluation of WSOL, WACV 2025, arXiv 2404.10034).
        val_per_class: images of each class that are kept, None for all: those with the lowest sha256 of seed and id.
        val_seed: of that choice.
    """

    val_truth: str = GROUND_TRUTH
    val_per_class: Annotated[int, Field(ge=1)] | None = None
    val_seed: Annotated[int, Field(ge=0)] = 0

    @property
    def truth_name(self) -> str:
        """``gt``, or what tells a file of boxes from another."""
        if self.val_truth == GROUND_TRUTH:
            return GROUND_TRUTH
        path = Path(self.val_truth).expanduser()
        return f"boxes of {path.name} (sha256 {file_sha256(path)[:12]})"

    def applied(self, contents: Contents) -> Contents:
        """Return the contents with the wanted part of ``val`` and its wanted truth.

        Raises:
            DataError: a class has too few images, or the file of boxes is missing, malformed, or of other images.
        """
        if self.val_per_class is not None:
            contents = _fewer(contents, self.val_per_class, self.val_seed)
        if self.val_truth == GROUND_TRUTH:
            return contents
        return _pseudo(contents, Path(self.val_truth).expanduser())


def divided_arguments(block: Mapping[str, Any], where: str) -> tuple[ValPolicy, dict[str, Any]]:
    """Divide ``datasets.<key>`` into what the harness takes and what the data set's constructor takes.

    Raises:
        SettingsError: a value is mistyped.
    """
    ours = {name: value for name, value in block.items() if name in ValPolicy.model_fields}
    rest = {name: value for name, value in block.items() if name not in ours}
    return validated(ValPolicy, ours, where), rest


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
            raise DataError(f"val_per_class: class '{name}' has {len(ranked)} val images, fewer than {count}")
        kept |= {each.item.id for each in sorted(ranked, key=lambda each: each.digest)[:count]}
    items = [item for item in contents.items if item.split != "val" or item.id in kept]
    ids = {item.id for item in items}
    return replace(contents, items=items, truth={name: truth for name, truth in contents.truth.items() if name in ids})


def _pseudo(contents: Contents, path: Path) -> Contents:
    boxes: dict[str, list[list[float]]] = {item.id: [] for item in contents.items if item.split == "val"}
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            if reader.fieldnames != _COLUMNS:
                raise DataError(f"{path}: the header must be {','.join(_COLUMNS)}, not {reader.fieldnames}")
            for number, row in enumerate(reader, start=2):
                if row["id"] not in boxes:
                    raise DataError(f"{path}:{number}: image '{row['id']}' is not in val")
                boxes[row["id"]].append([float(row[name]) for name in _COLUMNS[1:]])
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"val_truth: {path} cannot be read ({error})") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{path}: a box must be four numbers ({error})") from None
    missing = [name for name, found in boxes.items() if not found]
    if missing:
        raise DataError(f"{path}: {len(missing)} images of val have no box, among them '{missing[0]}'")
    truth = {name: Truth(np.array(found, np.float64)) for name, found in boxes.items()}
    return replace(contents, truth={**contents.truth, **truth})
