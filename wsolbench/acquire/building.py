"""From settings to a data set's object, which says where its images are.

Stages that train or evaluate use it for that alone: what they read is checked against the digests in the index.
"""

from __future__ import annotations

from wsolbench.acquire.policy import dataset_arguments
from wsolbench.config.settings import Settings
from wsolbench.data.dataset import WsolDataset
from wsolbench.errors import SettingsError

__all__ = ["build_dataset"]


def build_dataset(settings: Settings, name: str) -> WsolDataset:
    """Return the data set of a key, with its arguments from ``params.yaml``.

    Raises:
        SettingsError: an argument does not fit the constructor of the data set's class.
    """
    arguments = dataset_arguments(settings, name)
    try:
        dataset: WsolDataset = settings.dataset_class(name)(**arguments)
    except SettingsError as error:
        raise SettingsError(f"datasets.{name}.{error}") from None
    dataset.key = name
    return dataset
