"""Shapes: a small generated WSOL problem whose difficulty is known and can be set.

Pixels are computed with the arithmetic that IEEE 754 defines exactly (no sine, no matrix product) and from numpy's
uniform draws, so that they do not depend on the processor. The bytes of the PNG files also depend on Pillow's zlib.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from wsolbench.config.ranges import Count, Fraction
from wsolbench.data.dataset import SPLITS, Contents, Item, SplitName, Truth, WsolDataset
from wsolbench.data.masks import Mask, encode, tight_box
from wsolbench.errors import SettingsError
from wsolbench.files import bytes_sha256, writing
from wsolbench.runs.progress import track

__all__ = ["Scene", "Shapes"]

Plane = NDArray[np.float64]
Range = tuple[float, float]
Images = Annotated[int, Field(ge=1, le=99_999)]

# Lengths are in image sides, colours and brightness in 0-1, hues in turns. All were fixed with the defaults, from CAM.
_BACKGROUND_CELLS = 6  # per side, of the smooth background noise
_BACKGROUND_BRIGHTNESS: Range = (0.3, 0.65)
_BACKGROUND_CONTRAST = 0.15
_TINT = 0.08
_GRAIN = 0.1  # per-pixel noise over everything, so that no surface is flat

_CLUTTER_HALF_LENGTH: Range = (0.04, 0.09)
_CLUTTER_ASPECT: Range = (0.2, 0.35)

_BODY_HALF_LENGTH: Range = (0.17, 0.32)
_SHRUNK: Range = (0.45, 0.9)  # of that, where there may be several
_TRIES = 20  # to place one more body beside the others, before it is left out
_BODY_ASPECT: Range = (0.55, 0.95)
_BODY_BRIGHTNESS: Range = (0.45, 0.75)
_BODY_SATURATION: Range = (0.28, 0.48)
_WOBBLE = 0.06  # largest amplitude of each of two harmonics of the outline, in radii
_STRIPE_CONTRAST = 0.25
_STRIPE_PITCH: Range = (0.05, 0.13)

_PART_POSITION: Range = (0.4, 0.65)  # of the half length, towards one end of the body
_PART_SATURATION: Range = (0.8, 1.0)
_PART_BRIGHTNESS: Range = (0.75, 1.0)
_PART_HUE_JITTER = 0.2  # of the distance between two classes, either way
_PUPIL = 0.35  # radius of the dark spot in the part, in radii of the part; clutter has none
_DARK = 0.05

_SCENERY = 0.3  # how far the background's colour goes from grey, where it has one


@dataclass(frozen=True)
class Scene:
    """One generated picture and what is known of it.

    Attributes:
        image: ``(side, side, 3)`` uint8 RGB.
        bodies: ``(side, side)`` bool each, the objects, body and part; they do not overlap.
        part: ``(side, side)`` bool, the discriminative parts; they lie inside the bodies.
        label: class of all objects, from 0.
    """

    image: NDArray[np.uint8]
    bodies: tuple[Mask, ...]
    part: Mask
    label: int

    @property
    def mask(self) -> Mask:
        """All objects together, ``(side, side)`` bool."""
        return np.asarray(np.any(self.bodies, axis=0))


class Shapes(WsolDataset):
    """Striped bodies with a small tell-tale part, on smooth noise, among clutter in the part's colours.

    It is a controlled WSOL problem. The *part*, a vivid disc with a dark pupil near one end of the body, shows the
    class by its hue and suffices to classify. The *body* shows the class too, but weakly, by its pale hue and the pitch
    of its stripes. The *background* shows nothing, and *clutter* repeats the part's colours in random classes, as thin
    bars. A classifier can win by the part alone, and plain CAM then covers just that; but the body can be learnt.

    ``body_evidence`` is how far body hue and stripe pitch, both drawn uniformly, are moved towards the values of their
    class: at 1 the body determines the class, in between the distributions of the classes overlap, and at 0 body and
    class are independent. **0 is the unsolvable control**: nothing but the part tells where the object ends, and a
    method that localizes well there is using something else than labels.

    Three more arguments make the field's other known failures, one each:

    - ``context_evidence``: the background's colour is moved towards the class's in training, and has nothing to do
      with it in ``val`` and ``test``. At 1 it gives the class away; a network that learnt it looks there.
    - ``objects``: up to so many bodies of the class, of sizes that differ more. One box around all of them is none.
    - ``part_share: 0`` with ``body_evidence: 1``: the control, in which the whole body shows the class, and CAM must
      do well.

    The defaults were fixed from plain CAM and the mask-supervised bound alone, before any other method had run
    (``docs/explanation/shapes.md`` has the numbers).

    Image ``k`` of a split is a function of the seed and ``k``: it does not change with the number of images.

    Args:
        seed: of all pictures.
        image_size: side in pixels. At 64, a network of stride 4 has 16 x 16 cells; with much fewer, maps are too
            coarse to compare methods.
        num_classes: image ``k`` is of class ``k`` modulo this.
        train: number of images with labels only.
        val: number of images for thresholds.
        test: number of images for the report.
        part_share: area of the part, as a share of the body's ellipse. 0 leaves the part out: the check that the body
            alone can be learnt.
        body_evidence: class evidence on the body; see above.
        clutter: bars per image.
        context_evidence: class evidence in the background of training images; see above.
        objects: the largest number of bodies in an image.
    """

    title = "Shapes (generated)"
    reference = "generated by wsolbench from a seed; no third-party material"
    traits: ClassVar[frozenset[str]] = frozenset({"boxes", "masks", "embedded"})

    def __init__(
        self,
        seed: Count = 0,
        image_size: Annotated[int, Field(ge=48, le=512)] = 64,
        num_classes: Annotated[int, Field(ge=2, le=16)] = 8,
        train: Images = 1000,
        val: Images = 120,
        test: Images = 320,
        part_share: Annotated[float, Field(ge=0, le=0.25)] = 0.1,
        body_evidence: Fraction = 0.65,
        clutter: Annotated[int, Field(ge=0, le=50)] = 3,
        context_evidence: Fraction = 0.0,
        objects: Annotated[int, Field(ge=1, le=5)] = 1,
    ) -> None:
        self._seed, self._side, self._num_classes = seed, image_size, num_classes
        self._counts: dict[SplitName, int] = {"train": train, "val": val, "test": test}
        self._part_share, self._clutter, self._objects = part_share, clutter, objects
        self._body_evidence, self._context_evidence = body_evidence, context_evidence

    def contents(self, directory: Path) -> Contents:
        """Draw all pictures, to ``images/<split>/NNNNN.png`` below ``directory``."""
        for split in SPLITS:
            (directory / "images" / split).mkdir(parents=True, exist_ok=True)
        items: list[Item] = []
        truth: dict[str, Truth] = {}
        for item, scene in track(self._drawn(directory), "drawing", sum(self._counts.values()), "images"):
            items.append(item)
            if item.split != "train":
                boxes = np.array([tight_box(body) for body in scene.bodies], np.float64)
                truth[item.id] = Truth(boxes, tuple(encode(body) for body in scene.bodies))
        return Contents([f"hue_{label}" for label in range(self._num_classes)], items, truth)

    def image_root(self, directory: Path) -> Path:
        """Return ``directory``: the pictures lie below it."""
        return directory

    def scene(self, split: SplitName, index: int, label: int | None = None) -> Scene:
        """Draw one picture.

        Args:
            split: which split.
            index: which image of it, from 0; it may exceed the split's number of images.
            label: draw this class in place of the image's own, everything else alike.
        """
        shown = index % self._num_classes if label is None else label
        if not 0 <= shown < self._num_classes:
            raise SettingsError(f"shapes: label {shown} is not one of {self._num_classes} classes")
        # A stream for each layer: more clutter, or no part, leaves everything else as it was.
        streams = np.random.SeedSequence([self._seed, SPLITS.index(split), index]).spawn(4 + self._objects)
        ground, bars, first, scenery, number, *others = (np.random.default_rng(stream) for stream in streams)
        canvas = _background(ground, self._side)
        if self._context_evidence:
            canvas += self._scenery(scenery, split, shown)
        for _ in range(self._clutter):
            _draw_bar(bars, canvas, self._num_classes)
        drawn = [self._draw_object(self._outline(first), first, canvas, shown)]
        for random in others[: number.integers(self._objects)]:
            outline = self._free_outline(random, np.logical_or.reduce([body for body, _ in drawn]))
            if outline is not None:
                drawn.append(self._draw_object(outline, random, canvas, shown))
        canvas += ground.uniform(-_GRAIN, _GRAIN, (self._side, self._side, 1))
        bodies, parts = zip(*drawn, strict=True)
        return Scene((np.clip(canvas, 0, 1) * 255 + 0.5).astype(np.uint8), bodies, np.logical_or.reduce(parts), shown)

    def _drawn(self, directory: Path) -> Iterator[tuple[Item, Scene]]:
        for split, count in self._counts.items():
            for index in range(count):
                scene = self.scene(split, index)
                name = f"{split}/{index:05d}"
                path = f"images/{name}.png"
                sha256 = _write_png(directory / path, scene.image)
                yield Item(name, path, scene.label, self._side, self._side, split, sha256), scene

    def _scenery(self, random: Generator, split: SplitName, label: int) -> Plane:
        """Return what is added to the background, ``(3,)``: a colour that depends on the class in training only."""
        evidence = self._context_evidence if split == "train" else 0.0
        hue = _towards(random.random(), label / self._num_classes, evidence)
        return np.asarray(_SCENERY * (_rgb(hue, 1, 1) - 0.5))

    def _outline(self, random: Generator) -> _Outline:
        half = self._side * random.uniform(*_BODY_HALF_LENGTH)
        if self._objects > 1:
            half *= random.uniform(*_SHRUNK)
        aspect = random.uniform(*_BODY_ASPECT)
        direction = _direction(random)
        along, across = _frame(self._side, _centre(random, self._side, half, aspect, direction), direction)
        return _Outline(half, aspect, along, across, _blob(random, along / half, across / (half * aspect)))

    def _free_outline(self, random: Generator, taken: Mask) -> _Outline | None:
        """Return an outline that overlaps no pixel of ``taken``; None where some tries find none."""
        outlines = (self._outline(random) for _ in range(_TRIES))
        return next((outline for outline in outlines if not (outline.mask & taken).any()), None)

    def _draw_object(self, outline: _Outline, random: Generator, canvas: Plane, label: int) -> tuple[Mask, Mask]:
        half, aspect, along, across, mask = outline
        canvas[mask] = self._body(random, along[mask], label)

        distance = np.square(along - half * random.uniform(*_PART_POSITION)) + np.square(across)
        radius = half * math.sqrt(self._part_share * aspect)
        part = (distance < radius * radius) & mask
        canvas[part] = _vivid(random, label, self._num_classes)
        canvas[part & (distance < (_PUPIL * radius) ** 2)] = _DARK
        return mask, part

    def _body(self, random: Generator, along: Plane, label: int) -> Plane:
        """Return the colours ``(n, 3)`` of body pixels at positions ``(n,)`` along its axis."""
        classes, evidence = self._num_classes, self._body_evidence
        # Not the part's hue: a detector of the part must not answer to the body by its colour.
        hue = _towards(random.random(), label / classes + 0.5, evidence)
        pitch = random.random()
        # Classes that are neighbours in hue are far apart in pitch, so that the two cues complement each other.
        pitch += evidence * ((3 * label % classes) / (classes - 1) - pitch)
        shortest, longest = (self._side * length for length in _STRIPE_PITCH)
        phase = along / (shortest + pitch * (longest - shortest)) + random.random()
        stripes = 4 * np.abs(phase - np.floor(phase) - 0.5) - 1
        colour = _rgb(hue, random.uniform(*_BODY_SATURATION), random.uniform(*_BODY_BRIGHTNESS))
        return np.asarray(colour * (1 + _STRIPE_CONTRAST * stripes[:, None]))


class _Outline(NamedTuple):
    """A body's half length in pixels, its width over its length, each pixel's place in its frame, and its pixels."""

    half: float
    aspect: float
    along: Plane
    across: Plane
    mask: Mask


def _towards(hue: float, target: float, share: float) -> float:
    """Return a hue moved by a share of the shortest way around the circle towards another."""
    return hue + share * ((target - hue + 0.5) % 1 - 0.5)


def _background(random: Generator, side: int) -> Plane:
    """Return smooth colour noise, ``(side, side, 3)``."""
    nodes = _BACKGROUND_CELLS + 1
    coarse = random.uniform(-_BACKGROUND_CONTRAST, _BACKGROUND_CONTRAST, (nodes, nodes, 3))
    coarse += random.uniform(*_BACKGROUND_BRIGHTNESS) + random.uniform(-_TINT, _TINT, 3)
    at = (np.arange(side) + 0.5) * _BACKGROUND_CELLS / side
    low = at.astype(np.intp)
    weight = (at - low)[:, None, None]
    rows = coarse[low] * (1 - weight) + coarse[low + 1] * weight
    columns = rows.transpose(1, 0, 2)
    return np.ascontiguousarray((columns[low] * (1 - weight) + columns[low + 1] * weight).transpose(1, 0, 2))


def _draw_bar(random: Generator, canvas: Plane, num_classes: int) -> None:
    side = len(canvas)
    direction = _direction(random)
    centre = random.uniform(0, side), random.uniform(0, side)
    half = side * random.uniform(*_CLUTTER_HALF_LENGTH)
    thickness = half * random.uniform(*_CLUTTER_ASPECT)
    along, across = _frame(side, centre, direction)
    bar = (np.abs(along) <= half) & (np.abs(across) <= thickness)
    canvas[bar] = _vivid(random, int(random.integers(num_classes)), num_classes)


def _vivid(random: Generator, label: int, num_classes: int) -> Plane:
    """Return a part's colour ``(3,)`` for a class; hues of different classes do not overlap."""
    hue = (label + random.uniform(-_PART_HUE_JITTER, _PART_HUE_JITTER)) / num_classes
    return _rgb(hue, random.uniform(*_PART_SATURATION), random.uniform(*_PART_BRIGHTNESS))


