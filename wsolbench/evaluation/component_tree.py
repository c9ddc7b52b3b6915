"""Connected components of all binary images of a map, found in one sweep.

The binary images ``{value > cut}`` of a map are nested, so that their components form a tree (the max-tree or component
tree; Salembier et al., IEEE Transactions on Image Processing 7(4), 1998). The sweep visits the pixels from the highest
value down and joins each to what is there: union by union-find (Tarjan 1975; Najman and Couprie, 2006). What makes it
fast is that only two kinds of pixels need a look at their neighbours. Equal values are ordered by raster position, so
that each pixel's neighbours fall into higher and lower ones, one bit each, and the byte tells through a table what
happens: without a higher neighbour a component begins; where the higher ones hang together around the pixel it joins
the component of any of them; only where they fall apart, at a saddle, components may merge.

A component whose bounding box stays the same from one cut to the next is one *node*: there are hardly more nodes than
components have rows and columns. Importing this module imports numba (about half a second).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from wsolbench.evaluation.compiled import compiled

__all__ = ["FIRST_CUT", "LAST_CUT", "X0", "X1", "Y0", "Y1", "Nodes", "components", "holes"]

FIRST_CUT, LAST_CUT, X0, Y0, X1, Y1 = range(6)
"""Columns of a node: the cuts at which it is a component, first and last, both inclusive; its first and last column
and row, inclusive."""

Nodes = NDArray[np.int32]
Values = NDArray[np.int16]
_Bytes = NDArray[np.uint8]
_Labels = NDArray[np.uint32]
_Parts = NDArray[np.int32]

_BEGINS, _SADDLE = np.uint8(254), np.uint8(128)
_SINCE, _FIRST, _LAST, _LEFT, _RIGHT, _WEIGHT, _SET, _X0, _Y0, _X1, _Y1 = range(11)
"""Of a component that still grows: the level of its last change, its first and last pixel in the padded map, its first
and last column there, its weight; the level since which it has had the box that follows, and that box, all of it as it
was before the present level (the level is 0 where the component began at the present one)."""


def _table(diagonal: bool) -> _Bytes:
    """Return for each byte of higher neighbours one of them; plus :data:`_SADDLE` where they fall apart.

    Bit k of a byte is the k-th neighbour around a pixel, clockwise from the east; even ones share a side with it.
    :data:`_BEGINS` where none is connected to the pixel.
    """
    table = np.zeros(256, np.uint8)
    for byte in range(256):
        bits = [byte >> k & 1 for k in range(8)]
        ours = [k for k in range(8) if bits[k] and (diagonal or k % 2 == 0)]
        group = list(range(8))
        for k in range(8):
            # Sides around a corner touch diagonally.
            for other in ((k + 1) % 8, *([(k + 2) % 8] if diagonal and k % 2 == 0 else [])):
                if bits[k] and bits[other]:
                    group = [group[k] if each == group[other] else each for each in group]
        apart = len({group[k] for k in ours}) > 1
        table[byte] = (ours[0] + (_SADDLE if apart else 0)) if ours else _BEGINS
    return table


def _halves() -> _Bytes:
    """Return for each byte of higher neighbours how many half squares a pixel brings to a polygon's area.

    The polygon runs through the centres of the outline's pixels, so that each square of 2x2 pixels gives it nothing,
    half its area (three pixels inside) or all (four). With a component that has holes, this would leave theirs out.
    """
    table = np.zeros(256, np.uint8)
    for byte in range(256):
        bits = [byte >> k & 1 for k in range(8)]
        table[byte] = sum(bits[k] + bits[(k + 1) % 8] + bits[(k + 2) % 8] >= 2 for k in (0, 2, 4, 6))
    return table


_AROUND_8, _AROUND_4, _HALVES, _ONES = _table(True), _table(False), _halves(), np.ones(256, np.uint8)


@compiled
def _shift(width: int) -> int:
    """Return the exponent of the distance between rows in the padded map, a power of two."""
    shift = 1
    while (1 << shift) < width + 2:
        shift += 1
    return shift


@compiled
def _higher(values: Values) -> _Bytes:
    """Return the byte of higher neighbours of each pixel; of equals the earlier in raster order counts as higher."""
    height, width = values.shape
    padded = np.full((height + 2, 1 << _shift(width)), np.int16(-1), np.int16)
    padded[1 : height + 1, 1 : width + 1] = values
    masks = np.zeros(padded.shape, np.uint8)
    for y in range(1, height + 1):
        above, here, below, out = padded[y - 1], padded[y], padded[y + 1], masks[y]
        for x in range(1, width + 1):
            value = here[x]
            out[x] = (
                np.uint8(here[x + 1] > value)
                | (np.uint8(below[x + 1] > value) << np.uint8(1))
                | (np.uint8(below[x] > value) << np.uint8(2))
                | (np.uint8(below[x - 1] > value) << np.uint8(3))
                | (np.uint8(here[x - 1] >= value) << np.uint8(4))
                | (np.uint8(above[x - 1] >= value) << np.uint8(5))
                | (np.uint8(above[x] >= value) << np.uint8(6))
                | (np.uint8(above[x + 1] >= value) << np.uint8(7))
            )
    return masks


@compiled
def _ordered(values: Values, levels: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Sort the pixels by value, then raster order: positions in the padded map, and where each value begins."""
    height, width = values.shape
    shift = _shift(width)
    starts = np.zeros(levels + 2, np.int32)
    for y in range(height):
        for x in range(width):
            starts[values[y, x] + 1] += 1
    for level in range(levels + 1):
        starts[level + 1] += starts[level]
    order = np.empty(height * width, np.uint32)
    free = starts.copy()
    for y in range(height):
        for x in range(width):
            value = values[y, x]
            order[free[value]] = ((y + 1) << shift) + x + 1
            free[value] += 1
    return order, starts


