"""Splits that lists of Choe et al. describe: images, classes, sizes, boxes and masks, checked against the images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from wsolbench.acquire.choe_metadata import read_labels, read_list, read_metadata
from wsolbench.acquire.mask_checks import MaskFiles
from wsolbench.acquire.official_boxes import TOLERATED, OfficialBoxes, check_sizes
from wsolbench.acquire.pictures import Pictures
from wsolbench.data.dataset import Item, SplitName, Truth

__all__ = ["ChoeSplits"]


@dataclass(frozen=True)
class ChoeSplits:
    """Reads splits one after the other, and decodes each of their images once.

    Attributes:
        pictures: where the images are.
        official: clips boxes to their images; None keeps them as written.
        items: images so far, in the order of their lists.
        truth: boxes of ``val`` and ``test`` by image id.
        masks: mask files of ``val`` and ``test`` by image id.
    """

    pictures: Pictures
    official: OfficialBoxes | None = None
    items: list[Item] = field(default_factory=list)
    truth: dict[str, Truth] = field(default_factory=dict)
    masks: dict[str, MaskFiles] = field(default_factory=dict)

    def read(
        self,
        directory: Path,
        split: SplitName,
        *,
        labels: str = "class_labels.txt",
        sizes: bool = True,
        tolerated: float = TOLERATED,
        path: Callable[[str], str] = str,
    ) -> list[Item]:
        """Add a split from its directory of lists, and return its images; of ``train``, only ids and labels are read.

        ``path`` returns an image's file below the folder of images, by its id; ``tolerated`` is the share of images
        that may have another size than their list states.

        Raises:
            DataError: see :func:`read_metadata`, :func:`check_sizes`, :class:`Pictures` and :class:`OfficialBoxes`.
        """
        if split == "train":
            found = self.pictures.items(read_labels(directory / labels, read_list(directory / "image_ids.txt")), split)
            self.items.extend(found)
            return found
        entries = read_metadata(directory, labels=labels, sizes=sizes)
        known = {name: entry.label for name, entry in entries.items()}
        found = self.pictures.items(known, split, [path(name) for name in entries])
        stated = [(item, (entries[item.id].width, entries[item.id].height)) for item in found]
        check_sizes(directory / "image_sizes.txt", stated, self.pictures.turned, tolerated)
        self.items.extend(found)
        source = directory / "localization.txt"
        for item in found:
            boxes, masks, ignore = entries[item.id].boxes, entries[item.id].masks, entries[item.id].ignore
            self.truth[item.id] = Truth(boxes) if self.official is None else self.official.truth(boxes, item, source)
            self.masks[item.id] = MaskFiles(masks, ignore)
        return found