def _direction(random: Generator) -> tuple[float, float]:
    """Return a unit vector ``(x, y)``, all directions alike."""
    while True:
        x, y = random.uniform(-1, 1), random.uniform(-1, 1)
        length = math.sqrt(x * x + y * y)
        if 0.1 < length <= 1:
            return x / length, y / length


def _centre(
    random: Generator, side: int, half: float, aspect: float, direction: tuple[float, float]
) -> tuple[float, float]:
    """Return a centre ``(x, y)`` in pixels, uniform over all at which the whole body is in the picture."""
    x, y = (half * (1 + 2 * _WOBBLE) * part for part in direction)
    reach_x = math.sqrt(x * x + aspect * aspect * y * y)
    reach_y = math.sqrt(y * y + aspect * aspect * x * x)
    return random.uniform(reach_x, side - reach_x), random.uniform(reach_y, side - reach_y)


def _frame(side: int, centre: tuple[float, float], direction: tuple[float, float]) -> tuple[Plane, Plane]:
    """Return each pixel's position along and across an axis through ``centre``, in pixels, ``(side, side)`` each."""
    offsets = np.arange(side) + 0.5
    x, y = (offsets - centre[0])[None, :], (offsets - centre[1])[:, None]
    return x * direction[0] + y * direction[1], y * direction[0] - x * direction[1]


