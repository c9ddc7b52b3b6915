"""Fail if the committed results do not belong to the committed code and params.

A fresh clone has neither data nor checkpoints; once `wsolbench resolve` has written what the present settings and code
make of each run, `dvc repro --allow-missing --dry` says which stages would run because something that they depend on
changed. None may, but those that always run.
"""

from __future__ import annotations

import subprocess
import sys


def main() -> int:
    """Return the exit status: 0 if there is nothing to do."""
    subprocess.run(["wsolbench", "resolve"], check=True)
    done = subprocess.run(["dvc", "repro", "--allow-missing", "--dry"], capture_output=True, text=True, check=False)
    output = done.stdout + done.stderr
    running = [line for line in output.splitlines() if line.startswith("Running stage")]
    stale = [line for line in running if not line.startswith(("Running stage 'look@", "Running stage 'resolve'"))]
    if done.returncode or stale:
        print(output)
        print("The committed results are stale: run `make benchmark` and commit results/ and dvc.lock.")
        return 1
    print("The committed results belong to this code and these params.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
