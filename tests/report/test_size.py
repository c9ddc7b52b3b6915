"""The committed results stay small enough for git."""

import subprocess
from pathlib import Path

LIMIT = 25e6  # bytes, of all tracks
A_RUN = 45e3  # bytes, of what is stored of a run with 320 test images
PARTS = ("costs", "curves", "headline", "history", "metrics", "per_image", "provenance", "thumbnails")


def committed() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z", "results"], capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in listed.split("\0") if name]


def test_the_committed_results_have_at_most_25_mb() -> None:
    files = committed()
    assert len(files) > 100
    assert sum(path.stat().st_size for path in files) <= LIMIT


def test_what_is_stored_of_a_run_of_the_embedded_track_has_at_most_45_kb() -> None:
    files = [path for path in committed() if path.parts[1] in PARTS and path.stem.startswith("shapes-convnet-cam-")]
    runs = {path.stem for path in files if path.parts[1] == "metrics"}
    assert len(runs) >= 3
    assert sum(path.stat().st_size for path in files) <= A_RUN * len(runs)
