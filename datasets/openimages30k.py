"""OpenImages30k, from the directory as the scripts of Choe et al. unpack it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from wsolbench.acquire.choe_metadata import Entry, read_metadata
from wsolbench.acquire.inspection import inspect_images
from wsolbench.acquire.mask_checks import check_masks
from wsolbench.acquire.sources import Sources
from wsolbench.data.dataset import Contents, Item, SplitName, Truth, WsolDataset
from wsolbench.data.images import summarised
from wsolbench.data.roots import configured_root, existing_root
from wsolbench.errors import DataError

__all__ = ["ROOT_VARIABLE", "OpenImages30k"]

ROOT_VARIABLE = "WSOLBENCH_OPENIMAGES30K_ROOT"

_PARTS = ("OpenImages", "metadata/OpenImages")
_HOW_TO = (
    "Download the images and masks of OpenImages30k (addresses in the README of clovaai/wsolevaluation; no checksum "
    "was ever published) and unpack them so that one directory holds OpenImages/{train,val,test}/<class>/*.jpg with "
    "the masks (*.png) beside the images. Then name it in datasets.openimages30k.root of params.yaml or in the "
    f"environment variable {ROOT_VARIABLE}. The lists, metadata/OpenImages/{{train,val,test}}/*.txt, are "
    "downloaded into it."
)


class OpenImages30k(WsolDataset):
    """100 classes of OpenImages V5 with instance masks, chosen and split by Choe et al. (CVPR 2020, arXiv 2001.07437).

    ``train`` has 29,819 images, ``val`` 2,500 and ``test`` 5,000; an image of the latter two has one mask per object of
    its class and, mostly, a region to ignore (other objects of the class, grouped ones). There are no boxes: what is
    measured are pixels. Ids are paths below ``OpenImages`` (``test/0663v/000cc62f167d9fa4.jpg``). Its
    ``image_sizes.txt`` is empty; sizes come from the images.

    Source: Benenson, Popov and Ferrari, CVPR 2019, arXiv 1903.10830 (masks).

    Args:
        root: directory that holds ``OpenImages`` and ``metadata/OpenImages``, relative to the working directory or
            absolute; the environment variable ``WSOLBENCH_OPENIMAGES30K_ROOT`` takes precedence.
        train: ``full``, or ``none`` to evaluate a pretrained classifier only.
        val: ``full``, or ``none``: no threshold can be chosen on it then.
    """

    title = "OpenImages30k"
    reference = "Choe et al., CVPR 2020, arXiv 2001.07437; annotations CC BY 4.0"
    traits: ClassVar[frozenset[str]] = frozenset({"masks"})

    def __init__(
        self, root: str | None = None, train: Literal["full", "none"] = "full", val: Literal["full", "none"] = "full"
    ) -> None:
        self._root = root
        taken: dict[SplitName, bool] = {"train": train == "full", "val": val == "full", "test": True}
        self._splits = [split for split, wanted in taken.items() if wanted]

    def obtain(self, sources: Sources) -> None:
        """Download Choe et al.'s lists where they are not there.

        Raises:
            DataError: the images are not there, or a list cannot be downloaded or is not the published one.
        """
        root = self._configured()
        for split in self._splits:
            sources.lists("OpenImages", split, root / "metadata" / "OpenImages" / split)

    def watched_truth(self) -> Sequence[Path]:
        """Return the directories of images, beside which the masks lie, and of lists."""
        root = configured_root(self._root, ROOT_VARIABLE)
        return () if root is None else [root / part / split for part in _PARTS for split in self._splits]

    def contents(self, directory: Path) -> Contents:
        """Read the lists and decode every image and mask once.

        Raises:
            DataError: a file is missing or malformed, an image or mask is missing or damaged, or an image of ``val`` or
                ``test`` has no mask; the message names it.
        """
        base = self._base()
        root = base / "OpenImages"
        items: list[Item] = []
        truth: dict[str, Truth] = {}
        names: dict[int, str] = {}
        for split in self._splits:
            entries = read_metadata(base / "metadata" / "OpenImages" / split)
            facts = inspect_images(root, list(entries))
            for entry, fact in zip(entries.values(), facts, strict=True):
                items.append(Item(entry.id, entry.id, entry.label, fact.width, fact.height, split, sha256=fact.sha256))
                _name(names, entry)
            if split != "train":
                bare = [name for name, entry in entries.items() if not entry.masks]
                if bare:
                    raise DataError(f"localization.txt has no mask for {len(bare)} images:\n{summarised(bare)}")
                nothing = next(iter(entries.values())).boxes
                truth |= {entry.id: Truth(nothing, entry.masks, entry.ignore) for entry in entries.values()}
        check_masks(root, items, truth)
        return Contents([names.get(label, str(label)) for label in range(max(names, default=-1) + 1)], items, truth)

    def image_root(self, directory: Path) -> Path:
        """Return ``<root>/OpenImages``.

        Raises:
            DataError: no root is set, or it does not hold the directory.
        """
        return self._base() / "OpenImages"

    def _configured(self) -> Path:
        root = existing_root(self._root, ROOT_VARIABLE, "the images of OpenImages30k", _HOW_TO)
        if not (root / "OpenImages").is_dir():
            raise DataError(f"{root} does not hold a directory OpenImages. {_HOW_TO}")
        return root

    def _base(self) -> Path:
        root = self._configured()
        if not (root / "metadata" / "OpenImages").is_dir():
            raise DataError(f"{root} does not hold a directory metadata/OpenImages. {_HOW_TO}")
        return root


def _name(names: dict[int, str], entry: Entry) -> None:
    """Name a class by its images' folder: a machine id of OpenImages."""
    folder = Path(entry.id).parent.name
    if names.setdefault(entry.label, folder) != folder:
        raise DataError(f"image '{entry.id}': label {entry.label} belongs to folder {names[entry.label]}, not {folder}")
