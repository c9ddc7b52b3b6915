"""A trial's values are a function of seed, track, method and number alone."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from wsolbench.config.distributions import Choice, LogUniform, Uniform
from wsolbench.search.draw import draw

SPACE = {"train.lr": LogUniform(0.01, 1), "args.rate": Uniform(2, 6), "args.sizes": Choice(((1,), (2, 3), None))}


def drawn(number: int, seed: int = 0, track: str = "toy", method: str = "alpha") -> dict[str, object]:
    return draw(SPACE, seed, track, method, number)


def test_a_draw_is_pure_and_depends_on_no_order() -> None:
    forwards = [drawn(number) for number in range(20)]
    assert [drawn(number) for number in reversed(range(20))] == forwards[::-1]
    for other in (drawn(3, seed=1), drawn(3, track="other"), drawn(4)):
        assert other["train.lr"] != forwards[3]["train.lr"]
        assert other["args.rate"] != forwards[3]["args.rate"]


def test_another_process_draws_the_same_values() -> None:
    code = "import json; from tests.search.test_draw import drawn; print(json.dumps([drawn(n) for n in range(5)]))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(other.stdout) == [drawn(number) for number in range(5)]


def test_all_methods_try_the_same_recipes_and_their_own_arguments() -> None:
    alpha, beta = drawn(3), drawn(3, method="beta")
    assert alpha["train.lr"] == beta["train.lr"]
    assert alpha["args.rate"] != beta["args.rate"]


def test_a_parameter_more_leaves_the_other_draws_as_they_were() -> None:
    more = draw({"args.new": Uniform(0, 1), **SPACE}, 0, "toy", "alpha", 3)
    assert more.pop("args.new") not in more.values()
    assert more == drawn(3)


def test_values_are_those_of_the_documented_formulas() -> None:
    """By hand, from the SHA-256 of the key; they must never change, or stored searches would mix with new draws."""
    from hashlib import sha256

    def share(method: str, name: str) -> float:
        digest = sha256(json.dumps(["search", 0, "toy", method, name, 7]).encode()).hexdigest()
        return int(f"{int(digest, 16):0256b}"[:53], 2) / 2**53

    found = drawn(7)
    assert found["train.lr"] == pytest.approx(0.01 * 100 ** share("", "train.lr"), rel=1e-14)
    assert found["args.rate"] == pytest.approx(2 + 4 * share("alpha", "args.rate"), rel=1e-14)
    assert found["args.sizes"] == [[1], [2, 3], None][int(3 * share("alpha", "args.sizes"))]


def test_draws_have_the_distributions_that_are_declared() -> None:
    trials = [drawn(number) for number in range(3000)]
    rates = np.array([trial["train.lr"] for trial in trials])
    assert ((rates >= 0.01) & (rates <= 1)).all()
    assert (rates < 0.1).mean() == pytest.approx(1 / 2, abs=4 * (1 / 4 / 3000) ** 0.5)  # half of the two decades
    uniform = np.array([trial["args.rate"] for trial in trials])
    assert uniform.mean() == pytest.approx(4, abs=4 * (16 / 12 / 3000) ** 0.5)
    assert uniform.std() == pytest.approx((16 / 12) ** 0.5, rel=0.05)
    assert abs(np.corrcoef(np.log(rates), uniform)[0, 1]) < 4 / 3000**0.5
    for value in ([1], [2, 3], None):
        share = sum(trial["args.sizes"] == value for trial in trials) / 3000
        assert share == pytest.approx(1 / 3, abs=4 * (2 / 9 / 3000) ** 0.5)
