"""The table of classes against counting."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from tests.report.conftest import Repository
from wsolbench.report.classes import classes_csv


def test_hits_of_each_class_over_seeds(full: Repository) -> None:
    table = pd.read_csv(io.StringIO(classes_csv(full.track(), full.root)))
    assert list(zip(table["method"], table["class"], strict=True)) == [
        (method, label) for method in ("alpha", "beta", "ceiling") for label in (0, 1)
    ]
    assert set(table["images"]) == {200}
    # Alpha localizes the first 176, 180 and 184 of 400 images, whose classes alternate.
    first = table.iloc[0]
    shares = [44.0, 45.0, 46.0]
    assert first["gt_known_val_mean"] == pytest.approx(np.mean(shares))
    assert first["gt_known_val_sd"] == pytest.approx(np.std(shares, ddof=1))
    assert first["gt_known_val_n"] == 3


def test_classes_of_one_image_have_no_rows(full: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsolbench.report.classes._FEWEST", 201)
    (heading,) = classes_csv(full.track(), full.root).splitlines()
    assert heading.startswith("class,method,recipe,images,")
