"""Where generated files lie, and how they are written: whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

__all__ = [
    "ImageKind",
    "classes_path",
    "comparison_path",
    "costs_path",
    "page_path",
    "picture_path",
    "ranks_path",
    "ranks_picture_path",
    "summary_path",
    "table_path",
    "write_all",
]

ImageKind = Literal["svg", "png"]


def table_path(root: Path, track: str, suffix: str) -> Path:
    """Return the table of a track: ``csv``, ``md`` or ``tex``."""
    return root / "results" / "tables" / f"{track}.{suffix}"


def classes_path(root: Path, track: str) -> Path:
    """Return the table of a track's classes."""
    return root / "results" / "tables" / f"{track}_classes.csv"


def costs_path(root: Path, track: str) -> Path:
    """Return the table of what a track's methods cost."""
    return root / "results" / "tables" / f"{track}_costs.csv"


def picture_path(root: Path, track: str, name: str) -> Path:
    """Return a picture of a track by its file name."""
    return root / "results" / "plots" / track / name


def summary_path(root: Path, suffix: str) -> Path:
    """Return the summary over tracks: ``csv`` or ``md``."""
    return root / "results" / f"summary.{suffix}"


def comparison_path(root: Path, suffix: str) -> Path:
    """Return published numbers beside ours: ``csv`` or ``md``."""
    return root / "results" / f"comparison.{suffix}"


def ranks_path(root: Path) -> Path:
    """Return the mean ranks over tracks."""
    return root / "results" / "ranks.csv"


def ranks_picture_path(root: Path, kind: ImageKind) -> Path:
    """Return the critical-difference diagram over tracks."""
    return root / "results" / "plots" / f"critical_difference.{kind}"


def page_path(root: Path) -> Path:
    """Return the page over all tracks."""
    return root / "results" / "report.html"


def write_all(files: Mapping[Path, bytes]) -> None:
    """Write files, each under a temporary name first, so that a reader never sees half of one."""
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        temporary.write_bytes(content)
        temporary.replace(path)
