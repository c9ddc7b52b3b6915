from tests.report.conftest import full, masked, repository

__all__ = ["full", "masked", "repository"]
