"""Distributions over a method's constructor arguments, declared next to the method.

They say what a search may try; which trials are made, on what they are judged, and how many there are is the same for
all methods and no business of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

from wsolbench.errors import SettingsError

__all__ = ["CHOE2020", "OURS", "Choice", "Distribution", "LogUniform", "Uniform", "sample", "space"]

CHOE2020 = "Choe et al., CVPR 2020"
OURS = "ours"


@dataclass(frozen=True)
class Uniform:
    """Real numbers, all of the interval alike.

    Attributes:
        low: smallest value, finite.
        high: largest value, finite, above ``low``.
        source: who published this range, or ``"ours"``.

    Raises:
        SettingsError: the interval is empty or not finite.
    """

    low: float
    high: float
    source: str = OURS

    def __post_init__(self) -> None:
        _check_interval(type(self).__name__, self.low, self.high)

    def sample(self, generator: np.random.Generator) -> float:
        """Draw one value."""
        return float(generator.uniform(self.low, self.high))

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"uniform {self.low:g} to {self.high:g} ({self.source})"


@dataclass(frozen=True)
class LogUniform:
    """Positive real numbers, all orders of magnitude alike.

    Attributes:
        low: smallest value, above 0.
        high: largest value, finite, above ``low``.
        source: who published this range, or ``"ours"``.

    Raises:
        SettingsError: the interval is empty, not finite or not positive.
    """

    low: float
    high: float
    source: str = OURS

    def __post_init__(self) -> None:
        _check_interval(type(self).__name__, self.low, self.high)
        if self.low <= 0:
            raise SettingsError(f"LogUniform: low is {self.low:g}; it must be above 0")

    def sample(self, generator: np.random.Generator) -> float:
        """Draw one value."""
        drawn = math.exp(generator.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)  # the logarithm rounds

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"log-uniform {self.low:g} to {self.high:g} ({self.source})"


@dataclass(frozen=True)
class Choice:
    """One of some values, all with the same probability.

    Attributes:
        values: as the constructor takes them (a tuple where it takes a tuple).
        source: who published these values, or ``"ours"``.

    Raises:
        SettingsError: there is no value, or one stands twice.
    """

    values: tuple[Any, ...]
    source: str = OURS

    def __post_init__(self) -> None:
        if not self.values:
            raise SettingsError("Choice: there must be at least one value")
        if len(set(self.values)) != len(self.values):
            raise SettingsError(f"Choice: a value stands twice in {self.values}")

    def sample(self, generator: np.random.Generator) -> Any:
        """Draw one value."""
        return self.values[int(generator.integers(len(self.values)))]

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))} ({self.source})"


Distribution: TypeAlias = Uniform | LogUniform | Choice


def space(**distributions: Distribution) -> Mapping[str, Distribution]:
    """Return a read-only search space over the named constructor arguments."""
    return MappingProxyType(distributions)


def sample(search_space: Mapping[str, Distribution], generator: np.random.Generator) -> dict[str, Any]:
    """Draw every argument of a search space once, independently, in the order in which they are declared."""
    return {name: distribution.sample(generator) for name, distribution in search_space.items()}


def _check_interval(kind: str, low: float, high: float) -> None:
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise SettingsError(f"{kind}: low is {low:g} and high is {high:g}; both must be finite, and low below high")
