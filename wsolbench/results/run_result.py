"""The former name of :mod:`wsolbench.results.schema`, until what still uses it is rewritten."""

from wsolbench.results.schema import RunResult, SkippedRun, parse_metrics

__all__ = ["RunResult", "SkippedRun", "parse_metrics"]
