"""Pretrained weights on their way from a directory into a network."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torchvision.models import mobilenet_v2

from wsolbench.config.settings import Run, Settings
from wsolbench.errors import DataError, SettingsError, WeightsError
from wsolbench.models import placing
from wsolbench.models.backbones.weights import PINNED, PinnedWeights
from wsolbench.models.placing import place_weights
from wsolbench.models.pretrained import RECORD_FILE, read_placed
from wsolbench.training.building import build_backbone, build_method

BACKBONE, NAME = "mobilenet_v2", "tiny"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the weight file of a narrow network, pinned by the first digits of its digest."""
    monkeypatch.delenv("WSOLBENCH_WEIGHTS", raising=False)
    torch.manual_seed(0)
    folder = tmp_path / "weights"
    folder.mkdir()
    file = folder / "tiny.pth"
    torch.save(mobilenet_v2(width_mult=0.25).state_dict(), file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    entry = PinnedWeights(NAME, file.name, digest[:8], "made here", "MIT", backbone_args={"width": 0.25})
    monkeypatch.setitem(PINNED[BACKBONE], NAME, entry)
    return folder


@pytest.fixture
def placed(root: Path, tmp_path: Path) -> Path:
    place_weights(BACKBONE, NAME, root, tmp_path / "placed")
    return tmp_path / "placed"


@pytest.fixture
def run_of(tiny_settings: Settings) -> Callable[..., Run]:
    def run(method: str, **backbone_args: Any) -> Run:
        data = tiny_settings.model_dump()
        data["tracks"]["tiny"] |= {"backbone": BACKBONE, "weights": NAME, "backbone_args": backbone_args}
        data["methods"] |= {method: {}}
        return Settings.model_validate(data).resolve(f"tiny-{method}-0")

    return run


def test_a_file_that_is_not_at_hand_is_fetched_from_its_address(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = dataclasses.replace(PINNED[BACKBONE][NAME], url="https://example.org/tiny.pth")
    monkeypatch.setitem(PINNED[BACKBONE], NAME, entry)
    placed = tmp_path / "placed"

    def fetched(url: str, target: Path, *, size: int | None, sha256: str | None) -> None:
        assert (url, sha256) == (entry.url, entry.sha256)
        target.write_bytes((root / "tiny.pth").read_bytes())

    monkeypatch.setattr(placing, "fetch", fetched)
    place_weights(BACKBONE, NAME, None, placed)
    assert read_placed(placed, BACKBONE, NAME)[1] == placed / "tiny.pth"

    def unreachable(*args: object, **kwargs: object) -> None:
        raise DataError("tiny.pth could not be fetched: no connection")

    monkeypatch.setattr(placing, "fetch", unreachable)
    with pytest.raises(WeightsError, match=r"no connection\nWithout a network, put tiny\.pth into a directory"):
        place_weights(BACKBONE, NAME, None, placed)
    assert read_placed(placed, BACKBONE, NAME)[1] == placed / "tiny.pth"  # what was there is still there


def test_the_whole_digest_is_recorded_where_only_its_beginning_is_published(placed: Path) -> None:
    record = json.loads((placed / RECORD_FILE).read_text())["weights"]
    assert record["pinned_sha256"] == record["sha256"][:8]
    assert record["sha256"] == hashlib.sha256((placed / "tiny.pth").read_bytes()).hexdigest()
    said, file = read_placed(placed, BACKBONE, NAME)
    assert said == {"name": NAME, "sha256": record["sha256"]}
    assert file == placed / "tiny.pth"


def test_a_file_that_changed_since_it_was_placed_is_refused(placed: Path) -> None:
    record = placed / RECORD_FILE
    record.write_text(record.read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(WeightsError, match=r"tiny\.pth: sha256 is .*, weights\.json says 0"):
        read_placed(placed, BACKBONE, NAME)


@pytest.mark.parametrize("content", [None, "", "[]", "{}"])
def test_a_damaged_record_is_named(placed: Path, content: str | None) -> None:
    (placed / RECORD_FILE).unlink()
    if content is not None:
        (placed / RECORD_FILE).write_text(content)
    with pytest.raises(DataError, match=r"weights\.json is (missing|damaged)"):
        read_placed(placed, BACKBONE, NAME)


def test_what_the_weights_were_trained_with_is_the_default(placed: Path, run_of: Callable[..., Run]) -> None:
    backbone = build_backbone(run_of("cam"), placed / "tiny.pth")
    assert backbone.channels["conv1"] == 8
    with pytest.raises(WeightsError, match=r"is backbone_args\.width \(0\.5\) that of the weights"):
        build_backbone(run_of("cam", width=0.5), placed / "tiny.pth")


def test_a_method_that_has_no_use_for_the_classifier_says_so(placed: Path, run_of: Callable[..., Run]) -> None:
    build = partial(build_method, num_classes=1000, weights_file=placed / "tiny.pth")
    classifier = build(run_of("cam", keep_classifier=True)).head.classifier
    assert torch.equal(classifier.weight, torch.load(placed / "tiny.pth", weights_only=True)["classifier.1.weight"])
    with pytest.raises(SettingsError, match="method 'acol' brings its own classifiers"):
        build(run_of("acol", keep_classifier=True))


def test_no_epochs_need_a_classifier(tiny_settings: Settings) -> None:
    data = tiny_settings.model_dump()
    data["tracks"]["tiny"]["epochs"] = 0
    with pytest.raises(ValueError, match="epochs: 0 trains no classifier"):
        Settings.model_validate(data)
