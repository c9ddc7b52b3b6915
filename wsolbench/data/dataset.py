"""The contract between a data set and the harness, and what the harness reads of it.

A data set is one file in ``datasets/`` with one subclass of :class:`WsolDataset`. ``wsolbench prepare`` asks it once
for its :class:`Contents` and writes them as an index (:mod:`wsolbench.data.index`); everything later reads the index
through :class:`Split`, and pictures through the data set's :meth:`WsolDataset.image_root`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.masks import Mask, decode
from wsolbench.errors import DataError, TruthError

if TYPE_CHECKING:
    from wsolbench.acquire.sources import Sources

__all__ = ["SPLITS", "Contents", "Item", "Split", "SplitName", "Truth", "WsolDataset"]

SplitName = Literal["train", "val", "test"]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


@dataclass(frozen=True)
class Item:
    """One image.

    Attributes:
        id: name that is unique in the data set, as the literature's split files spell it.
        path: file below the data set's image root, with forward slashes.
        label: class, from 0.
        width: pixels of the picture, as it is turned by ``orientation``.
        height: likewise.
        split: ``train`` (labels only), ``val`` (thresholds, selection, search) or ``test`` (report only).
        sha256: hex digest of the file; filled in by ``prepare`` where a data set leaves it empty.
        orientation: EXIF orientation by which the stored raster is turned, 1 to 8; 1 leaves it as it is.
    """

    id: str
    path: str
    label: int
    width: int
    height: int
    split: SplitName
    sha256: str = ""
    orientation: int = 1


@dataclass(frozen=True)
class Truth:
    """Where the object is.

    Attributes:
        boxes: ``(n, 4)`` float64 ``x0, y0, x1, y1`` in pixels of the picture (:class:`Item`), half-open: a box that
            covers the whole image is ``0, 0, width, height``.
        masks: one code per object (:func:`wsolbench.data.masks.encode`), of any size with the picture's aspect. Empty
            where the data set has boxes only.
        ignore: code of the pixels that count for neither side, or None.
        published: ``(n, 4)`` the same boxes as Choe et al. (CVPR 2020) list them, or None where those are ``boxes``.
    """

    boxes: NDArray[np.float64]
    masks: tuple[str, ...] = ()
    ignore: str | None = None
    published: NDArray[np.float64] | None = None

    @property
    def choe2020_boxes(self) -> NDArray[np.float64]:
        """The boxes that the box protocol ``choe2020`` scores against, ``(n, 4)``; every other use takes ``boxes``."""
        return self.boxes if self.published is None else self.published

    def object_masks(self) -> list[Mask]:
        """Return the masks ``(H, W)`` of the objects; they may differ in size.

        Raises:
            DataError: a code is damaged.
        """
        return [decode(code) for code in self.masks]

    def ignored(self) -> Mask | None:
        """Return the mask ``(H, W)`` of what counts for neither side, or None."""
        return None if self.ignore is None else decode(self.ignore)


@dataclass(frozen=True)
class Contents:
    """All that a data set consists of.

    Attributes:
        class_names: name of each class, by label.
        items: every image of every split.
        truth: boxes and masks by image id, for ``val`` and ``test`` only.
        clipped: how many of the boxes reached beyond their image as they were annotated.
    """

    class_names: Sequence[str]
    items: Sequence[Item]
    truth: Mapping[str, Truth]
    clipped: int = 0


class WsolDataset(ABC):
    """A data set; the signature of its constructor is the schema of ``datasets.<key>`` in ``params.yaml``.

    What the constructor refuses, it names by its argument; the harness adds the key.

    Attributes:
        key: of ``datasets`` in ``params.yaml``: the stem of the class's file, or any other with that as its ``of``.
        title: name in tables.
        reference: where the data come from, and their terms.
        orientation: ``raster``: pixels are those of the stored file, whatever its EXIF says, as the annotations of the
            published sets want it; or ``displayed``.
        traits: ``"boxes"`` and/or ``"masks"``: what truth it has; ``"embedded"`` if it is generated;
            ``"restricted"`` if its photographs may not be passed on, so that results show none.
    """

    key: str
    title: ClassVar[str]
    reference: ClassVar[str]
    traits: ClassVar[frozenset[str]]
    orientation: Literal["displayed", "raster"] = "raster"

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.key = cls.__module__.rpartition(".")[2]

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether a directory is laid out as this data set's is; ``wsolbench new dataset`` asks all of them."""
        del root
        return False

    @classmethod
    def lacks(cls, root: Path) -> str:
        """Return what keeps a directory that nearly looks like this data set from being one; "" if nothing is alike."""
        del root
        return ""

    def obtain(self, sources: Sources) -> None:  # noqa: B027 - optional
        """Put in place what the data set consists of: unpack archives that are there, download what may be downloaded.

        Called once before :meth:`contents`; a data set that has nothing to obtain leaves it as it is.

        Raises:
            DataError: something is missing, and the message says which file, from where, to put where; or an archive
                is not the published one.
        """

    def watched(self) -> Sequence[Path]:
        """Return the directories outside the repository that the images lie in, there or not.

        Each ``dvc repro`` looks whether images were added, removed or renamed, by the times of directories; what an
        image file holds is checked whenever it is read. Nothing for a generated set.
        """
        return ()

    def watched_truth(self) -> Sequence[Path]:
        """Return the files that labels and truth are read from, there or not, and directories for all files below.

        Each ``dvc repro`` looks whether any of them has changed, by their times and sizes. Nothing for a generated set.
        """
        return ()

    @abstractmethod
    def contents(self, directory: Path) -> Contents:
        """Read (or, for a generated set, make) the data set.

        Args:
            directory: where a generated set writes its files; other sets leave it alone.

        Raises:
            DataError: files are missing, unreadable or contradictory; the message names the first ones.
        """

    @abstractmethod
    def image_root(self, directory: Path) -> Path:
        """Return the folder that item and mask paths are relative to.

        Args:
            directory: the prepared directory, as given to :meth:`contents`.

        Raises:
            DataError: the folder is not configured or not there; the message says how to set it.
        """


@dataclass(frozen=True)
class Split:
    """One split of a prepared data set.

    Attributes:
        name: which split.
        items: its images, in index order.
        class_names: names of all classes of the data set.
        digest: sha256 over the whole index: changes when any image, label or split changes.
        val_truth: ``gt``, or what stands for the truth of ``val`` instead.
        truth_digest: sha256 of all truth that scoring reads (boxes, masks, what is ignored), of ``val`` and ``test``
            together; empty where the truth was not read.
    """

    name: SplitName
    items: Sequence[Item]
    class_names: Sequence[str]
    digest: str
    _truth: Mapping[str, Truth] = field(default_factory=dict, repr=False)
    val_truth: str = "gt"
    truth_digest: str = ""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def num_classes(self) -> int:
        """Number of classes of the data set (not only of those that occur in the split)."""
        return len(self.class_names)

    def truth(self, image_id: str) -> Truth:
        """Return boxes and mask of an image of ``val`` or ``test``.

        Raises:
            TruthError: the split is ``train``, which is weakly supervised.
            DataError: the image has no truth in the index.
        """
        if self.name == "train":
            raise TruthError(
                f"truth of '{image_id}' was asked for, but 'train' is weakly supervised: its boxes and "
                "masks are out of reach. Use 'val' for thresholds, model selection and search."
            )
        try:
            return self._truth[image_id]
        except KeyError:
            raise DataError(f"image '{image_id}' of split '{self.name}' has no truth in the index") from None
