"""Anybody's maps as files: found by the names of their images, and read in bounded memory."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from wsolbench.data.dataset import Split
from wsolbench.data.folders import files_below
from wsolbench.data.images import summarised
from wsolbench.errors import DataError, counted, first_three
from wsolbench.evaluation.protocols import SIDE
from wsolbench.files import open_regular, reason
from wsolbench.runs.progress import track

__all__ = ["MapFile", "check_maps", "find_maps"]

_SUFFIXES = (".npy", ".npz")
_MOST_VALUES = 2**25  # of a map, 5792 x 5792: a small file must not unpack to gigabytes
_MOST_BYTES = 8 * _MOST_VALUES
_READERS = 4  # maps in memory at a time
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


@dataclass(frozen=True)
class MapFile:
    """One map on disk.

    Attributes:
        path: ``.npy``, or ``.npz`` with one array.
        image: id of its image.
        as_they_are: whether it must be on the grid and in [0, 1] already.
    """

    path: Path
    image: str
    as_they_are: bool

    def read(self) -> NDArray[np.floating[Any]]:
        """Return the map as it is stored, ``(h, w)`` float64.

        Raises:
            DataError: the file is damaged, too large, or not one 2-D array of finite numbers; file and image are named.
        """
        where = f"{self.path} (image '{self.image}')"
        with open_regular(self.path, f"image '{self.image}' needs a file of numpy.save or numpy.savez") as file:
            try:
                loaded = _from_archive(file, where) if file.read(2) == b"PK" else _from_npy(file, where)
            except DataError:
                raise
            except Exception as error:  # noqa: BLE001 - of numpy, zipfile and what decompresses
                raise DataError(
                    f"{where} cannot be read ({reason(error)}); write it again with numpy.save or numpy.savez"
                ) from None
        return self._checked(loaded, where)

    def _checked(self, found: NDArray[Any], where: str) -> NDArray[np.floating[Any]]:
        if found.ndim == 3 and (found.shape[0] == 1) != (found.shape[-1] == 1):
            found = found[0] if found.shape[0] == 1 else found[..., 0]
        if found.ndim != 2 or 0 in found.shape:
            raise DataError(
                f"{where}: a map must be two-dimensional (rows, columns), or that with one channel first or last, not "
                f"of shape {found.shape}"
            )
        if found.dtype.kind not in "fiub":
            raise DataError(f"{where}: a map must hold real numbers, not {found.dtype}")
        with np.errstate(invalid="ignore"):  # a NaN that signals
            values = found.astype(np.float64)
        if not np.isfinite(values).all():
            raise DataError(f"{where}: the map holds a NaN or an infinite value")
        if self.as_they_are and (values.shape != (SIDE, SIDE) or values.min() < 0 or values.max() > 1):
            raise DataError(
                f"{where}: to be scored as it is, a map must be {SIDE}x{SIDE} and lie in [0, 1]; this one is "
                f"{values.shape[0]}x{values.shape[1]} and spans {values.min()} to {values.max()}"
            )
        return values


def _from_archive(file: IO[bytes], where: str) -> NDArray[Any]:
    with ZipFile(file) as archive:
        names = archive.namelist()
        if len(names) != 1:
            raise DataError(f"{where} holds {len(names)} arrays; it must hold one map")
        with archive.open(names[0]) as member:
            return _from_npy(member, where)


def _from_npy(file: IO[bytes], where: str) -> NDArray[Any]:
    """Read an array; what its header announces is checked before any memory is taken for it."""
    file.seek(0)
    version = np.lib.format.read_magic(file)
    if version not in _HEADERS:
        raise ValueError(f"version {version} of the format")
    shape, by_columns, dtype = _HEADERS[version](file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    count = prod(shape)
    if count > _MOST_VALUES or count * dtype.itemsize > _MOST_BYTES:
        raise DataError(
            f"{where}: an array of shape {shape} and type {dtype} is too large for a map, which has "
            f"{_MOST_VALUES} values at most"
        )
    content = file.read(count * dtype.itemsize)
    if len(content) < count * dtype.itemsize:
        raise ValueError(f"it ends after {len(content)} of {count * dtype.itemsize} bytes")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")


def check_maps(files: Sequence[MapFile]) -> None:
    """Read all maps once, before any is scored.

    Raises:
        DataError: maps are damaged, too large or no maps; says how many, and names the first ten with what is wrong.
    """

    def problem(file: MapFile) -> str | None:
        try:
            file.read()
        except DataError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(_READERS) as pool:
        found = list(track(pool.map(problem, files), "checking maps", len(files), "maps"))
    bad = [sentence for sentence in found if sentence]
    if len(bad) == 1:
        raise DataError(bad[0])
    if bad:
        raise DataError(f"{len(bad)} of {len(files)} maps cannot be scored:\n{summarised(bad)}")


def find_maps(folder: Path, split: Split, *, as_they_are: bool = False) -> list[MapFile]:
    """Find the file of every image of a split.

    The map of image ``a/b.jpg`` is ``a/b.jpg.npy``, as the reference harness writes it, or ``a/b.npy``, as its README
    says; ``.npz`` with one array serves as well, upper case too. Links are followed.

    Raises:
        DataError: an image has no file or two, or a file no image or two; the first ones are named.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a directory of maps")
    files: dict[str, list[str]] = {}
    for name in files_below(folder):
        if Path(name).suffix.lower() in _SUFFIXES:
            files.setdefault(name[: -len(_SUFFIXES[0])], []).append(name)
    found: dict[str, list[str]] = {}
    owners: dict[str, list[str]] = {}
    for item in split.items:
        stems = dict.fromkeys((item.id, item.id.removesuffix(Path(item.id).suffix)))
        found[item.id] = [name for stem in stems for name in files.get(stem, [])]
        for name in found[item.id]:
            owners.setdefault(name, []).append(item.id)
    missing = [image for image, names in found.items() if not names]
    if missing:
        raise DataError(
            f"{folder}: {len(missing)} of {len(split)} images of split '{split.name}' have no map. A map of image "
            f"'{missing[0]}' is looked for as '{missing[0]}.npy'. Missing: {first_three(missing)}"
        )
    double = [" and ".join(names) for names in found.values() if len(names) > 1]
    if double:
        raise DataError(
            f"{folder}: {len(double)} images have more than one map; remove all but one: {first_three(double)}"
        )
    shared = [f"{name} of {' and '.join(images)}" for name, images in owners.items() if len(images) > 1]
    if shared:
        raise DataError(
            f"{folder}: {len(shared)} maps would be those of two images each; name a map after its image's whole name, "
            f"<name>.jpg.npy: {first_three(shared)}"
        )
    extra = sorted(name for names in files.values() for name in names if name not in owners)
    if extra:
        what = counted(len(extra), "file is", "files are")
        raise DataError(f"{folder}: {what} of no image of split '{split.name}': {first_three(extra)}")
    return [MapFile(folder / names[0], image, as_they_are) for image, names in found.items()]
