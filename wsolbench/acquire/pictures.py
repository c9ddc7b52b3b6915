"""Items of image files: opened once, and turned as they are displayed where a data set says so."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from wsolbench.acquire.inspection import ImageFacts, inspect_images
from wsolbench.data.boxes import Turned
from wsolbench.data.dataset import Item, SplitName
from wsolbench.data.images import turned_size
from wsolbench.errors import counted, first_three

__all__ = ["Pictures"]

_OTHER = {True: "raster", False: "displayed"}
_log = logging.getLogger("wsolbench.prepare")


@dataclass(frozen=True)
class Pictures:
    """Makes items of image files.

    Attributes:
        root: folder that paths are relative to.
        key: of the data set, for messages.
        displayed: whether pictures are turned by their EXIF orientation; without it they are as they are stored.
    """

    root: Path
    key: str = ""
    displayed: bool = False
    _oriented: dict[str, ImageFacts] = field(default_factory=dict)

    def items(
        self, labels: Mapping[str, int], splits: SplitName | Mapping[str, SplitName], paths: Sequence[str] = ()
    ) -> list[Item]:
        """Open images and return their items, by ids; paths are the ids where they are left out.

        Raises:
            DataError: images are missing or damaged; the first ones are named.
        """
        found, paths = [], paths or list(labels)
        for (name, label), path, fact in zip(labels.items(), paths, inspect_images(self.root, paths), strict=True):
            orientation = fact.orientation if self.displayed else 1
            width, height = turned_size(fact.width, fact.height, orientation)
            split = splits if isinstance(splits, str) else splits[name]
            found.append(Item(name, path, label, width, height, split, fact.sha256, orientation))
            if fact.orientation != 1:
                self._oriented[name] = fact
        return found

    @property
    def turned(self) -> Turned:
        """Which pictures fit another way under the other choice of their orientation."""
        lying = {name for name, fact in self._oriented.items() if turned_size(0, 1, fact.orientation) == (1, 0)}
        return Turned(frozenset(lying), f"datasets.{self.key}.orientation: {_OTHER[self.displayed]}")

    def warn_of_orientation(self) -> None:
        """Warn that images have an EXIF orientation, and of what is made of it."""
        if self._oriented:
            _log.warning(
                "%s an EXIF orientation (%s), taken %s; boxes and masks must fit that "
                "(datasets.%s.orientation: %s would be the other choice)",
                counted(len(self._oriented), "image has", "images have"),
                first_three(list(self._oriented)),
                "turned, as viewers display it" if self.displayed else "not turned",
                self.key,
                _OTHER[self.displayed],
            )
