"""Ranges of hyper-parameters, checked where a method is built."""

from __future__ import annotations

from wsolbench.errors import SettingsError

__all__ = ["above", "at_least", "between", "odd", "together"]


def above(name: str, value: float, low: float) -> float:
    """Return ``value`` if ``low < value`` and it is finite.

    Raises:
        SettingsError: it is not; the message names the argument.
    """
    if not low < value < float("inf"):
        raise SettingsError(f"{name} is {value}; it must be above {low:g} and finite")
    return value


def between(name: str, value: float, low: float, high: float) -> float:
    """Return ``value`` if ``low <= value <= high``.

    Raises:
        SettingsError: it is outside, or not a number; the message names the argument.
    """
    if not low <= value <= high:
        raise SettingsError(f"{name} is {value}; it must lie in [{low:g}, {high:g}]")
    return value


def at_least(name: str, value: int, low: int) -> int:
    """Return ``value`` if ``value >= low``.

    Raises:
        SettingsError: it is smaller; the message names the argument.
    """
    if value < low:
        raise SettingsError(f"{name} is {value}; it must be at least {low}")
    return value


def odd(name: str, value: int) -> int:
    """Return ``value`` if it is odd and positive.

    Raises:
        SettingsError: it is not; the message names the argument.
    """
    if value < 1 or value % 2 == 0:
        raise SettingsError(f"{name} is {value}; it must be odd and positive")
    return value


def together(name: str, given: bool, condition: str, holds: bool) -> None:
    """Check that an argument is given exactly where it has a meaning.

    Args:
        name: of the argument.
        given: whether it is not None.
        condition: when it has a meaning, in words.
        holds: whether that is so.

    Raises:
        SettingsError: it is given without, or missing with, a meaning.
    """
    if given and not holds:
        raise SettingsError(f"{name} has no effect unless {condition}; remove it")
    if holds and not given:
        raise SettingsError(f"{name} is needed because {condition}")
