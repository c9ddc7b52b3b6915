"""Where a data set's files lie: a setting, or an environment variable that takes precedence."""

from __future__ import annotations

import os
from pathlib import Path

from wsolbench.errors import DataError

__all__ = ["configured_root", "existing_root"]


def configured_root(root: str | None, variable: str) -> Path | None:
    """Return the directory that the variable or the setting names, there or not; None if neither does."""
    named = os.environ.get(variable) or root
    return Path(named).expanduser() if named else None


def existing_root(root: str | None, variable: str, what: str, how_to: str) -> Path:
    """Return the directory that the variable or the setting names.

    Args:
        root: the setting.
        variable: name of the environment variable.
        what: "the images of ...", for the message.
        how_to: what to do, for the message.

    Raises:
        DataError: nothing is named, or what is named is no directory.
    """
    found = configured_root(root, variable)
    if found is None:
        raise DataError(f"{what} are not configured. {how_to}")
    if not found.is_dir():
        raise DataError(f"{found} is not a directory; make it, or correct the name. {how_to}")
    return found
