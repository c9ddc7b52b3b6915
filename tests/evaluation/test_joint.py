"""One component tree for all normalisations and protocols gives what each gives by itself."""

from __future__ import annotations

import numpy as np
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from tests.evaluation.alone import choe2020, pixel
from wsolbench.data.scoremaps import upsample
from wsolbench.evaluation.boxes import Candidates, candidates
from wsolbench.evaluation.normalisation import NORMALISATIONS, normalise
from wsolbench.evaluation.protocols import threshold_grid

THRESHOLDS = np.concatenate([threshold_grid(0.01), [0.2, 0.155, 0.2]])
raw_maps = st.one_of(
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.floats(-2, 2, width=16)),
    arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=9), elements=st.sampled_from([-1, 0, 0.5, 1])),
)


def drawn(found: Candidates, thresholds: slice) -> list[object]:
    """Return the largest component's box, and all that differ, at every threshold."""
    places = range(len(found.cut))[thresholds]
    return [(found.single[found.cut[k]].tolist(), {*map(tuple, found.boxes_at(k).tolist())}) for k in places]


@settings(max_examples=150, deadline=None)
@given(raw_maps, st.sampled_from([9, 24]))
@example(np.full((4, 4), -3.0, np.float32), 9)
@example(-np.arange(1, 17, dtype=np.float32).reshape(4, 4), 9)
@example(np.arange(1, 17, dtype=np.float32).reshape(4, 4), 9)
def test_each_normalisation_and_protocol_has_its_own_boxes(raw: np.ndarray, side: int) -> None:
    maps = normalise(upsample(raw, side, side), NORMALISATIONS)
    contours, pieces = candidates(maps, THRESHOLDS)
    count = len(THRESHOLDS)
    for k, each in enumerate(maps):
        own = drawn(choe2020(each, THRESHOLDS), slice(None))
        assert drawn(contours, slice(k * count, (k + 1) * count)) == own
    assert drawn(pieces, slice(None)) == drawn(pixel(maps[0], THRESHOLDS), slice(None))


def test_a_map_that_is_taken_as_it_is_may_be_constant() -> None:
    maps = np.stack([np.full((6, 6), 0.5), np.zeros((6, 6))])
    contours, _ = candidates(maps, THRESHOLDS)
    for k, each in enumerate(maps):
        own = drawn(choe2020(each, THRESHOLDS), slice(None))
        assert drawn(contours, slice(k * len(THRESHOLDS), (k + 1) * len(THRESHOLDS))) == own
