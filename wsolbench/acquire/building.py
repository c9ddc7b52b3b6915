"""From settings to a data set's object, which says where its images are.

Stages that train or evaluate use it for that alone: what they read is checked against the digests in the index.
"""

from __future__ import annotations

from wsolbench.acquire.truth_policy import divided
from wsolbench.config import registry
from wsolbench.config.settings import Settings, validated_arguments
from wsolbench.data.dataset import WsolDataset

__all__ = ["build_dataset"]


def build_dataset(settings: Settings, name: str) -> WsolDataset:
    """Return the data set ``name`` with its arguments from ``params.yaml``.

    Raises:
        SettingsError: an argument does not fit the data set's constructor.
    """
    dataset_class, where = registry.load("dataset", name), f"datasets.{name}"
    arguments = divided(settings.datasets.get(name, {}), where).arguments
    dataset: WsolDataset = dataset_class(**validated_arguments(dataset_class, arguments, where))
    return dataset
