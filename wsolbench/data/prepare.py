"""The first stage: look a data set over once and write its index."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from wsolbench import registry
from wsolbench.data.index import INDEX_FILE, TRUTH_FILE, write_index
from wsolbench.data.val_policy import divided_arguments
from wsolbench.dataset import SPLITS, WsolDataset
from wsolbench.settings import Settings, validated_arguments

__all__ = ["build_dataset", "prepare"]

_log = logging.getLogger("wsolbench.prepare")


def build_dataset(settings: Settings, name: str) -> WsolDataset:
    """Return the data set ``name`` with its arguments from ``params.yaml``.

    Raises:
        SettingsError: an argument does not fit the data set's constructor.
    """
    dataset_class, where = registry.load("dataset", name), f"datasets.{name}"
    _, arguments = divided_arguments(settings.datasets.get(name, {}), where)
    dataset: WsolDataset = dataset_class(**validated_arguments(dataset_class, arguments, where))
    return dataset


def prepare(settings: Settings, name: str, directory: Path) -> str:
    """Write index and truth of a data set (and the files of a generated one) to ``directory``.

    The index is written last: a directory without it is not taken for a prepared one.

    Returns:
        The digest of the index.

    Raises:
        DataError: files are missing, unreadable or contradictory.
    """
    dataset = build_dataset(settings, name)
    for stale in (INDEX_FILE, TRUTH_FILE):
        (directory / stale).unlink(missing_ok=True)
    if "embedded" in dataset.traits:
        shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True, exist_ok=True)
    policy, _ = divided_arguments(settings.datasets.get(name, {}), f"datasets.{name}")
    contents = policy.applied(dataset.contents(directory))
    digest = write_index(directory, contents, dataset.image_root(directory), policy.truth_name)
    counts = {split: sum(item.split == split for item in contents.items) for split in SPLITS}
    _log.info("%s: %s; %d classes; digest %s", name, counts, len(contents.class_names), digest[:12])
    return digest
