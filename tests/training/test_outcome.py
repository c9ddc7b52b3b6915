"""A training that has learned nothing, or has diverged, is told from others."""

from __future__ import annotations

import json

import numpy as np
import pytest
from ruamel.yaml import YAML
from scipy.stats import binom

from tests.training.conftest import TRACK
from tests.training.test_trainer import CAM, train_into, with_track
from wsolbench.config.paths import Layout
from wsolbench.config.settings import Settings
from wsolbench.data.scoremaps import StoredMaps
from wsolbench.evaluation.evaluate import evaluate_key
from wsolbench.training.outcome import training_outcome

FALLING = [{"epoch": 1, "lr": 9.0, "loss_a": 2.0, "loss_b": 1.0}, {"epoch": 2, "lr": 0.1, "loss_a": 2.5, "loss_b": 0.1}]


def guesses(labels: list[int], right: int, classes: int = 9) -> StoredMaps:
    """Return predictions of which the first ones are right."""
    wanted = np.array(labels, np.int64)
    guessed = np.where(np.arange(len(labels)) < right, wanted, (wanted + 1) % max(classes, 1))
    top5 = np.stack([guessed, guessed], 1) if classes else np.zeros((len(labels), 0), np.int64)
    return StoredMaps(np.arange(len(labels)).astype(str), wanted, np.zeros((len(labels), 1, 1)), top5, top5 * 0.0)


NONE = guesses([], 0)


@pytest.mark.parametrize(
    "labels", [[k % 3 for k in range(60)], [0] * 50 + [1] * 20, [k % 200 for k in range(1000)], [0, 1] * 3000]
)
def test_chance_is_the_binomial_bound_of_the_most_frequent_class(labels: list[int]) -> None:
    share = max(labels.count(label) for label in set(labels)) / len(labels)
    fewest = (
        int(binom.ppf(0.95, len(labels), share)) + 1
    )  # the first number of right ones with P(as many or more) <= 5 %
    assert binom.sf(fewest - 1, len(labels), share) <= 0.05 < binom.sf(fewest - 2, len(labels), share)
    for right, expected in ((0, True), (fewest - 1, True), (fewest, False), (len(labels), False)):
        found = training_outcome({"val": guesses(labels, right), "test": NONE}, FALLING)
        assert found.at_chance is expected
        said = f"Top-1 Cls on val is {right / len(labels):.1%} of {len(labels)} images"
        assert [problem.startswith(said) for problem in found.problems] == [True] * expected
    assert (
        f"is {0:.1%} of {len(labels)} images"
        in training_outcome({"val": guesses(labels, 0), "test": NONE}, []).problems[0]
    )


def test_naming_the_most_frequent_class_is_not_learning() -> None:
    labels = [0] * 90 + [1] * 10
    constant = guesses(labels, 90)
    assert training_outcome({"val": constant, "test": NONE}, []).at_chance is True


def test_without_val_the_test_images_tell() -> None:
    assert training_outcome({"val": NONE, "test": guesses([0, 1] * 30, 30)}, []).at_chance is True
    assert training_outcome({"val": NONE, "test": guesses([0, 1] * 30, 60)}, []).at_chance is False


@pytest.mark.parametrize(
    "found", [NONE, guesses([0, 1] * 2, 4), guesses([3] * 50, 50), guesses([0, 1] * 40, 0, classes=0)]
)
def test_what_cannot_be_told_is_not_said(found: StoredMaps) -> None:
    """No images, too few, one class only, and no classification."""
    outcome = training_outcome({"val": found, "test": found}, [])
    assert (outcome.at_chance, outcome.loss_grew, outcome.problems) == (None, None, ())


def test_a_loss_grows_where_the_sum_of_its_terms_does() -> None:
    val = {"val": guesses([0, 1] * 30, 60), "test": NONE}
    assert training_outcome(val, FALLING).loss_grew is False
    assert training_outcome(val, FALLING[:1]).loss_grew is None
    grown = training_outcome(val, [FALLING[0], {"epoch": 2, "loss_a": 1.0, "loss_b": 2.1}])
    assert grown.loss_grew is True
    assert grown.problems == ("its loss grew from 3 in the first epoch to 3.1 in the last",)


def test_the_last_line_and_the_metrics_say_it(
    layout: Layout, tiny_settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Ten images of val would do; with the six of the tiny set, five right ones are above chance."""
    stuck = with_track(tiny_settings, lr=1e-12)
    train_into(layout, stuck, CAM)
    last = caplog.records[-1]
    assert last.levelname == "WARNING"
    assert f"{CAM}: done" in last.getMessage()
    assert "Top-1 Cls on val is" in last.getMessage()
    stored = YAML(typ="safe").load((layout.run(CAM) / "run.yaml").read_text())["training"]
    assert stored["at_chance"] is True
    evaluate_key(stuck, CAM, layout, 1)
    assert json.loads(layout.metrics(TRACK, CAM).read_text())["training"] == stored


def test_an_ordinary_training_ends_without_a_warning(
    layout: Layout, tiny_settings: Settings, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wsolbench.training.outcome._LEVEL", 1.0)  # two epochs teach a tiny network too little
    train_into(layout, tiny_settings, CAM)
    assert caplog.records[-1].levelname == "INFO"
    assert caplog.records[-1].getMessage().startswith(f"{CAM}: done; loading")
