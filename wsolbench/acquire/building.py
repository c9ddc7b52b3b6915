"""From settings to a data set's object, which says where its images are.

Stages that train or evaluate use it for that alone: what they read is checked against the digests in the index.
"""

from __future__ import annotations

from wsolbench.acquire.policy import COMMON_KEYS, divided
from wsolbench.config.settings import Settings, validated_arguments
from wsolbench.data.dataset import WsolDataset
from wsolbench.errors import SettingsError

__all__ = ["build_dataset"]


def build_dataset(settings: Settings, name: str) -> WsolDataset:
    """Return the data set of a key, with its arguments from ``params.yaml``.

    Raises:
        SettingsError: an argument does not fit the constructor of the data set's class.
    """
    dataset_class, where = settings.dataset_class(name), f"datasets.{name}"
    chosen = divided(settings.datasets.get(name, {}), where)
    arguments = validated_arguments(dataset_class, chosen.arguments(dataset_class), where, beside=COMMON_KEYS)
    try:
        dataset: WsolDataset = dataset_class(**arguments)
    except SettingsError as error:
        raise SettingsError(f"{where}.{error}") from None
    dataset.key = name
    return dataset
