"""Where the files of a data set come from: archives that the user has, or addresses that may be downloaded from."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from wsolbench.acquire.download import fetch, verify
from wsolbench.acquire.unpack import unpack
from wsolbench.config.schema import StrictModel
from wsolbench.errors import DataError

__all__ = ["BASE", "CHOE_FILES", "NAMES_BASE", "NAMES_FILE", "NAMES_SIZE", "Archive", "Sources"]

_log = logging.getLogger("wsolbench.prepare")

_CHOE = "https://raw.githubusercontent.com/clovaai/wsolevaluation/"
BASE = f"{_CHOE}96f4b88679af41f005824661f47e6fe3628af2aa"
CHOE_FILES: dict[str, tuple[int | None, str | None]] = {
    f"metadata/{path}": (None, None) if size == "-" else (int(size), digest)
    for path, size, digest in map(str.split, files(__package__).joinpath("choe_files.txt").read_text().splitlines())
}
"""Bytes and sha256 of the lists of Choe et al. at one commit; None where neither is published, and the commit counts.

Boxes and class labels CC-BY-2.0 NAVER Corp., OpenImages annotations CC-BY-4.0 Google LLC.
"""

NAMES_FILE = "mapping.txt"
"""Lines ``0/0.jpeg, 0/<digest>.jpeg``: the files of ImageNetV2 were renamed after the lists had been made."""
NAMES_BASE = f"{_CHOE}e9972606b18064ea886f098f2b5b29b9ade75f09"  # a later commit that has it; no digest was at hand
NAMES_SIZE = 617_800


@dataclass(frozen=True)
class Archive:
    """One archive of a data set, as its authors distribute it.

    Attributes:
        file: its name.
        makes: directory below the data set's root that it becomes; where that is, the archive is not needed any more.
        how_to_get: one sentence for those who have to get it by hand.
        inner: the directory in it that becomes ``makes``; None for all that is in it, less a top directory that holds
            everything.
        nested: whether it is a tar of tars.
        size: bytes, where published.
        sha256: hex digest, where published.
        md5: hex digest, where published.
        urls: addresses that it may be fetched from without an account, the first that answers being taken.
        terms: what one may not do with it.
    """

    file: str
    makes: str
    how_to_get: str
    inner: str | None = None
    nested: bool = False
    size: int | None = None
    sha256: str | None = None
    md5: str | None = None
    urls: Sequence[str] = ()
    terms: str = ""


class Sources(StrictModel):
    """Where a data set may be got from: settings that every data set takes, next to its own.

    Attributes:
        download: whether files that may be downloaded are, where the root of the data set has neither them nor their
            archive.
        mirrors: addresses that are tried first, by the archive's file name; for the lists of Choe et al. the address
            below which ``metadata/...`` lies, under the name ``wsolevaluation``.
    """

    LISTS: ClassVar[str] = "wsolevaluation"

    download: bool = True
    mirrors: dict[str, str | list[str]] = Field(default_factory=dict)

    def provide(self, archive: Archive, root: Path) -> Path:
        """Return the directory that an archive becomes, unpacking it, or fetching it first, where need be.

        Raises:
            DataError: there is neither directory nor archive and it cannot be downloaded, with what to do; or the
                archive is not the published one, with both values.
        """
        target, packed = root / archive.makes, root / archive.file
        if target.is_dir():
            return target
        if packed.is_file():
            wrong = verify(packed, size=archive.size, sha256=archive.sha256, md5=archive.md5)
            if wrong:
                raise DataError(f"{packed} {wrong}: it is not the published file; remove it, or get it again")
        else:
            self._fetch(archive, packed)
        if not (archive.size or archive.sha256 or archive.md5):
            _log.info("%s: no checksum was ever published; it is taken as it is", archive.file)
        unpack(packed, target, inner=archive.inner, nested=archive.nested)
        _log.info("%s is unpacked to %s; the archive is not needed any more", archive.file, target)
        return target

    def lists(self, name: str, split: str, directory: Path) -> None:
        """Fetch Choe et al.'s lists of a split to ``directory``, as far as they are not there.

        What is there is taken as it is, so that a user may have lists of their own.

        Raises:
            DataError: a file is missing and cannot be fetched, or is not the published one.
        """
        wanted = {
            directory / Path(path).name: path for path in CHOE_FILES if path.startswith(f"metadata/{name}/{split}/")
        }
        # The list of ids comes last: where it is, so are the others.
        ids = next(target for target in wanted if target.stem.startswith("image_ids"))
        if ids.is_file():
            return
        for target in (*(target for target in wanted if target != ids), ids):
            self._fetch_list(wanted[target], target, BASE, *CHOE_FILES[wanted[target]])

    def imagenetv2_names(self, directory: Path) -> None:
        """Fetch the list of the former and present names of ImageNetV2's files to ``directory``, unless it is there.

        Raises:
            DataError: it cannot be fetched, or is not the published one.
        """
        if not (directory / NAMES_FILE).is_file():
            path = f"metadata/ILSVRC/val/{NAMES_FILE}"
            self._fetch_list(path, directory / NAMES_FILE, NAMES_BASE, NAMES_SIZE, None)

    def _fetch_list(self, path: str, target: Path, base: str, size: int | None, sha256: str | None) -> None:
        if not self.download:
            raise DataError(f"{target} is missing, and download is false; get {path} of {base}")
        bases = [*_listed(self.mirrors.get(self.LISTS, ())), base]
        fetch([f"{each.rstrip('/')}/{path}" for each in bases], target, size=size, sha256=sha256)

    def _fetch(self, archive: Archive, packed: Path) -> None:
        urls = [*_listed(self.mirrors.get(archive.file, ())), *archive.urls]
        by_hand = f"{archive.how_to_get} Put it into {packed.parent}, as it is or unpacked as {archive.makes}."
        if not urls or not self.download:
            raise DataError(f"{packed.parent} has neither {archive.makes} nor {archive.file}. {by_hand}")
        if archive.terms:
            _log.warning("downloading %s; its terms: %s", archive.file, archive.terms)
        try:
            fetch(urls, packed, size=archive.size, sha256=archive.sha256, md5=archive.md5)
        except DataError as error:
            raise DataError(f"{error}\n{by_hand}") from None


def _listed(addresses: str | Sequence[str]) -> Sequence[str]:
    return [addresses] if isinstance(addresses, str) else addresses
