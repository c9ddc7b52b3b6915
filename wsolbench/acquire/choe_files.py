"""Size and digest of the split and box files of Choe et al., as they are at one commit of their repository.

The files are theirs: boxes and class labels CC-BY-2.0 NAVER Corp., OpenImages annotations CC-BY-4.0 Google LLC.
"""

from __future__ import annotations

from importlib.resources import files

__all__ = ["BASE", "CHOE_FILES", "NAMES_BASE", "NAMES_FILE", "NAMES_SIZE"]

BASE = "https://raw.githubusercontent.com/clovaai/wsolevaluation/96f4b88679af41f005824661f47e6fe3628af2aa"
"""Address of that commit."""

CHOE_FILES: dict[str, tuple[int | None, str | None]] = {
    f"metadata/{path}": (None, None) if size == "-" else (int(size), digest)
    for path, size, digest in map(str.split, files(__package__).joinpath("choe_files.txt").read_text().splitlines())
}
"""Bytes and sha256 by path below :data:`BASE`; None where neither is published: BASE pins the commit."""

NAMES_FILE = "mapping.txt"
"""Lines ``0/0.jpeg, 0/<digest>.jpeg``: the files of ImageNetV2 were renamed after the lists had been made."""
NAMES_BASE = "https://raw.githubusercontent.com/clovaai/wsolevaluation/e9972606b18064ea886f098f2b5b29b9ade75f09"
"""Address of the later commit that has it, in ``metadata/ILSVRC/val``."""
NAMES_SIZE = 617_800
"""Bytes of it; no digest was at hand."""
