"""A reproducible benchmark of weakly supervised object localization."""

import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    __version__ = version("wsolbench")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["CODE_VARIABLE", "__version__"]

CODE_VARIABLE = "WSOLBENCH_CODE"
"""Environment variable: the checkout whose code runs, where that is not the installed one."""

_checkout = Path(os.environ.get(CODE_VARIABLE) or Path(__file__).parents[1])
if (_checkout / "methods" / "__init__.py").is_file():  # there, methods and data sets lie beside the package
    __path__[:] = [str(_checkout / "wsolbench"), str(_checkout)]
