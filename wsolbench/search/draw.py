"""What a trial tries: a function of (seed, track, method, trial's number) and of nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from wsolbench.config.distributions import Distribution

__all__ = ["ARGUMENT", "RECIPE", "draw"]

ARGUMENT, RECIPE = "args.", "train."
"""Prefixes of a parameter's name: an argument of the method's constructor, or a field of the track's recipe."""


def draw(space: Mapping[str, Distribution], seed: int, track: str, method: str, number: int) -> dict[str, Any]:
    """Draw the values of a trial, by name, as JSON and ``params.yaml`` hold them (lists for tuples).

    Each parameter has a random number of its own: the first 53 bits of the SHA-256 of (seed, track, method, name,
    number) as a fraction in [0, 1), which the distribution's ``at`` takes to a value. So a parameter more leaves the
    draws of the others as they were, and neither order, processes nor versions of libraries matter. Fields of the
    recipe leave the method out: trial 7 tries the same learning rate for every method of a track. Names begin with
    :data:`ARGUMENT` or :data:`RECIPE`, and ``number`` counts trials from 0.
    """
    found = {}
    for name, distribution in space.items():
        share = _share(seed, track, "" if name.startswith(RECIPE) else method, name, number)
        found[name] = json.loads(json.dumps(distribution.at(share)))
    return found


def _share(*key: int | str) -> float:
    digest = hashlib.sha256(json.dumps(["search", *key]).encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / 2**53
