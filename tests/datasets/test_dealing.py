"""The default splits of own images: per class, reproducible, and no split goes without where there is enough."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from wsolbench.acquire.dealing import check_shares, deal, deal_missing
from wsolbench.data.dataset import SPLITS
from wsolbench.errors import SettingsError

SIZES = {0: 1, 1: 2, 2: 3, 3: 4, 4: 5, 5: 10, 6: 100}
LABELS = {f"{label}/{number}.jpg": label for label, size in SIZES.items() for number in range(size)}


def counts(splits: dict[str, str]) -> dict[int, tuple[int, ...]]:
    found = Counter((LABELS[name], split) for name, split in splits.items())
    return {label: tuple(found[label, split] for split in SPLITS) for label in SIZES}


@pytest.mark.parametrize(
    ("shares", "trained", "expected"),
    [
        ((0.5, 0.2), (), [(1, 0, 0), (1, 0, 1), (1, 1, 1), (1, 1, 2), (2, 1, 2), (3, 2, 5), (30, 20, 50)]),
        ((0.5, 0.0), (), [(1, 0, 0), (1, 0, 1), (1, 0, 2), (2, 0, 2), (3, 0, 2), (5, 0, 5), (50, 0, 50)]),
        ((1.0, 0.0), (), [(0, 0, 1), (0, 0, 2), (0, 0, 3), (0, 0, 4), (0, 0, 5), (0, 0, 10), (0, 0, 100)]),
        ((0.7, 0.3), (), [(0, 0, 1), (0, 1, 1), (0, 1, 2), (0, 1, 3), (0, 1, 4), (0, 3, 7), (0, 30, 70)]),
        ((0.5, 0.2), range(7), [(0, 0, 1), (0, 1, 1), (0, 1, 2), (1, 1, 2), (2, 1, 2), (3, 2, 5), (30, 20, 50)]),
        ((0.1, 0.1), (), [(1, 0, 0), (1, 0, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1), (8, 1, 1), (80, 10, 10)]),
    ],
)
def test_each_class_is_dealt_by_itself(
    shares: tuple[float, float], trained: range, expected: list[tuple[int, ...]]
) -> None:
    assert [*counts(deal(LABELS, *shares, trained)).values()] == expected


def test_the_lowest_digests_are_test_and_the_order_of_names_does_not_matter() -> None:
    splits = deal(LABELS, 0.5, 0.2)
    assert list(splits) == list(LABELS)
    assert deal(dict(reversed(LABELS.items())), 0.5, 0.2) == splits
    ranked = sorted((f"5/{n}.jpg" for n in range(10)), key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    assert [splits[name] for name in ranked] == ["test"] * 5 + ["val"] * 2 + ["train"] * 3


def test_what_lists_say_of_test_stands_and_without_it_val_is_dealt() -> None:
    named = {name: SPLITS[number % 3] for number, name in enumerate(LABELS)}
    assert deal_missing(named, LABELS, 0.2, 0.1) == named
    assert deal_missing({}, LABELS, 0.2, 0.1) == deal(LABELS, 0.2, 0.1)
    held = {name: "val" if LABELS[name] == 5 else "train" for name in LABELS}
    dealt = deal_missing(held, LABELS, 0.2, 0.1)
    assert {label: each for label, each in counts(dealt).items() if label != 5} == {
        label: (size, 0, 0) for label, size in SIZES.items() if label != 5
    }
    assert counts(dealt)[5] == (0, 3, 7)


@pytest.mark.parametrize("shares", [(0.0, 0.1), (0.7, 0.4), (0.5, -0.1), (1.1, 0.0)])
def test_what_are_no_shares_is_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(SettingsError, match="test_share"):
        check_shares(*shares)
