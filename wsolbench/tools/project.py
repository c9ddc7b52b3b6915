"""``wsolbench new project``: a benchmark of one's own in a folder of one's own, without a clone of the repository."""

from __future__ import annotations

import io
from importlib.resources import files
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from wsolbench.config.schema import PARAMS_FILE, load_yaml, validated
from wsolbench.config.settings import Settings
from wsolbench.errors import SettingsError
from wsolbench.files import write_text
from wsolbench.tools.params_schema import SCHEMA_FILE, SCHEMA_LINE, schema_text

__all__ = ["new_project", "template"]

_METHODS = 2  # the first of those that need no settings of their own
_HEAD = """\
# All choices of this benchmark; `wsolbench doctor` checks it. It runs two methods on generated images:
#   dvc repro, or wsolbench launch, which executes several runs at a time
# Next: wsolbench new dataset NAME FOLDER, wsolbench new track NAME-BACKBONE --dataset NAME, wsolbench new method NAME.
"""
_IGNORED = "/data/\n/results/runs/\n/results/logs/\n/.wsolbench/\n__pycache__/\n*.tmp\n"
_PAGE_FILES = "      - wsolbench/report/html\n"  # which the installed package has, and no project
_DVC = "[core]\n    analytics = false\n"


def new_project(folder: Path) -> list[str]:
    """Write ``params.yaml``, ``dvc.yaml``, ``methods/`` and DVC's folder for ``dvc repro``; return what was written.

    The folder is made if need be; it may hold other files, but none of these.

    Raises:
        SettingsError: there is one of them already.
    """
    in_git = any((place / ".git").exists() for place in (folder.resolve(), *folder.resolve().parents))
    contents = {
        "params.yaml": SCHEMA_LINE + _HEAD + _params(),
        SCHEMA_FILE: schema_text(),
        "dvc.yaml": template("dvc.yaml").replace(_PAGE_FILES, ""),
        "methods/README": "A file for each method of your own: `wsolbench new method NAME` writes one.\n",
        "entries/README": "Rows that were not trained here; `wsolbench score --entry NAME --track TRACK` adds one.\n",
        "results/search/README": "`wsolbench search` writes its trials here.\n",
        "results/published/README": "Numbers of papers; without any, nothing is compared with them.\n",
        ".dvc/.gitignore": "/config.local\n/tmp\n/cache\n",
        ".dvc/config": _DVC + ("" if in_git else "    no_scm = true\n"),
        ".dvcignore": "",
        ".gitignore": _IGNORED,
    }
    for name in contents:
        if (folder / name).exists():
            raise SettingsError(f"{folder / name} exists already; choose an empty folder")
    for name, text in contents.items():
        write_text(folder / name, text)
    return list(contents)


def template(name: str) -> str:
    """Return a file that the package carries: the ``dvc.yaml`` and ``params.yaml`` of the repository, and code."""
    return files("wsolbench.tools").joinpath("templates", f"{name}.template").read_text(encoding="utf-8")


def _params() -> str:
    """Return the part of the shipped ``params.yaml`` that concerns the track of generated images."""
    shipped: dict[str, Any] = load_yaml(template(str(PARAMS_FILE)))
    track = shipped["run"]["tracks"][0]
    settings = validated(Settings, shipped, "")
    recipe = settings.tracks[track]
    methods = [name for name, block in shipped["methods"].items() if not _on_track(block, track)][:_METHODS]
    data = shipped | {
        "methods": {name: _on_track(shipped["methods"][name], track) for name in methods},
        "datasets": {recipe.dataset: shipped["datasets"][recipe.dataset]},
        "tracks": {track: recipe.model_dump(exclude_defaults=True)},
        "run": {
            name: [] if isinstance(value, list) and name != "baselines" else value
            for name, value in shipped["run"].items()
        }
        | {"tracks": [track], "methods": methods, "seeds": [0], "only": {}, "full_only": {}},
    }
    data["evaluate"] = {**shipped.get("evaluate", {}), "published_threshold": {}}
    named = [*methods, *data["run"]["baselines"]]
    looks = {name: look for name, look in shipped["report"]["looks"].items() if name in named}
    notes = {name: note for name, note in shipped["report"]["notes"].items() if name == track}
    data["report"] = {**shipped["report"], "looks": looks, "notes": notes}
    stream, yaml = io.StringIO(), YAML()
    yaml.width = 120
    yaml.dump(data, stream)
    return stream.getvalue()


def _on_track(block: dict[str, Any], track: str) -> dict[str, Any]:
    tracks = {name: value for name, value in block.get("tracks", {}).items() if name == track}
    return {key: value for key, value in block.items() if key != "tracks"} | ({"tracks": tracks} if tracks else {})
