"""What a trial may draw, and how a trial's draws depend on its number and on nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from wsolbench.config.distributions import Choice, Distribution, LogUniform, Uniform
from wsolbench.search.record import ARGUMENT, RECIPE

__all__ = ["ROUND", "Parameter", "RandomDraws", "RoundedTpe", "decoded", "random_values", "sampler_of"]

ROUND = 10
"""Trials of a round of :class:`RoundedTpe`; the first round is drawn at random."""


@dataclass(frozen=True)
class Parameter:
    """Something that trials differ in.

    Attributes:
        name: ``args.<argument>`` of the method, or ``train.<field>`` of the recipe.
        drawn: its distribution.
    """

    name: str
    drawn: Distribution

    @property
    def is_common(self) -> bool:
        """Whether it is a field of the recipe, which all methods of a track search alike."""
        return self.name.startswith(RECIPE)

    @property
    def key(self) -> str:
        """The name without its prefix."""
        return self.name.removeprefix(RECIPE).removeprefix(ARGUMENT)

    @property
    def kind(self) -> Literal["uniform", "log", "choice"]:
        """How values are drawn, as files say it."""
        kinds: dict[type, Literal["uniform", "log", "choice"]] = {
            Uniform: "uniform",
            LogUniform: "log",
            Choice: "choice",
        }
        return kinds[type(self.drawn)]

    @property
    def distribution(self) -> BaseDistribution:
        """The same for Optuna, whose journal holds plain values: a choice is among JSON texts."""
        if isinstance(self.drawn, Choice):
            return CategoricalDistribution([_text(value) for value in self.drawn.values])
        return FloatDistribution(self.drawn.low, self.drawn.high, log=isinstance(self.drawn, LogUniform))

    def suggest(self, trial: optuna.Trial) -> None:
        """Let a trial draw it, unless it has."""
        if isinstance(self.drawn, Choice):
            trial.suggest_categorical(self.name, [_text(value) for value in self.drawn.values])
        else:
            trial.suggest_float(self.name, self.drawn.low, self.drawn.high, log=isinstance(self.drawn, LogUniform))


def decoded(parameters: Sequence[Parameter], stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return a trial's parameters as constructor and recipe take them, from how Optuna holds them."""
    found = dict(stored)
    for parameter in parameters:
        if isinstance(parameter.drawn, Choice):
            values = {_text(value): value for value in parameter.drawn.values}
            found[parameter.name] = values[stored[parameter.name]]
    return found


def random_values(parameters: Sequence[Parameter], seed: int, track: str, method: str, number: int) -> dict[str, Any]:
    """Draw a trial: a function of seed, track, method and number alone.

    Each parameter has a generator of its own, so that a method that gains an argument keeps its other draws. Those of
    common parameters do not depend on the method: trial 7 tries the same learning rate for every method of a track.

    Returns:
        Values by name, as Optuna holds them.
    """
    found: dict[str, Any] = {}
    for parameter in parameters:
        generator = _generator(seed, track, "" if parameter.is_common else method, parameter.name, number)
        value = parameter.drawn.sample(generator)
        found[parameter.name] = _text(value) if isinstance(parameter.drawn, Choice) else value
    return found


class RandomDraws(BaseSampler):
    """Draws every trial by :func:`random_values`, whatever other trials found."""

    def __init__(self, parameters: Sequence[Parameter], seed: int, track: str, method: str) -> None:
        self._parameters, self._key = tuple(parameters), (seed, track, method)

    def needs(self, number: int) -> int:
        """Return how many trials must be finished before a trial can be drawn."""
        del number
        return 0

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Return all parameters."""
        return {parameter.name: parameter.distribution for parameter in self._parameters}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw a trial."""
        return random_values(self._parameters, *self._key, trial.number)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Refuse: no parameter is outside the space."""
        raise KeyError(param_name)


class RoundedTpe(RandomDraws):
    """Tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011; Optuna's) in rounds of :data:`ROUND` trials.

    A trial learns from those of earlier rounds only, all of them, so that neither the number of workers nor the order
    in which they finish changes what is tried. The first round is :class:`RandomDraws`'. A failed trial counts as 0
    percent.
    """

    def needs(self, number: int) -> int:
        """Return how many trials must be finished before a trial can be drawn."""
        return number // ROUND * ROUND

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw a trial."""
        needed = self.needs(trial.number)
        if not needed:
            return super().sample_relative(study, trial, search_space)
        seed = int(_generator(*self._key, "tpe", trial.number).integers(2**32))
        known = optuna.create_study(sampler=TPESampler(seed=seed, n_startup_trials=0), direction="maximize")
        for earlier in study.get_trials(deepcopy=False)[:needed]:
            value = earlier.value if earlier.state == TrialState.COMPLETE else 0.0
            known.add_trial(
                optuna.create_trial(params=earlier.params, distributions=earlier.distributions, value=value)
            )
        return dict(known.ask(search_space).params)


def sampler_of(
    name: Literal["random", "tpe"], parameters: Sequence[Parameter], seed: int, track: str, method: str
) -> RandomDraws:
    """Return the sampler that ``search.sampler`` names."""
    return {"random": RandomDraws, "tpe": RoundedTpe}[name](parameters, seed, track, method)


def _text(value: Any) -> str:
    return json.dumps(value)


def _generator(*key: int | str) -> np.random.Generator:
    digest = hashlib.sha256(json.dumps(["search", *key]).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))
