"""Where the files of tracks and runs lie, relative to the repository's root."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """Paths below one repository; ``key`` is always ``<track>-<method>-<seed>``.

    Attributes:
        root: the repository.
    """

    root: Path = Path()

    def prepared(self, track: str) -> Path:
        """Index (and, for generated sets, files) of a track's data set."""
        return self.root / "data" / track

    def weights(self, track: str) -> Path:
        """Checked pretrained weights of a track's backbone."""
        return self.root / "data" / "weights" / track

    def selection(self, track: str) -> Path:
        """What training may know of the truth: nothing, or that of ``val``."""
        return self.root / "data" / "selection" / f"{track}.parquet"

    def run(self, key: str) -> Path:
        """Checkpoint, maps, history and resolved settings of a run."""
        return self.root / "results" / "runs" / key

    def work(self, key: str) -> Path:
        """Scratch of a run in progress; outside everything that DVC removes or keeps."""
        return self.root / ".wsolbench" / "work" / key

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
        return self.root / "data" / "look" / f"{track}.json"

    def log(self, key: str) -> Path:
        """Log lines of a run, with times."""
        return self.root / "results" / "logs" / f"{key}.log"

    def provenance(self, key: str) -> Path:
        """Commit, versions, device and times of a run."""
        return self.root / "results" / "provenance" / f"{key}.json"

    def costs(self, track: str, key: str) -> Path:
        """What a method costs on a track; ``key`` is ``<track>-<method>``, or that of a cell's run."""
        return self.root / "results" / "costs" / track / f"{key}.json"

    def metrics(self, track: str, key: str) -> Path:
        """Deterministic numbers of a run."""
        return self.root / "results" / "metrics" / track / f"{key}.json"

    def per_image(self, track: str, key: str) -> Path:
        """One row per test image."""
        return self.root / "results" / "per_image" / track / f"{key}.parquet"

    def history(self, track: str, key: str) -> Path:
        """Losses and learning rate over the epochs of a training."""
        return self.root / "results" / "history" / track / f"{key}.csv"

    def curves(self, track: str, key: str) -> Path:
        """Accuracy over thresholds."""
        return self.root / "results" / "curves" / track / f"{key}.csv"

    def thumbnails(self, track: str, key: str) -> Path:
        """Small maps of the gallery's candidate images."""
        return self.root / "results" / "thumbnails" / track / f"{key}.npz"

    def photographs(self, track: str) -> tuple[Path, Path]:
        """Sheet of the gallery's candidate images, and what is true of them."""
        folder = self.root / "results" / "thumbnails" / track
        return folder / "photographs.jpg", folder / "photographs.json"
