"""A reproducible benchmark of weakly supervised object localization."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("wsolbench")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
