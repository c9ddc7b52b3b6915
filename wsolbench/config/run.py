"""One run, as ``params.yaml`` defines it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wsolbench.config.recipe import MethodOnTrack, Track

__all__ = ["Run"]


@dataclass(frozen=True)
class Run:
    """One training (or baseline) with everything that defines it.

    Attributes:
        key: ``<track>-<method>-<seed>``, the stem of its result files.
        track_name: key of ``tracks``.
        method: key of ``methods``, or of a baseline.
        seed: of data order, augmentation, initialisation and dropout.
        track: the recipe with the method's overrides applied.
        on_track: the method's merged constructor arguments and whose recipe it is.
        variant_of: the method that this one is a variant of.
        title: what a variant adds to that method's title.
        reads: the method whose run a read-out reads.
    """

    key: str
    track_name: str
    method: str
    seed: int
    track: Track
    on_track: MethodOnTrack
    variant_of: str | None = None
    title: str | None = None
    reads: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for ``run.yaml`` and digests."""
        method = {"name": self.method, **self.on_track.model_dump(exclude={"train"})}
        if self.variant_of is not None:
            method |= {"variant_of": self.variant_of, "variant_title": self.title}
        if self.reads is not None:
            method["reads"] = self.reads
        return {
            "key": self.key,
            "track": {"name": self.track_name, **self.track.model_dump()},
            "method": method,
            "seed": self.seed,
        }

    @property
    def block(self) -> str:
        """The key of ``methods`` whose block says its arguments."""
        return self.method.removesuffix(f"_of_{self.reads}")

    @property
    def component(self) -> str:
        """The file in ``methods`` (or of a baseline) that defines its class."""
        return self.variant_of or self.block

    @property
    def read_key(self) -> str:
        """The key of the run that a read-out reads."""
        return f"{self.track_name}-{self.reads}-{self.seed}"
