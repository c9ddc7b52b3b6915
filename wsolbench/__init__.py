"""A reproducible benchmark of weakly supervised object localization.

From Python, without a repository of runs: :func:`score` and :func:`boxes_of` for one map, :func:`evaluate_maps` for the
maps of a set, :func:`load_run` and :func:`predict` for trained runs (:mod:`wsolbench.api`). All names below are
imported when they are first used.
"""

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wsolbench.api import boxes_of, evaluate_maps, load_run, predict, score
    from wsolbench.data.dataset import WsolDataset
    from wsolbench.evaluation.external_maps import MapsOf, Scores, write_scores
    from wsolbench.evaluation.external_maps import score as score_folder
    from wsolbench.evaluation.lists import read_predictions, split_of_metadata
    from wsolbench.evaluation.map_files import find_maps
    from wsolbench.evaluation.score_table import score_table
    from wsolbench.models.backbones.base import Backbone
    from wsolbench.models.method import Method

    __version__: str

__all__ = [
    "CODE_VARIABLE",
    "Backbone",
    "MapsOf",
    "Method",
    "Scores",
    "WsolDataset",
    "__version__",
    "boxes_of",
    "evaluate_maps",
    "find_maps",
    "load_run",
    "predict",
    "read_predictions",
    "score",
    "score_folder",
    "score_table",
    "split_of_metadata",
    "write_scores",
]

CODE_VARIABLE = "WSOLBENCH_CODE"
"""Environment variable: the checkout whose code runs, where that is not the installed one."""

_checkout = Path(os.environ.get(CODE_VARIABLE) or Path(__file__).parents[1])
if (_checkout / "methods" / "__init__.py").is_file():  # there, methods and data sets lie beside the package
    __path__[:] = [str(_checkout / "wsolbench"), str(_checkout)]

_FROM = {
    "Backbone": "models.backbones.base",
    "MapsOf": "evaluation.external_maps",
    "Method": "models.method",
    "Scores": "evaluation.external_maps",
    "WsolDataset": "data.dataset",
    "boxes_of": "api",
    "evaluate_maps": "api",
    "find_maps": "evaluation.map_files",
    "load_run": "api",
    "predict": "api",
    "read_predictions": "evaluation.lists",
    "score": "api",
    "score_folder": "evaluation.external_maps",
    "score_table": "evaluation.score_table",
    "split_of_metadata": "evaluation.lists",
    "write_scores": "evaluation.external_maps",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name not in _FROM:
        raise AttributeError(f"module 'wsolbench' has no attribute '{name}'")
    defined = "score" if name == "score_folder" else name
    return getattr(import_module(f"wsolbench.{_FROM[name]}"), defined)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - takes as long as all else here

    try:
        return version("wsolbench")
    except PackageNotFoundError:  # a source tree that was never installed
        return "0+unknown"