@compiled
def _root(parent: _Labels, label: Any) -> Any:
    while parent[label] != label:
        parent[label] = parent[parent[label]]
        label = parent[label]
    return label


@compiled
def _sweep(  # noqa: C901, PLR0915 - one loop for speed: its state stays in registers
    values: Values, levels: int, around: _Bytes, weights: _Bytes
) -> tuple[Nodes, Nodes, _Labels, Values]:
    """Sweep a map from the highest value down to 1.

    Returns:
        Nodes; the box of the heaviest component at each cut; the label of each pixel, in the padded map; and for each
        label the level at which its component first reached the border of the map, 0 if it never did.
    """
    height, width = values.shape
    shift = _shift(width)
    masks = _higher(values).ravel()
    order, starts = _ordered(values, levels)
    row = 1 << shift
    steps = np.array([1, row + 1, row, row - 1, -1, -row - 1, -row, 1 - row]).astype(np.uint64)  # modulo 2**64
    size = height * width - starts[1]
    labels = np.zeros(masks.size, np.uint32)
    parent = np.empty(size, np.uint32)
    into = np.empty(size, np.uint32)  # as parent, but never shortened
    border = np.zeros(size + 1, np.int16)
    parts = np.empty((size, 11), np.int32)
    nodes = np.empty((2 * size + 1, 6), np.int32)
    heaviest = np.zeros((levels, 4), np.int32)
    touched = np.empty(size, np.uint32)  # labels of the components that change at the present level
    frame = np.array([shift, height, width], np.int32)
    known, count, top, rank, second = np.uint32(0), 0, np.uint32(0), -1, -1
    for level in range(levels, 0, -1):
        changes = 0
        for place in range(starts[level], starts[level + 1]):
            pixel = order[np.uint64(place)]
            mask = masks[pixel]
            entry = around[mask]
            if entry == _BEGINS:
                parent[known] = into[known] = labels[pixel] = touched[changes] = known
                parts[known, _SINCE], parts[known, _X0] = level, -1
                parts[known, _FIRST] = parts[known, _LEFT] = 2**31 - 1
                parts[known, _LAST] = parts[known, _RIGHT] = parts[known, _WEIGHT] = parts[known, _SET] = 0
                _add(parts, known, pixel, row, weights[mask])
                known += np.uint32(1)
                changes += 1
                continue
            label = labels[np.uint64(pixel) + steps[entry & np.uint8(7)]]
            labels[pixel] = label
            root = _root(parent, label)
            if parts[root, _SINCE] != level:
                count = _touch(nodes, count, level, parts, border, root, frame)
                touched[changes] = root
                changes += 1
            _add(parts, root, pixel, row, weights[mask])
            for k in range(8 if entry & _SADDLE else 0):
                if mask >> np.uint8(k) & 1 and around[1 << k] != _BEGINS:
                    other = _root(parent, labels[np.uint64(pixel) + steps[k]])
                    if other != root:
                        if parts[other, _SINCE] != level:
                            count = _touch(nodes, count, level, parts, border, other, frame)
                            touched[changes] = other
                            changes += 1
                        root, other = min(root, other), max(root, other)  # so that `into` leads to lower labels
                        parent[other] = into[other] = root
                        count = _write(nodes, count, level, parts, other)
                        _merge(parts, border, root, other, level)
        top, rank, second = _heaviest(parts, parent, touched[:changes], known, top, rank, second)
        if rank >= 0:
            left, right, first, last = parts[top, _LEFT], parts[top, _RIGHT], parts[top, _FIRST], parts[top, _LAST]
            found = heaviest[level - 1]
            found[0], found[1], found[2], found[3] = left - 1, (first >> shift) - 1, right - 1, (last >> shift) - 1
    for last in range(known):
        if parent[last] == last:
            count = _touch(nodes, count, 0, parts, border, last, frame)
            count = _write(nodes, count, 0, parts, last)
        elif border[last] == 0:
            border[last] = border[into[last]]
    return nodes[:count], heaviest, labels, border


