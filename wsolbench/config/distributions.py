"""Distributions over a method's constructor arguments, declared next to the method.

They say what a search may try; which trials are made, on what they are judged, and how many there are is the same for
all methods and no business of theirs. A distribution takes a number of [0, 1) to a value, so that whoever draws the
number decides what a draw depends on.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Strict

from wsolbench.errors import SettingsError

__all__ = ["CHOE2020", "OURS", "Choice", "Distribution", "LogUniform", "Uniform", "space"]

CHOE2020 = "Choe et al., CVPR 2020"
OURS = "ours"


@dataclass(frozen=True)
class _Interval:
    low: float
    high: float
    source: str = OURS

    def __post_init__(self) -> None:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise SettingsError(
                f"{type(self).__name__}: low is {self.low:g} and high is {self.high:g}; both must be finite, and low "
                "below high"
            )

    def __contains__(self, value: object) -> bool:
        return isinstance(value, int | float) and self.low <= value <= self.high


@dataclass(frozen=True)
class Uniform(_Interval):
    """Real numbers, all of the interval alike.

    Attributes:
        low: smallest value, finite.
        high: largest value, finite, above ``low``.
        source: who published this range, or ``"ours"``.

    Raises:
        SettingsError: the interval is empty or not finite.
    """

    kind: Literal["uniform"] = "uniform"

    def at(self, share: float) -> float:
        """Return ``low + share * (high - low)`` for a share in [0, 1)."""
        return min(self.low + share * (self.high - self.low), self.high)

    def __str__(self) -> str:
        return f"uniform {self.low:g} to {self.high:g} ({self.source})"


@dataclass(frozen=True)
class LogUniform(_Interval):
    """Positive real numbers, all orders of magnitude alike; with the attributes of :class:`Uniform`.

    Raises:
        SettingsError: the interval is empty, not finite or not positive.
    """

    kind: Literal["log"] = "log"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.low <= 0:
            raise SettingsError(f"LogUniform: low is {self.low:g}; it must be above 0")

    def at(self, share: float) -> float:
        """Return ``exp(log(low) + share * (log(high) - log(low)))`` for a share in [0, 1)."""
        value = math.exp(math.log(self.low) + share * (math.log(self.high) - math.log(self.low)))
        return min(max(value, self.low), self.high)  # the logarithm rounds

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

    values: Annotated[tuple[Any, ...], Strict(strict=False)]  # a list, where it was read from JSON
    source: str = OURS
    kind: Literal["choice"] = "choice"

    def __post_init__(self) -> None:
        if not self.values:
            raise SettingsError("Choice: there must be at least one value")
        if any(value in self.values[:place] for place, value in enumerate(self.values)):
            raise SettingsError(f"Choice: a value stands twice in {self.values}")

    def at(self, share: float) -> Any:
        """Return value ``floor(share * n)`` of the n values for a share in [0, 1)."""
        return self.values[int(share * len(self.values))]

    def __contains__(self, value: object) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return f"one of {', '.join(map(str, self.values))} ({self.source})"


Distribution: TypeAlias = Uniform | LogUniform | Choice


def space(**distributions: Distribution) -> Mapping[str, Distribution]:
    """Return a read-only search space over the named constructor arguments."""
    return MappingProxyType(distributions)
