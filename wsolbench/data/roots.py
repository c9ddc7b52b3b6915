"""Data sets whose files lie below one directory: a setting, or an environment variable where that is not stated."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from wsolbench.data.dataset import WsolDataset
from wsolbench.errors import DataError

__all__ = ["RootedDataset", "root_variable"]


def root_variable(key: str) -> str:
    """Return the environment variable of a data set: ``WSOLBENCH_<KEY>_ROOT``, hyphens as underscores."""
    return f"WSOLBENCH_{key.upper().replace('-', '_')}_ROOT"


class RootedDataset(WsolDataset):
    """A data set whose files lie below one directory of the user's.

    Attributes:
        how_to: what the directory holds or gets, for messages.
        is_published: whether all sets of this class are one published set, or parts of it, and may lie in one place.

    Args:
        root: the directory, relative to the working directory or absolute; None for that which an environment variable
            names (:func:`root_variable`): that of this data set's own key, or, of a published set, that of the class.
    """

    how_to: ClassVar[str]
    is_published: ClassVar[bool] = True

    def __init__(self, root: str | None) -> None:
        self._root = root

    def below(self, *names: str | Path) -> list[Path]:
        """Return paths below the directory, there or not; none where no directory is named."""
        named = self._named()
        return [] if named is None else [named / name for name in names]

    def root(self, *holding: str | Path) -> Path:
        """Return the directory, if it is there and holds what it should.

        Raises:
            DataError: none is named, it is no directory, or it does not hold one of these.
        """
        named, variable = self._named(), root_variable(self.key)
        cure = (
            f"Set datasets.{self.key}.root in params.yaml, or else the environment variable {variable}. {self.how_to}"
        )
        if named is None:
            raise DataError(f"where the images of {self.key} lie is not configured. {cure}")
        if not named.is_dir():
            raise DataError(f"{named}, the root of data set {self.key}, is not a directory. {cure}")
        for name in holding:
            if not (named / name).is_dir():
                raise DataError(f"{named} does not hold a directory {name}. {cure}")
        return named

    def watched(self) -> Sequence[Path]:
        """Return the directory, all of which holds images unless a class says otherwise."""
        return self.below(".")

    def image_root(self, directory: Path) -> Path:
        """Return the directory."""
        return self.root()

    def _named(self) -> Path | None:
        keys = [self.key, type(self).key] if self.is_published else [self.key]
        named = self._root or next(filter(None, (os.environ.get(root_variable(key)) for key in keys)), None)
        return Path(named).expanduser() if named else None
