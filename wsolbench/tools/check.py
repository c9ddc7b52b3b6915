"""``wsolbench check``: whether a method or read-out keeps what is promised of it, with one line per promise."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from wsolbench.config import registry
from wsolbench.config.outside import target_of
from wsolbench.config.schema import PARAMS_FILE
from wsolbench.config.settings import read_settings
from wsolbench.errors import SettingsError, counted, shortened

__all__ = ["CHECKED", "check", "name_of"]

CHECKED = "WSOLBENCH_CHECKED"
"""Variable that names the only method or read-out to try; all of the repository if it is not set."""


def name_of(what: str) -> str:
    """Return the name under which the registry has a method: its key, or that of a file or class by the name of that.

    Raises:
        SettingsError: it cannot be loaded.
    """
    if PARAMS_FILE.is_file():
        read_settings()
    if what.partition(":")[0].endswith(".py") or "." in what:
        name = f"checked_{Path(what.partition(':')[0]).stem.rpartition('.')[2]}"
        registry.place("methods", {name: target_of(what, Path())})
    else:
        name = what
    registry.load(registry.kind_of(name), name)
    return name


def check(what: str) -> Iterator[str]:
    """Run the promises in this process, once; yield a line for each of them that concerns the method.

    ``what`` is the key of a method or read-out, the path of a file, or ``package.module:Class``.

    Raises:
        SettingsError: there is no such method, pytest is not installed, or a promise is broken.
    """
    if find_spec("pytest") is None:
        raise SettingsError("`wsolbench check` needs pytest; run pip install 'wsolbench[check]'")
    import pytest  # noqa: PLC0415

    name = name_of(what)
    os.environ[CHECKED] = name
    seen = _Seen(_exemptions(registry.load(registry.kind_of(name), name)))
    promises = "promises_of_readouts.py" if registry.kind_of(name) == "readout" else "promises.py"
    file, folder = Path(__file__).with_name(promises), Path(__file__).parent
    options = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(folder)]
    pytest.main(["-c", os.devnull, *options, "-m", "not slow", str(file)], plugins=[seen])
    yield from seen.lines()
    if not seen.found or seen.failed:
        raise SettingsError(f"{what}: {counted(len(seen.failed), 'promise')} of {len(seen.found)} not kept")


def _exemptions(component: Any) -> dict[str, str]:
    """Return why a method promises less, by what it declares."""
    found: dict[str, str] = component.exempt.reasons()
    flags = {"class_agnostic": "maps are the same for every class"}
    flags |= {"skips_parameters": "in some steps a parameter takes no part in any loss"}
    return found | {name: reason for name, reason in flags.items() if getattr(component, name, False)}


class _Seen:
    """What pytest reports: how often each promise was tried, the first failure of each, and what is kept in part only.

    Args:
        exemptions: of the method, with their reasons.
    """

    def __init__(self, exemptions: Mapping[str, str]) -> None:
        self.exemptions, self.exempt = exemptions, dict[str, str]()
        self.found: dict[str, int] = defaultdict(int)
        self.failed: dict[str, str] = {}

    def pytest_configure(self, config: Any) -> None:
        """Declare the marks."""
        config.addinivalue_line("markers", "slow: takes longer than a few seconds")
        config.addinivalue_line("markers", "exempts: what a method declares to promise less")

    def pytest_itemcollected(self, item: Any) -> None:
        """Keep which promises an exemption of the method is from."""
        mark = item.get_closest_marker("exempts")
        if mark and mark.args[0] in self.exemptions:
            self.exempt[_promise(item.originalname)] = self.exemptions[mark.args[0]]

    def pytest_collectreport(self, report: Any) -> None:
        """Keep what stops all promises from being tried."""
        if report.failed:
            self.failed["the promises cannot be tried"] = shortened(str(report.longrepr).strip().splitlines()[-1])

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Keep the outcome of a promise, with one backbone."""
        name, _, case = report.nodeid.partition("::")[2].partition("[")
        if report.when != "call" and not report.failed:
            return
        promise = _promise(name)
        self.found[promise] += report.when == "call"
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            why = crash.message.splitlines()[0] if crash else str(report.longrepr)
            self.failed.setdefault(promise, f"with {case.rstrip(']')}: {shortened(why)}")

    def lines(self) -> Iterator[str]:
        """Yield a line per promise."""
        for promise, times in self.found.items():
            if promise in self.failed:
                yield f"BROKEN  {promise} ({self.failed[promise]})"
            elif promise in self.exempt:
                yield f"exempt  {promise} ({self.exempt[promise]})"
            else:
                yield f"kept    {promise}{f' ({times} times)' if times > 1 else ''}"
        for promise in self.failed.keys() - self.found.keys():
            yield f"BROKEN  {promise} ({self.failed[promise]})"


def _promise(test: str) -> str:
    return test.removeprefix("test_").replace("_", " ")
