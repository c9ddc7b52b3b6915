"""The default division of people's own images into splits: class by class, and the same each time."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping

from wsolbench.data.dataset import SplitName
from wsolbench.errors import SettingsError

__all__ = ["TEST_SHARE", "VAL_SHARE", "check_shares", "deal", "deal_missing"]

TEST_SHARE, VAL_SHARE = 0.3, 0.2
"""Of each class's images that have truth, by default; half of them are left to train."""


def check_shares(test_share: float, val_share: float) -> None:
    """Refuse shares that are none.

    Raises:
        SettingsError: so it is.
    """
    if not (0 < test_share <= 1 and 0 <= val_share <= 1 - test_share):
        raise SettingsError(
            f"test_share: {test_share} and val_share {val_share} must be shares of 1 together, test_share above 0"
        )


def deal(
    labels: Mapping[str, int], test_share: float, val_share: float, trained: Collection[int] = ()
) -> dict[str, SplitName]:
    """Divide images that have truth, each class by itself.

    Of a class's images in the order of the sha256 of their ids, the first are ``test``, the next ``val``, all others
    ``train``. Shares are rounded to whole images, and where there are few, splits go short in this order: one image is
    kept for ``train`` (unless the class has others, or the shares together are 1), one for ``test``, one for ``val``
    (unless its share is 0).
    """
    by_class: dict[int, list[str]] = {}
    for name, label in labels.items():
        by_class.setdefault(label, []).append(name)
    splits: dict[str, SplitName] = {}
    for label, names in by_class.items():
        order = sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())
        free = len(order) - (label not in trained and round(test_share + val_share, 9) < 1)
        wants_val = val_share > 0
        test = min(max(round(len(order) * test_share), 1), free - (wants_val and free > 1))
        val = min(max(round(len(order) * val_share), wants_val), free - test)
        splits |= {
            name: "test" if at < test else "val" if at < test + val else "train" for at, name in enumerate(order)
        }
    return {name: splits[name] for name in labels}


def deal_missing(
    splits: Mapping[str, SplitName], labels: Mapping[str, int], test_share: float, val_share: float
) -> dict[str, SplitName]:
    """Return splits with a ``test``: as named if they have one, else dealt from ``val``, else from all images."""
    if "test" in splits.values():
        return dict(splits)
    val = {name: labels[name] for name, split in splits.items() if split == "val"}
    if not val:
        return deal(labels, test_share, val_share)
    share = test_share / (test_share + val_share)
    return {**splits, **deal(val, share, 1 - share)}
