"""iNatLoc500, from its two archives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

from wsolbench.acquire.choe_metadata import numbered_lines
from wsolbench.acquire.choe_splits import ChoeSplits
from wsolbench.acquire.official_boxes import OfficialBoxes
from wsolbench.acquire.pictures import Pictures
from wsolbench.acquire.sources import Archive, Sources
from wsolbench.data.dataset import SPLITS, Contents
from wsolbench.data.roots import RootedDataset
from wsolbench.errors import DataError

__all__ = ["INatLoc500"]

_ADDRESS = "https://ml-inat-competition-datasets.s3.amazonaws.com/inatloc"
_IMAGES = Archive(
    "iNatLoc.tar.gz",
    makes="images",
    how_to_get=f"Download {_ADDRESS}/iNatLoc.tar.gz (18.9 GB).",
    md5="f9394137ddbff3919fe805c6dd8f22cb",
    urls=(f"{_ADDRESS}/iNatLoc.tar.gz",),
    terms="each photograph keeps the licence of its observer, some of them non-commercial",
)
_LISTS = Archive(
    "metadata_choe.zip",
    makes="metadata",
    how_to_get=f"Download {_ADDRESS}/metadata_choe.zip (32 MB).",
    md5="5ae02339a005574b3c6757309e9872ed",
    urls=(f"{_ADDRESS}/metadata_choe.zip",),
)


class INatLoc500(RootedDataset):
    """500 species of iNaturalist with one checked box per image of ``val`` and ``test`` (Cole et al., ECCV 2022).

    About 138,000 images of iNat21 to train on, and 12,500 of iNat17 each for ``val`` and ``test``, split by the
    authors. Ids are paths below the images (``test/Actinopterygii/Cyprinus carpio/....jpg``); boxes ``x0, y0, x1, y1``
    are taken as written, and clipped to their image where they reach beyond it. (The authors' page gives another order
    of the columns than the files have.) What ``image_sizes.txt`` states first, height or width, differs between its
    page and its content; sizes come from the images.

    Source: E. Cole et al., On Label Granularity and Object Localization, ECCV 2022, arXiv 2207.10225; format and
    addresses from github.com/visipedia/inat_loc. The archives were not at hand when this was written: it was tried on
    made-up directories of that format only.

    Args:
        root: directory that holds the archives or what they unpack to (``images`` and ``metadata``); see
            :class:`wsolbench.data.roots.RootedDataset`.
        labels: ``species``, or a coarser level of the same images: what the paper is about.
    """

    title = "iNatLoc500"
    reference = "Cole et al., ECCV 2022, arXiv 2207.10225; photographs keep their observers' licences"
    traits: ClassVar[frozenset[str]] = frozenset({"boxes", "restricted"})
    how_to = (
        "It holds iNatLoc.tar.gz (18.9 GB) and metadata_choe.zip (32 MB), or nothing yet: they are downloaded then."
    )

    def __init__(
        self,
        root: str | None = None,
        labels: Literal["species", "genus", "family", "order", "class", "phylum", "kingdom"] = "species",
    ) -> None:
        super().__init__(root)
        self._suffix = "" if labels == "species" else f"_{labels}"

    def obtain(self, sources: Sources) -> None:
        """Unpack, or download, images and lists."""
        root = self.root()
        sources.provide(_LISTS, root)
        sources.provide(_IMAGES, root)

    def watched(self) -> Sequence[Path]:
        """Return the directory of images."""
        return self.below(_IMAGES.makes)

    def watched_truth(self) -> Sequence[Path]:
        """Return the directory of lists."""
        return self.below(_LISTS.makes)

    def contents(self, directory: Path) -> Contents:
        """Read the lists and decode every image once."""
        lists, official = self.root() / _LISTS.makes, OfficialBoxes()
        found = ChoeSplits(Pictures(self.image_root(directory)), official)
        for split in SPLITS:
            found.read(lists / split, split, labels=f"class_labels{self._suffix}.txt", sizes=False)
        official.check()
        names = _class_names(lists / f"class_names{self._suffix}.txt")
        return Contents(names, found.items, found.truth, official.clipped)

    def image_root(self, directory: Path) -> Path:
        """Return ``<root>/images``."""
        return self.root() / _IMAGES.makes


def _class_names(path: Path) -> list[str]:
    """Read lines ``name,label``, in any order.

    Raises:
        DataError: the file is missing, a line is malformed, or labels do not count from 0 on.
    """
    names: dict[str, str] = {}
    for number, line in numbered_lines(path):
        name, _, label = line.rpartition(",")
        if not name or label in names:
            raise DataError(f"{path}:{number}: expected a name and a label of its own, found '{line}'")
        names[label] = name
    labels = [str(label) for label in range(len(names))]
    if set(labels) != set(names):
        raise DataError(f"{path}: labels should be 0 to {len(names) - 1}; restore it from the data set")
    return [names[label] for label in labels]
