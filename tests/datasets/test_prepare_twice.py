"""Two preparations of a generated track at once: the second waits, and both end well."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.datasets.conftest import prepare_whole
from tests.tiny import TINY_SHAPES
from wsolbench.data.dataset import SPLITS, Contents
from wsolbench.data.index import read_split
from wsolbench.datasets.shapes import Shapes


def test_the_second_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn, original, ended, lost = threading.Event(), Shapes.contents, [], []

    def slow(self: Shapes, directory: Path) -> Contents:
        found = original(self, directory)
        drawn.set()
        time.sleep(0.5)  # time enough for another preparation to remove what this one has drawn
        lost.extend(item.path for item in found.items if not (directory / item.path).is_file())
        return found

    monkeypatch.setattr(Shapes, "contents", slow)

    def prepare(**block: Any) -> None:
        ended.append(prepare_whole("shapes", tmp_path, **block))

    first, second = (threading.Thread(target=prepare, kwargs=TINY_SHAPES) for _ in range(2))
    first.start()
    drawn.wait()
    second.start()
    first.join()
    second.join()
    assert (len(ended), lost) == (2, [])
    for split in SPLITS:
        assert all((ended[0] / item.path).is_file() for item in read_split(ended[0], split).items)
