"""The results of the embedded benchmark stay small enough for git."""

from pathlib import Path

TRACK = "shapes-convnet"
LIMIT = 5e6  # bytes
IGNORED = {"runs", "logs"}  # by git


def test_the_committed_results_of_the_embedded_benchmark_have_at_most_5_mb() -> None:
    files = [path for path in Path("results").rglob("*") if path.is_file()]
    tracked = [path for path in files if path.parts[1] not in IGNORED]
    ours = [path for path in tracked if TRACK in str(path) or len(path.parts) == 2 or path.parts[1] == "published"]
    assert len(ours) > 100
    assert sum(path.stat().st_size for path in ours) <= LIMIT
