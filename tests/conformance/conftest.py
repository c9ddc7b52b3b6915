"""Which promises are tried among the slow tests."""

from __future__ import annotations

import pytest

QUICK = {"convnet", "vit_embedded"}  # a network of each kind; the others are dear, and seldom tell more


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    from wsolbench.config import registry

    backbones = {*registry.names("backbone", own=True)}
    for item in items:
        if isinstance(item, pytest.Function) and hasattr(item, "callspec"):
            params = {value for value in item.callspec.params.values() if isinstance(value, str)}
            if item.path.stem in {"test_every_method", "test_every_backbone"} and params & backbones - QUICK:
                item.add_marker(pytest.mark.slow)
