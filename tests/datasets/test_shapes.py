"""Shapes: the same pictures from the same seed, exact truth, and evidence exactly where it is claimed to be."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from wsolbench.config.schema import validated_arguments
from wsolbench.data.dataset import SPLITS, Contents
from wsolbench.data.index import read_split, write_index
from wsolbench.data.masks import decode
from wsolbench.datasets.shapes import Scene, Shapes
from wsolbench.errors import SettingsError

FEW = {"train": 9, "val": 3, "test": 4}
SCENES = range(40)


def draw(directory: Path, **arguments: object) -> Contents:
    return Shapes(**{**FEW, **arguments}).contents(directory)


def files(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*.png")}


def scenes(**arguments: object) -> list[Scene]:
    return [Shapes(**arguments).scene("test", index) for index in SCENES]


def vivid(image: np.ndarray) -> np.ndarray:
    """Return which pixels are saturated enough to be part or clutter: grain and tints stay below."""
    values = image.astype(int)
    return values.max(2) - values.min(2) > 130


def test_one_seed_gives_the_same_bytes_twice(tmp_path: Path) -> None:
    assert draw(tmp_path / "a").items == draw(tmp_path / "b").items
    assert files(tmp_path / "a") == files(tmp_path / "b")


def test_pixels_are_those_that_the_defaults_were_fixed_on() -> None:
    drawn = b"".join(scene.image.tobytes() + scene.mask.tobytes() for scene in scenes())
    assert hashlib.sha256(drawn).hexdigest() == "189dbeeeb93d188fd202e54eab6ba5bb6c4e41a24550be2a0fc24a117a3ada35"


def test_another_seed_gives_other_pictures() -> None:
    assert not any(np.array_equal(a.image, b.image) for a, b in zip(scenes(), scenes(seed=1), strict=True))


def test_a_picture_does_not_depend_on_how_many_there_are(tmp_path: Path) -> None:
    few, more = draw(tmp_path / "few"), draw(tmp_path / "more", train=12, val=5, test=7)
    digests = {item.id: item.sha256 for item in more.items}
    assert all(digests[item.id] == item.sha256 for item in few.items)


def test_splits_share_no_picture(tmp_path: Path) -> None:
    digests = [item.sha256 for item in draw(tmp_path).items]
    assert len(set(digests)) == len(digests)


def test_classes_are_balanced(tmp_path: Path) -> None:
    labels = [item.label for item in draw(tmp_path, train=24).items if item.split == "train"]
    assert np.bincount(labels).tolist() == [3] * 8


def test_the_mask_is_the_object_and_the_box_is_the_masks(tmp_path: Path) -> None:
    contents = draw(tmp_path)
    for index in range(FEW["test"]):
        truth = contents.truth[f"test/{index:05d}"]
        mask = decode(*truth.masks)
        assert np.array_equal(mask, Shapes().scene("test", index).mask)
        rows, columns = np.nonzero(mask)
        assert truth.boxes.tolist() == [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]]


def test_training_images_have_no_mask_and_no_truth(tmp_path: Path) -> None:
    contents = draw(tmp_path)
    assert {name.split("/")[0] for name in contents.truth} == {"val", "test"}


def test_a_prepared_set_is_read_back_and_its_files_have_the_indexed_digests(tmp_path: Path) -> None:
    shapes = Shapes(**FEW)
    write_index(tmp_path, shapes.contents(tmp_path), shapes.image_root(tmp_path))
    for split in SPLITS:
        found = read_split(tmp_path, split)
        assert len(found) == FEW[split]
        assert found.num_classes == 8
        for item in found.items:
            assert hashlib.sha256((tmp_path / item.path).read_bytes()).hexdigest() == item.sha256


def test_the_whole_object_is_in_the_picture_and_the_part_is_in_the_object() -> None:
    for scene in scenes():
        # A body may touch an edge of the picture, but is not cut off by it: then a long row of its pixels lay there.
        for edge in (scene.mask[0], scene.mask[-1], scene.mask[:, 0], scene.mask[:, -1]):
            assert edge.sum() < 0.1 * len(edge)
        assert scene.part.any()
        assert not (scene.part & ~scene.mask).any()


@pytest.mark.parametrize("part_share", [0.05, 0.1, 0.2])
def test_the_part_has_its_share_of_the_body(part_share: float) -> None:
    shares = [scene.part.sum() / scene.mask.sum() for scene in scenes(part_share=part_share)]
    assert np.mean(shares) == pytest.approx(part_share, rel=0.1)


def test_a_part_share_of_0_leaves_out_the_part_and_nothing_else() -> None:
    for whole, bare in zip(scenes(), scenes(part_share=0.0), strict=True):
        assert not bare.part.any()
        assert np.array_equal(bare.image[~whole.part], whole.image[~whole.part])


def test_sizes_vary_and_positions_cover_the_picture() -> None:
    sides, centres = [], []
    for index in range(200):
        rows, columns = np.nonzero(Shapes(seed=3).scene("train", index).mask)
        sides += [np.ptp(rows) + 1, np.ptp(columns) + 1]
        centres.append([rows.mean() / 64, columns.mean() / 64])
    assert np.percentile(sides, 5) < 0.30 * 64
    assert np.percentile(sides, 95) > 0.55 * 64
    assert (np.std(centres, axis=0) > 0.14).all()


def test_without_body_evidence_the_class_shows_in_the_part_alone() -> None:
    shapes = Shapes(body_evidence=0.0)
    for index in SCENES:
        one, other = (shapes.scene("test", index, label) for label in (1, 6))
        assert np.array_equal(one.mask, other.mask)
        assert np.array_equal(one.image[~one.part], other.image[~one.part])
        assert not np.array_equal(one.image[one.part], other.image[one.part])


def test_body_evidence_changes_the_body_and_never_the_background() -> None:
    shapes = Shapes(body_evidence=0.65)
    for index in SCENES:
        one, other = (shapes.scene("test", index, label) for label in (1, 6))
        body = one.mask & ~one.part
        assert np.array_equal(one.image[~one.mask], other.image[~one.mask])
        assert not np.array_equal(one.image[body], other.image[body])


def test_body_colours_of_two_classes_overlap_at_the_default_and_not_at_1() -> None:
    def hues(evidence: float, label: int) -> np.ndarray:
        shapes = Shapes(body_evidence=evidence, clutter=0, part_share=0.0)
        found = [shapes.scene("train", index, label) for index in range(60)]
        colours = np.array([scene.image[scene.mask].mean(0) for scene in found])
        opponent = colours @ np.array([1, -0.5, -0.5]), colours @ np.array([0, np.sqrt(3) / 2, -np.sqrt(3) / 2])
        return (np.arctan2(opponent[1], opponent[0]) / (2 * np.pi)) % 1

    # Bodies of classes 0 and 1 of 8 are centred on the hues 0.5 and 0.625, away from the seam of the circle.
    assert hues(1.0, 0).max() < hues(1.0, 1).min()
    assert hues(0.65, 0).max() > hues(0.65, 1).min() + 0.05


def test_clutter_repeats_the_parts_colours_outside_the_object() -> None:
    assert not any((vivid(scene.image) & ~scene.mask).any() for scene in scenes(clutter=0))
    for scene in scenes(clutter=5):
        assert (vivid(scene.image) & ~scene.mask).any()


def test_clutter_never_hides_the_object() -> None:
    for bare, crowded in zip(scenes(clutter=0), scenes(clutter=30), strict=True):
        assert np.array_equal(bare.mask, crowded.mask)
        assert np.array_equal(bare.image[bare.mask], crowded.image[crowded.mask])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("image_size", 32),
        ("num_classes", 1),
        ("num_classes", 17),
        ("train", 0),
        ("val", 0),
        ("test", 0),
        ("part_share", 0.3),
        ("body_evidence", 1.1),
        ("body_evidence", float("nan")),
        ("clutter", -1),
    ],
)
def test_an_argument_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(SettingsError, match=rf"datasets\.shapes\.{name}: "):
        validated_arguments(Shapes, {name: value}, "datasets.shapes")


def test_a_class_that_does_not_exist_cannot_be_drawn() -> None:
    with pytest.raises(SettingsError, match="label 8 is not one of 8"):
        Shapes().scene("test", 0, label=8)


@pytest.mark.parametrize(("side", "classes"), [(48, 2), (96, 16), (128, 5)])
def test_other_sizes_and_numbers_of_classes_work(side: int, classes: int) -> None:
    drawn = scenes(image_size=side, num_classes=classes)
    assert all(scene.image.shape == (side, side, 3) for scene in drawn)
    assert {scene.label for scene in drawn} == set(range(classes))


def test_the_background_shows_the_class_in_training_only() -> None:
    shapes, plain = Shapes(context_evidence=1.0), Shapes()
    added = {}
    for split in ("train", "test"):
        for index in range(16):
            scene, bare = shapes.scene(split, index), plain.scene(split, index)
            # Where neither is cut off at black or white, the difference is the colour that was added.
            inner = ~scene.mask & (bare.image.min(2) > 50) & (bare.image.max(2) < 205)
            change = scene.image[inner].astype(float).mean(0) - bare.image[inner].astype(float).mean(0)
            added.setdefault((split, scene.label), []).append(change / np.linalg.norm(change))
    for (split, _), (first, second) in added.items():
        assert split == "test" or first @ second > 0.95
    different = [first @ second for (split, _), (first, second) in added.items() if split == "test"]
    assert np.mean(different) < 0.7


def test_objects_are_apart_of_one_class_and_each_has_its_box_and_mask(tmp_path: Path) -> None:
    shapes = Shapes(**FEW | {"test": 40}, objects=3)
    truth = shapes.contents(tmp_path).truth
    counts = set()
    for index in range(40):
        scene, known = shapes.scene("test", index), truth[f"test/{index:05d}"]
        assert sum(body.sum() for body in scene.bodies) == scene.mask.sum()
        assert len(known.boxes) == len(known.masks) == len(scene.bodies)
        counts.add(len(scene.bodies))
    assert counts == {1, 2, 3}
