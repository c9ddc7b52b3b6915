"""People's photographs: where they are, and how they are opened."""

from __future__ import annotations

import logging
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from wsolbench.data.folders import IMAGE_SUFFIXES, is_nameable, walk
from wsolbench.data.images import read_displayed
from wsolbench.errors import DataError

__all__ = ["ABOUT_FILE", "Photograph", "find_photographs", "open_photographs"]

ABOUT_FILE = "about-predictions.json"
"""In each folder of predictions: whose they are. Pictures in it are no photographs."""

_SHORTEST, _LONGEST = 320, 2048  # longer side in pixels of what is drawn on
_log = logging.getLogger("wsolbench.tools.predict")

# A photograph of 90 to 179 million pixels is large, but no attack; Pillow's warning names no file.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


@dataclass(frozen=True)
class Photograph:
    """A photograph, turned as viewers display it.

    Attributes:
        id: its path below the folder that all photographs share, with forward slashes.
        width: pixels, as is height.
        resized: ``(side, side, 3)`` uint8 RGB, what the network sees.
        shown: ``(h, w, 3)`` uint8 RGB to draw on: enlarged or shrunk until the longer side has 320 to 2048 pixels.
    """

    id: str
    width: int
    height: int
    resized: NDArray[np.uint8]
    shown: NDArray[np.uint8]

    @classmethod
    def of(cls, image: Image.Image, name: str, side: int) -> Photograph:
        """Make one of an RGB picture that is as it is displayed."""
        longer = max(image.size)
        scale = min(max(longer, _SHORTEST), _LONGEST) / longer
        size = (max(round(image.width * scale), 1), max(round(image.height * scale), 1))
        resized, shown = (
            np.asarray(image if image.size == to else image.resize(to, Image.Resampling.BILINEAR))
            for to in ((side, side), size)
        )
        return cls(name, image.width, image.height, resized, shown)


def find_photographs(sources: Sequence[Path]) -> tuple[Path, list[str], list[str]]:
    """List photographs: files as they are, directories with all images below them.

    Links are followed, each directory once; folders of predictions are passed over. How many files of directories are
    no images by their suffix is logged.

    Returns:
        A folder; paths of photographs below it, sorted, each once; and a sentence about each that cannot be named, and
        each source that does not exist.

    Raises:
        DataError: there is no image in any of the sources.
    """
    absent = [f"{_printable(source)} does not exist" for source in sources if not os.path.lexists(source)]
    found: set[Path] = set()
    others: Counter[str] = Counter()
    for source in sources:
        if source.is_dir():
            for name in _leave_out_predictions(walk(source)):
                path = source.resolve() / name  # a link keeps its own name: what it leads to may lie anywhere
                if path.suffix.lower() in IMAGE_SUFFIXES:
                    found.add(path)
                else:
                    others[path.suffix.lower() or "without suffix"] += 1
        elif os.path.lexists(source):
            found.add(source.parent.resolve() / source.name)
    passed = ", ".join(f"{count} {suffix}" for suffix, count in sorted(others.items()))
    if not found and absent:
        raise DataError(f"no images: {', '.join(absent)}")
    if not found:
        raise DataError(
            f"no images ({', '.join(sorted(IMAGE_SUFFIXES))}) in {', '.join(map(_printable, sources))}"
            + (f"; other files there: {passed}" if passed else "")
        )
    if passed:
        _log.info("passed over, because their suffix is no image's: %s", ascii(passed).strip("'\""))
    bad = {path for path in found if not is_nameable(str(path))}
    root = Path(os.path.commonpath([path.parent for path in found]))
    if len(sources) == 1 and sources[0].is_dir():
        root = sources[0].resolve()
    skipped = [f"{_printable(path)}: its name is not UTF-8; rename it" for path in sorted(bad)]
    return root, sorted(path.relative_to(root).as_posix() for path in found - bad), [*absent, *skipped]


def open_photographs(
    root: Path, names: Sequence[str], side: int, batch: int, threads: int
) -> Iterator[list[Photograph | str]]:
    """Yield batches of opened photographs below ``root``, in order; a sentence in place of each that cannot be opened.

    The next batch is opened, by some threads, while the caller works on one. The network sees ``side`` pixels.
    """
    blocks = [names[start : start + batch] for start in range(0, len(names), batch)]
    with ThreadPoolExecutor(threads) as pool:
        coming: list[list[Future[Photograph | str]]] = []
        for block in blocks:
            coming.append([pool.submit(_open, root, name, side) for name in block])
            if len(coming) > 1:
                yield [future.result() for future in coming.pop(0)]
        for futures in coming:
            yield [future.result() for future in futures]


def _leave_out_predictions(names: Sequence[str]) -> list[str]:
    folders = tuple(name.removesuffix(ABOUT_FILE) for name in names if f"/{name}".endswith(f"/{ABOUT_FILE}"))
    for folder in folders:
        _log.info("passed over, because they are predictions: %s", ascii(folder or "."))
    return [name for name in names if not name.startswith(folders)]


def _open(root: Path, name: str, side: int) -> Photograph | str:
    try:
        return Photograph.of(read_displayed(root / name), name, side)
    except DataError as error:
        return str(error)


def _printable(path: Path) -> str:
    """Return a path as text that can be printed, whatever bytes its name has."""
    return str(path) if is_nameable(str(path)) else ascii(str(path))