def _blob(random: Generator, x: Plane, y: Plane) -> Mask:
    """Return which points lie in the unit disc, its outline bent by a third and a fifth harmonic."""
    radius = np.sqrt(np.maximum(x * x + y * y, 1e-12))
    cos1, sin1 = x / radius, y / radius
    cos2, sin2 = cos1 * cos1 - sin1 * sin1, 2 * cos1 * sin1
    cos3, sin3 = cos2 * cos1 - sin2 * sin1, sin2 * cos1 + cos2 * sin1
    cos5, sin5 = cos3 * cos2 - sin3 * sin2, sin3 * cos2 + cos3 * sin2
    outline = np.ones_like(radius)
    for cos, sin in ((cos3, sin3), (cos5, sin5)):
        phase = _direction(random)
        outline += random.uniform(0, _WOBBLE) * (phase[0] * cos + phase[1] * sin)
    return np.asarray(radius <= outline)


def _rgb(hue: float, saturation: float, brightness: float) -> Plane:
    """Return the RGB colour ``(3,)`` of a hue (turns), saturation and value."""
    ramp = np.abs((hue + np.array([0.0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1
    return np.asarray(brightness * (1 - saturation * (1 - np.clip(ramp, 0, 1))))


def _write_png(path: Path, pixels: NDArray[np.uint8]) -> str:
    """Write a picture and return the sha256 of the file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    with writing(path):
        path.write_bytes(buffer.getvalue())
    return bytes_sha256(buffer.getvalue())