@compiled
def _add(parts: _Parts, root: Any, pixel: int, row: int, weight: int) -> None:
    """Add a pixel to a component."""
    column = np.int32(pixel & (row - 1))
    parts[root, _FIRST] = min(parts[root, _FIRST], np.int32(pixel))
    parts[root, _LAST] = max(parts[root, _LAST], np.int32(pixel))
    parts[root, _LEFT] = min(parts[root, _LEFT], column)
    parts[root, _RIGHT] = max(parts[root, _RIGHT], column)
    parts[root, _WEIGHT] += np.int32(weight)


@compiled
def _merge(parts: _Parts, border: Values, root: int, other: int, level: int) -> None:
    """Add component ``other`` to ``root``."""
    parts[root, _FIRST] = min(parts[root, _FIRST], parts[other, _FIRST])
    parts[root, _LAST] = max(parts[root, _LAST], parts[other, _LAST])
    parts[root, _LEFT] = min(parts[root, _LEFT], parts[other, _LEFT])
    parts[root, _RIGHT] = max(parts[root, _RIGHT], parts[other, _RIGHT])
    parts[root, _WEIGHT] += parts[other, _WEIGHT]
    if border[root] == 0 and border[other] > 0:
        border[root] = level
    elif border[root] > 0 and border[other] == 0:
        border[other] = level


@compiled
def _touch(
    nodes: Nodes, count: int, level: int, parts: _Parts, border: Values, root: int, frame: NDArray[np.int32]
) -> int:
    """Take down the box of a component as it was before the present level, and write down the one it had earlier."""
    shift, height, width, since = frame[0], frame[1], frame[2], parts[root, _SINCE]  # unpacking is slow
    x0, y0 = parts[root, _LEFT] - 1, (parts[root, _FIRST] >> shift) - 1
    x1, y1 = parts[root, _RIGHT] - 1, (parts[root, _LAST] >> shift) - 1
    parts[root, _SINCE] = level
    if parts[root, _X0] == x0 and parts[root, _Y0] == y0 and parts[root, _X1] == x1 and parts[root, _Y1] == y1:
        return count
    count = _write(nodes, count, since, parts, root)
    parts[root, _SET], parts[root, _X0], parts[root, _Y0], parts[root, _X1], parts[root, _Y1] = since, x0, y0, x1, y1
    if border[root] == 0 and (x0 == 0 or y0 == 0 or x1 == width - 1 or y1 == height - 1):
        border[root] = since
    return count


