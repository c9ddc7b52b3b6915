"""Order and augmentation are functions of (seed, epoch, image) alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from wsolbench.data.dataset import Item, Split
from wsolbench.data.loader import EpochOrder, TrainingSet, augment, training_loader
from wsolbench.data.seeding import generator, image_key, torch_seed

SIDE, CROP, COUNT = 12, 8, 21


def made_up_set(seed: int, ids: list[str] | None = None) -> TrainingSet:
    names = ids or [f"image {k}" for k in range(COUNT)]
    items = [Item(name, f"{name}.png", k % 3, SIDE, SIDE, "train") for k, name in enumerate(names)]
    by_name = {
        name: np.random.default_rng(image_key(name)).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8) for name in names
    }
    pictures = [by_name[name] for name in names]
    return TrainingSet(Split("train", items, ["a", "b", "c"], "digest"), pictures, CROP, seed)


def epochs(seed: int, workers: int, count: int = 2) -> list[torch.Tensor]:
    loader = training_loader(made_up_set(seed), 5, seed, workers=workers, pin=False)
    found = []
    for epoch in range(count):
        loader.sampler.set_epoch(epoch)
        found.append(torch.cat([images for images, _, _ in loader]))
    return found


def test_every_image_is_seen_once_per_epoch() -> None:
    loader = training_loader(made_up_set(0), 5, 0, workers=0, pin=False)
    positions = torch.cat([where for _, _, where in loader])
    assert sorted(positions.tolist()) == list(range(COUNT))


def test_the_number_of_workers_changes_nothing() -> None:
    for alone, shared in zip(epochs(3, workers=0), epochs(3, workers=2), strict=True):
        assert torch.equal(alone, shared)


def test_the_same_seed_gives_the_same_epochs() -> None:
    for first, second in zip(epochs(3, 0), epochs(3, 0), strict=True):
        assert torch.equal(first, second)


def test_another_seed_gives_another_order() -> None:
    assert list(EpochOrder(COUNT, 0)) != list(EpochOrder(COUNT, 1))


def test_two_epochs_differ_in_order_and_in_augmentation() -> None:
    data = made_up_set(0)
    order = EpochOrder(COUNT, 0)
    first = [position for _, position in order]
    order.set_epoch(1)
    assert first != [position for _, position in order]
    same = [torch.equal(data[0, k][0], data[1, k][0]) for k in range(COUNT)]
    assert sum(same) < COUNT / 2


def test_an_image_is_augmented_alike_wherever_it_stands_in_the_index() -> None:
    names = [f"image {k}" for k in range(COUNT)]
    there, here = made_up_set(5), made_up_set(5, names[::-1])
    for k in range(COUNT):
        assert torch.equal(there[4, k][0], here[4, COUNT - 1 - k][0])


def test_a_batch_lies_channels_last_in_memory() -> None:
    images, _, _ = next(iter(training_loader(made_up_set(0), 5, 0, workers=0, pin=False)))
    assert images.shape == (5, 3, CROP, CROP)
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_a_crop_is_a_window_of_the_picture_possibly_flipped() -> None:
    picture = np.arange(SIDE * SIDE * 3, dtype=np.uint16).reshape(SIDE, SIDE, 3).astype(np.uint8)
    windows = {
        picture[y : y + CROP, x : x + CROP][:, ::flip].tobytes()
        for y in range(SIDE - CROP + 1)
        for x in range(SIDE - CROP + 1)
        for flip in (1, -1)
    }
    seen = set()
    for k in range(400):
        out = np.empty((CROP, CROP, 3), np.uint8)
        augment(picture, CROP, np.random.default_rng(k), out)
        seen.add(out.tobytes())
    assert seen <= windows
    assert len(seen) > len(windows) / 2


@pytest.mark.parametrize("other", [("augmentation", 1, 2, 4), ("order", 1, 2, 3), ("augmentation", 1, 3, 3)])
def test_streams_of_different_keys_differ(other: tuple[str, int, int, int]) -> None:
    purpose, *key = other
    first = generator("augmentation", 1, 2, 3).integers(0, 2**32, 8)
    assert not np.array_equal(first, generator(purpose, *key).integers(0, 2**32, 8))  # type: ignore[arg-type]


@pytest.mark.parametrize("key", [(0,), (1, 2**32 - 1), (2**32, 3), (2**64 - 1, 0, 2**70 + 5)])
def test_seeds_are_those_of_numpys_own_sequence(key: tuple[int, ...]) -> None:
    expected = np.random.default_rng(np.random.SeedSequence([1, *key]))  # 1 stands for augmentation
    assert generator("augmentation", *key).integers(0, 2**62, 5).tolist() == expected.integers(0, 2**62, 5).tolist()


def test_seeds_do_not_depend_on_process_or_version() -> None:
    """Literal values: a change of the derivation would silently change every result."""
    assert image_key("a/b.jpg") == 1784805641829962058
    assert torch_seed("iteration", 1, 2) == 5839918186241800584
    assert generator("augmentation", 1, 2, 3).integers(0, 2**32, 2).tolist() == [163311114, 2631423001]
