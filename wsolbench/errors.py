"""Errors whose text is meant for the person at the keyboard."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

__all__ = [
    "BusyError",
    "DataError",
    "DivergedError",
    "FailedTrialError",
    "InterruptedTrainingError",
    "LaunchError",
    "SearchError",
    "SettingsError",
    "StorageError",
    "TrainingError",
    "TruthError",
    "WeightsError",
    "WsolbenchError",
    "counted",
    "first_three",
    "nearest",
    "shortened",
]


class WsolbenchError(Exception):
    """Base of every error that the command line prints without a traceback.

    The message names the file, key or image at fault and says what to do about it.

    Attributes:
        exit_status: of the command line.
    """

    exit_status: int = 1


class SettingsError(WsolbenchError):
    """A value in ``params.yaml`` or on the command line is wrong."""


class DataError(WsolbenchError):
    """A data set is missing, incomplete or contradicts its index."""


class BusyError(WsolbenchError):
    """Another process holds what this one asks for."""


class LaunchError(WsolbenchError):
    """Runs cannot be started: DVC refuses, or another launch is at work."""


class SearchError(WsolbenchError):
    """A search cannot start or go on."""


class StorageError(WsolbenchError):
    """A file cannot be written: the disk is full or read-only, a limit is reached, or the user may not."""


class TrainingError(WsolbenchError):
    """A training cannot go on."""


class DivergedError(TrainingError):
    """A loss, a weight or a map is not finite."""


class FailedTrialError(WsolbenchError):
    """A trial's values cannot be trained with; it counts, without a percentage."""


class InterruptedTrainingError(WsolbenchError):
    """A training was asked to stop, and saved its state."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.exit_status = 128 + number


class TruthError(WsolbenchError):
    """Boxes or masks were asked of the weakly supervised split."""


class WeightsError(WsolbenchError):
    """A weight file is missing or is not the pinned one."""


def counted(number: int, one: str, several: str | None = None) -> str:
    """Return ``1 image``, ``2 images``: a number with the form of a noun, or of what follows, that agrees with it.

    Args:
        number: how many.
        one: form for one.
        several: form for any other number; None puts an ``s`` after that for one.
    """
    return f"{number} {one if number == 1 else several or f'{one}s'}"


def first_three(names: Sequence[str]) -> str:
    """Return the first three of some names, as one line; a dash for none."""
    return ", ".join([*names[:3], *(["..."] if len(names) > 3 else [])]) or "-"


def nearest(name: str, valid: Iterable[str]) -> str:
    """Return a hint that names the valid spelling closest to ``name``.

    Args:
        name: what was written.
        valid: what could have been written.

    Returns:
        ``"did you mean 'x'?"``, or the list of valid names when nothing is close.
    """
    choices = sorted(valid)
    close = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    return f"valid: {', '.join(choices)}" if choices else "nothing is valid here"


def shortened(text: str, most: int = 200) -> str:
    """Return a text of a user's or a library's in one line of at most ``most`` characters, for a message."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."