@compiled
def _write(nodes: Nodes, count: int, level: int, parts: _Parts, root: int) -> int:
    """Write down the box of a component, which it has had down to the cut ``level``."""
    if parts[root, _SET] == 0:
        return count
    nodes[count, FIRST_CUT], nodes[count, LAST_CUT] = level, parts[root, _SET] - 1
    nodes[count, X0], nodes[count, Y0] = parts[root, _X0], parts[root, _Y0]
    nodes[count, X1], nodes[count, Y1] = parts[root, _X1], parts[root, _Y1]
    return count + 1


@compiled
def _heaviest(
    parts: _Parts, parent: _Labels, touched: _Labels, known: Any, top: Any, rank: int, second: int
) -> tuple[Any, int, int]:
    """Return the heaviest component, of equals that whose first pixel comes last, its rank, and no less than the next.

    Weights never fall: a component that did not change comes in question only if the former winner begins earlier now.
    """
    best = -1
    if rank >= 0:
        top = _root(parent, top)
        best = _rank(parts, top)
    for label in touched:
        if parent[label] == label and (label != top or best < 0):
            mine = _rank(parts, label)
            second = max(second, min(mine, best))
            if mine > best:
                top, best = label, mine
    if best < rank and best < second:
        second = -1
        for place in range(known):
            if parent[place] == place and place != top:
                mine = _rank(parts, place)
                second = max(second, min(mine, best))
                if mine > best:
                    top, best = np.uint32(place), mine
    return top, best, second


@compiled
def _rank(parts: _Parts, label: int) -> int:
    return int((np.int64(parts[label, _WEIGHT]) << 32) + parts[label, _FIRST])


@compiled
def _filled(values: Values, labels: _Labels, border: Values, levels: int) -> Values:
    """Raise each pixel to the cut from which on it is outside."""
    height, width = values.shape
    made = np.empty(values.shape, np.int16)
    for y in range(height):
        for x in range(width):
            made[y, x] = max(values[y, x], levels - border[labels[y + 1, x + 1]])
    return made


def components(values: Values, levels: int, *, area: str = "pixels") -> tuple[Nodes, Nodes]:
    """Find the 8-connected components of ``{value > cut}`` for every cut from 0 to ``levels - 1``.

    Args:
        values: ``(H, W)`` int16 from 0 to ``levels``.
        levels: of cuts.
        area: what makes a component large: its number of ``"pixels"``; or ``"polygon"``, the area of the polygon
            through the centres of its outline's pixels, which is right only if no component has holes
            (:func:`holes` fills them).

    Returns:
        ``(K, 6)`` int32 nodes, whose columns are :data:`FIRST_CUT` to :data:`Y1`; and ``(levels, 4)`` int32, the box
        ``x0, y0, x1, y1`` of the largest component at each cut (of equals, the one whose first pixel comes last in
        raster order), both ends inclusive; all zero where there is none.
    """
    nodes, largest, _, _ = _sweep(values, levels, _AROUND_8, _HALVES if area == "polygon" else _ONES)
    return nodes, largest


def holes(values: Values, levels: int) -> tuple[Nodes, Values]:
    """Find the holes of ``{value > cut}``: 4-connected components of the rest that do not reach the map's border.

    Args:
        values: ``(H, W)`` int16 from 0 to ``levels``.
        levels: of cuts.

    Returns:
        ``(K, 6)`` int32 nodes, and the map with the holes of all cuts filled, ``(H, W)`` int16.
    """
    height, width = values.shape
    nodes, _, labels, border = _sweep((levels - values).astype(np.int16), levels, _AROUND_4, _ONES)
    nodes = nodes[(nodes[:, [X0, Y0]] > 0).all(1) & (nodes[:, [X1, Y1]] < (width - 1, height - 1)).all(1)]
    nodes[:, [FIRST_CUT, LAST_CUT]] = levels - 1 - nodes[:, [LAST_CUT, FIRST_CUT]]
    return nodes, _filled(values, labels.reshape(height + 2, -1), border, levels) if len(nodes) else values
