"""OpenImages30k, from the directory as the scripts of Choe et al. unpack it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from wsolbench.acquire.choe_splits import ChoeSplits
from wsolbench.acquire.mask_checks import with_masks
from wsolbench.acquire.pictures import Pictures
from wsolbench.acquire.sources import Sources
from wsolbench.data.dataset import Contents, Item, SplitName
from wsolbench.data.images import summarised
from wsolbench.data.roots import RootedDataset
from wsolbench.errors import DataError, counted

__all__ = ["OpenImages30k"]

_IMAGES, _LISTS = "OpenImages", "metadata/OpenImages"


class OpenImages30k(RootedDataset):
    """100 classes of OpenImages V5 with instance masks, chosen and split by Choe et al. (CVPR 2020, arXiv 2001.07437).

    ``train`` has 29,819 images, ``val`` 2,500 and ``test`` 5,000; an image of the latter two has one mask per object of
    its class and, mostly, a region to ignore (other objects of the class, grouped ones). There are no boxes: what is
    measured are pixels. Ids are paths below ``OpenImages`` (``test/0663v/000cc62f167d9fa4.jpg``). Its
    ``image_sizes.txt`` is empty; sizes come from the images.

    Source: Benenson, Popov and Ferrari, CVPR 2019, arXiv 1903.10830 (masks).

    Args:
        root: directory that holds ``OpenImages`` and ``metadata/OpenImages``; see
            :class:`wsolbench.data.roots.RootedDataset`.
        train: ``full``, or ``none`` to evaluate a pretrained classifier only.
        val: ``full``, or ``none``: no threshold can be chosen on it then.
    """

    title = "OpenImages30k"
    reference = "Choe et al., CVPR 2020, arXiv 2001.07437; annotations CC BY 4.0"
    traits: ClassVar[frozenset[str]] = frozenset({"masks", "restricted"})
    how_to = (
        "Download the images and masks of OpenImages30k (addresses in the README of clovaai/wsolevaluation; no "
        "checksum was ever published) and unpack them so that it holds OpenImages/{train,val,test}/<class>/*.jpg with "
        "the masks (*.png) beside the images. The lists, metadata/OpenImages/{train,val,test}/*.txt, are downloaded "
        "into it."
    )

    def __init__(
        self, root: str | None = None, train: Literal["full", "none"] = "full", val: Literal["full", "none"] = "full"
    ) -> None:
        super().__init__(root)
        taken: dict[SplitName, bool] = {"train": train == "full", "val": val == "full", "test": True}
        self._splits = [split for split, wanted in taken.items() if wanted]

    def obtain(self, sources: Sources) -> None:
        """Download Choe et al.'s lists where they are not there."""
        root = self.root(_IMAGES)
        for split in self._splits:
            sources.lists("OpenImages", split, root / _LISTS / split)

    def watched_truth(self) -> Sequence[Path]:
        """Return the directories of images, beside which the masks lie, and of lists."""
        return self.below(*(f"{part}/{split}" for part in (_IMAGES, _LISTS) for split in self._splits))

    def contents(self, directory: Path) -> Contents:
        """Read the lists and decode every image and mask once."""
        base = self.root(_IMAGES, _LISTS)
        found, names = ChoeSplits(Pictures(base / _IMAGES)), dict[int, str]()
        for split in self._splits:
            for item in found.read(base / _LISTS / split, split):
                _name(names, item)
        bare = [name for name, files in found.masks.items() if not files.masks]
        if bare:
            raise DataError(f"localization.txt has no mask for {counted(len(bare), 'image')}:\n{summarised(bare)}")
        class_names = [names.get(label, str(label)) for label in range(max(names, default=-1) + 1)]
        return Contents(
            class_names, found.items, with_masks(found.pictures.root, found.items, found.truth, found.masks)
        )

    def image_root(self, directory: Path) -> Path:
        """Return ``<root>/OpenImages``."""
        return self.root(_IMAGES, _LISTS) / _IMAGES

    @classmethod
    def recognises(cls, root: Path) -> bool:
        """Return whether there is a folder of images."""
        return (root / _IMAGES / "test").is_dir()


def _name(names: dict[int, str], item: Item) -> None:
    """Name a class by its images' folder: a machine id of OpenImages."""
    folder = Path(item.id).parent.name
    if names.setdefault(item.label, folder) != folder:
        raise DataError(f"image '{item.id}': label {item.label} belongs to folder {names[item.label]}, not {folder}")
