"""Fail if the committed results do not belong to the committed code and params.

A fresh clone has neither data nor checkpoints: once `wsolbench resolve` has written what the present settings and code
make of each run, every stage is compared with what `dvc.lock` says it was made of, as far as that is here. None may
have changed, or never have run. Then it is said of which tracks this machine has all that it takes to run them again.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wsolbench.config.settings import read_settings
from wsolbench.launch.repository import Repository
from wsolbench.tools.doctor import what_a_track_lacks


def main() -> int:
    """Return the exit status: 0 if there is nothing to do."""
    subprocess.run(["wsolbench", "resolve"], check=True)
    stale = Repository(Path(), allow_missing=True).stale()
    if stale:
        print("\n".join(task.name for task in stale))
        print(
            "The committed results are stale: run `make benchmark`, or `wsolbench launch --allow-missing`, and commit "
            "results/ and dvc.lock."
        )
        return 1
    print("The committed results belong to this code and these params.")
    settings = read_settings()
    for track in settings.run.tracks:
        lacks = "; ".join(each.removesuffix(".") for each in what_a_track_lacks(settings, track, Path()))
        print(f"{track}: {f'cannot be run again here: {lacks}' if lacks else 'can be run again here'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
