"""Data sets of pictures in which several objects are annotated: from these to one class for each image."""

from __future__ import annotations

import logging
import re
from abc import abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from wsolbench.acquire.dealing import check_shares, deal_missing
from wsolbench.acquire.official_boxes import OfficialBoxes, check_sizes
from wsolbench.acquire.pictures import Pictures
from wsolbench.data.dataset import Contents, Item, SplitName, Truth
from wsolbench.data.masks import Mask, encode
from wsolbench.data.roots import RootedDataset
from wsolbench.errors import DataError, first_three

__all__ = ["AnnotatedDataset", "AnnotatedImage", "Thing", "split_in"]

_SPLIT = re.compile(r"(?<![a-z])(train|val|valid|validation|test)(?![a-z])")
_log = logging.getLogger("wsolbench.prepare")


def split_in(path: str) -> SplitName | None:
    """Return the split that a path names in words of its own, as ``instances_val2017.json`` and ``valid/a.xml`` do."""
    names: dict[str, SplitName] = {"train": "train", "test": "test"}
    found = {names.get(word, "val") for word in _SPLIT.findall(path.lower())}
    return found.pop() if len(found) == 1 else None


@dataclass(frozen=True)
class Thing:
    """One annotated object.

    Attributes:
        name: of its class.
        box: ``x0, y0, x1, y1`` in pixels of the picture, half-open.
        crowd: whether it is a group of objects of which none is told from the others.
    """

    name: str
    box: tuple[float, float, float, float]
    crowd: bool = False


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image and what is annotated in it.

    Attributes:
        path: of the image, below the data set's root; also its id.
        source: file that has the annotations, for messages.
        things: all objects.
        masks: returns the masks ``(H, W)`` of some of the things, by their places, None where they have none, and of
            what counts for neither side.
        size: width and height as stated; 0 where they are not.
        split: that a list or folder names.
    """

    path: str
    source: Path
    things: Sequence[Thing]
    masks: Callable[[Sequence[int], Item], tuple[Sequence[Mask] | None, Mask | None]]
    size: tuple[int, int] = (0, 0)
    split: SplitName | None = None

    def names(self) -> Collection[str]:
        """Return the classes of its single objects."""
        return {thing.name for thing in self.things if not thing.crowd}


class AnnotatedDataset(RootedDataset):
    """Images with any number of annotated objects, of which WSOL needs one class.

    An image of one class has that class; one of several is left out (``label: only``), or has the class of the object
    with the largest box (``largest``), whose objects alone are its truth then. Images without an object, or with
    groups (``iscrowd``) only, are left out. How many are, is said. Groups of the image's class count for neither side.

    Lists or folders say which image is for what; images that they do not name are left out. Without a ``test``, the
    images of ``val``, or else all, are dealt by :func:`wsolbench.acquire.dealing.deal`. Boxes that reach beyond their
    image are clipped to it. Classes are in the order of their names.

    Args:
        root: see the data set.
        label: ``only`` or ``largest``.
        test_share: of each class's images, where they are dealt; above 0, at most 1.
        val_share: likewise; 0 for no ``val``.
        orientation: see :class:`wsolbench.datasets.image_folder.ImageFolder`.

    Raises:
        SettingsError: the shares are none.
    """

    reference = "the user's own; the terms are those of the images"
    traits: ClassVar[frozenset[str]] = frozenset({"boxes", "masks"})
    is_published = False

    def __init__(
        self,
        root: str | None,
        label: Literal["only", "largest"],
        test_share: float,
        val_share: float,
        orientation: Literal["displayed", "raster"],
    ) -> None:
        super().__init__(root)
        check_shares(test_share, val_share)
        self._largest = label == "largest"
        self._shares = test_share, val_share
        self.orientation = orientation

    @abstractmethod
    def annotated(self, base: Path) -> list[AnnotatedImage]:
        """Return all images below the root.

        Raises:
            DataError: a file is missing or malformed; the message names it.
        """

    def why_beyond(self, boxes: NDArray[np.float64], sizes: NDArray[np.int_]) -> str:
        """Return why many boxes ``(n, 4)`` may reach beyond their images, of sizes ``(n, 2)``, and what to do."""
        del boxes, sizes
        return "they are not of these images, or these were resized: correct the boxes, or take the original files"

    def contents(self, directory: Path) -> Contents:
        """Read the annotations, choose a class for each image, and decode every image once.

        Raises:
            DataError: a file is missing or malformed, an image is missing, damaged or of another size, or a box or mask
                does not fit its image; the message names it.
        """
        base = self.root()
        labelled = self._labelled(base, self.annotated(base))
        class_names = sorted(set(labelled.values()))
        labels = {image.path: class_names.index(name) for image, name in labelled.items()}
        named = {image.path: image.split for image in labelled if image.split is not None}
        pictures = Pictures(base, self.key, displayed=self.orientation == "displayed")
        items = pictures.items(labels, deal_missing(named, labels, *self._shares))
        images = {image.path: image for image in labelled}
        check_sizes(base, [(item, images[item.id].size) for item in items], pictures.turned, tolerated=0)
        official = OfficialBoxes()
        # All annotations are checked, those of training images, too, which may be for testing by another share.
        found = {item.id: self._truth(images[item.id], class_names[item.label], item, official) for item in items}
        drawn = [(thing.box, item) for item in items for thing in images[item.id].things]
        boxes = np.array([box for box, _ in drawn], np.float64).reshape(-1, 4)
        official.check(self.why_beyond(boxes, np.array([(item.width, item.height) for _, item in drawn])))
        pictures.warn_of_orientation()
        truth = {item.id: found[item.id] for item in items if item.split != "train"}
        return Contents(class_names, items, truth, official.clipped)

    def _labelled(self, base: Path, images: Sequence[AnnotatedImage]) -> dict[AnnotatedImage, str]:
        """Return the images that are used, and their classes; say how many are not, and why."""
        if any(image.split for image in images):
            _warn_of_left_out("are in no list of a split", images, [image for image in images if image.split is None])
            images = [image for image in images if image.split is not None]
        _warn_of_left_out("have no object", images, [image for image in images if not image.names()])
        several = [image for image in images if len(image.names()) > 1]
        if not self._largest:
            _warn_of_left_out(
                f"have objects of several classes (datasets.{self.key}.label: largest would take them)", images, several
            )
        used = [image for image in images if len(image.names()) == 1 or (image.names() and self._largest)]
        if not used:
            raise DataError(f"{base}: none of {len(images)} annotated images can be used; see what was left out above")
        return {image: max((each for each in image.things if not each.crowd), key=_area).name for image in used}

    def _truth(self, image: AnnotatedImage, name: str, item: Item, official: OfficialBoxes) -> Truth:
        own = [place for place, each in enumerate(image.things) if each.name == name and not each.crowd]
        boxes = np.array([image.things[place].box for place in own], np.float64)
        truth = official.truth(boxes, item, str(image.source), "inside")
        masks, ignored = image.masks(own, item)
        for mask in [*(masks or ()), *([] if ignored is None else [ignored])]:
            if mask.shape != (item.height, item.width):
                raise DataError(
                    f"{image.source}: a mask of image '{item.id}' is {mask.shape[1]}x{mask.shape[0]} pixels, the image "
                    f"{item.width}x{item.height}; draw it on the image as it is read"
                )
        ignore = encode(ignored) if masks and ignored is not None and ignored.any() else None
        return replace(truth, masks=tuple(map(encode, masks or ())), ignore=ignore)


def _area(thing: Thing) -> float:
    x0, y0, x1, y1 = thing.box
    return (x1 - x0) * (y1 - y0)


def _warn_of_left_out(what: str, images: Sequence[AnnotatedImage], left_out: Sequence[AnnotatedImage]) -> None:
    if left_out:
        names = first_three([image.path for image in left_out])
        _log.warning("%d of %d images %s and are left out: %s", len(left_out), len(images), what, names)
