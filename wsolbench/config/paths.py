"""Where the files of tracks and runs lie, relative to the repository's root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wsolbench.config.keys import check_key

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Paths below one repository; ``key`` is always ``<track>-<method>-<seed>``.

    A key that is none, and so could lead out of its folder, raises :class:`~wsolbench.errors.SettingsError`.

    Attributes:
        root: the repository.
    """

    root: Path = Path()

    def prepared(self, track: str) -> Path:
        """Index (and, for generated sets, files) of a track's data set."""
        return self.root / "data" / _plain(track)

    @property
    def recipes(self) -> Path:
        """What each run of each stage is to do, a file each: ``<stage>/<run or track>.json``."""
        return self.root / "data" / "recipes"

    def weights(self, track: str) -> Path:
        """Checked pretrained weights of a track's backbone."""
        return self.root / "data" / "weights" / _plain(track)

    def selection(self, track: str) -> Path:
        """What training may know of the truth: nothing, or that of ``val``."""
        return self.root / "data" / "selection" / f"{_plain(track)}.parquet"

    def run(self, key: str) -> Path:
        """Checkpoint, maps, history and resolved settings of a run."""
        return self.root / "results" / "runs" / _plain(key)

    def work(self, key: str) -> Path:
        """Scratch of a run in progress; outside everything that DVC removes or keeps."""
        return self.root / ".wsolbench" / "work" / _plain(key)

    @property
    def cache(self) -> Path:
        """Decoded and resized pictures, shared by all runs; may be deleted at any time."""
        return self.root / ".wsolbench" / "cache"

    @property
    def checked(self) -> Path:
        """What ``prepare`` has found of image files; may be deleted at any time."""
        return self.root / ".wsolbench" / "checked"

    def look(self, track: str) -> Path:
        """What tells whether a data set's files have changed since the last look."""
        return self.root / "data" / "look" / f"{_plain(track)}.json"

    def log(self, key: str) -> Path:
        """Log lines of a run, with times."""
        return self.root / "results" / "logs" / f"{key}.log"

    def provenance(self, key: str) -> Path:
        """Commit, versions, device and times of a run."""
        return self.root / "results" / "provenance" / f"{_plain(key)}.json"

    def costs(self, track: str, key: str) -> Path:
        """What a method costs on a track; ``key`` is ``<track>-<method>``."""
        return self.root / "results" / "costs" / _plain(track) / f"{_plain(key)}.json"

    def metrics(self, track: str, key: str) -> Path:
        """Deterministic numbers of a run."""
        return self.root / "results" / "metrics" / _plain(track) / f"{_plain(key)}.json"

    def headline(self, track: str, key: str) -> Path:
        """The few of a run's numbers that ``dvc metrics show`` lists."""
        return self.root / "results" / "headline" / _plain(track) / f"{_plain(key)}.json"

    def per_image(self, track: str, key: str) -> Path:
        """One row per test image."""
        return self.root / "results" / "per_image" / _plain(track) / f"{_plain(key)}.parquet"

    def history(self, track: str, key: str) -> Path:
        """Losses and learning rate over the epochs of a training."""
        return self.root / "results" / "history" / _plain(track) / f"{_plain(key)}.csv"

    def curves(self, track: str, key: str) -> Path:
        """Accuracy over thresholds."""
        return self.root / "results" / "curves" / _plain(track) / f"{_plain(key)}.csv"

    def thumbnails(self, track: str, key: str) -> Path:
        """Small maps of the gallery's candidate images."""
        return self.root / "results" / "thumbnails" / _plain(track) / f"{_plain(key)}.npz"

    def photographs(self, track: str) -> tuple[Path, Path]:
        """Sheet of the gallery's candidate images, and what is true of them."""
        folder = self.root / "results" / "thumbnails" / _plain(track)
        return folder / "photographs.jpg", folder / "photographs.json"


def _plain(key: str) -> str:
    check_key("key", key)
    return key
