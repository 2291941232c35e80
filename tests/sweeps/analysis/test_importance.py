"""Importance: a parameter that decides is found, one that does not is within chance, and nothing is made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from sweeps.analysis.importance import FEWEST_TRIALS, FRONT, MOST_TRIALS, Importance, importance
from sweeps.spec.objectives import objectives_of

TWO = objectives_of(["psnr", "train_seconds"])
SPACE: Mapping[str, BaseDistribution] = {name: FloatDistribution(0.0, 1.0) for name in ("colour", "speed", "idle")}


def drawn(count: int, seed: int = 0) -> dict[int, dict[str, Any]]:
    random = np.random.default_rng(seed)
    return {number: {name: float(random.random()) for name in SPACE} for number in range(count)}


def results(parameters: Mapping[int, Mapping[str, Any]]) -> dict[int, dict[str, float]]:
    """psnr hangs on colour alone, train_seconds on speed alone."""
    return {
        number: {"psnr": 20 + 5 * own["colour"], "train_seconds": 10 + 50 * (own["speed"] - 0.3) ** 2}
        for number, own in parameters.items()
    }


def of(count: int) -> Importance:
    parameters = drawn(count)
    return importance(TWO, parameters, results(parameters), SPACE)


def test_each_objective_has_what_decides_it() -> None:
    found = of(60)
    assert list(found.shares) == ["psnr", "train_seconds", FRONT]
    for objective, cause in (("psnr", "colour"), ("train_seconds", "speed")):
        shares = found.shares[objective]
        assert shares[0].parameter == cause
        assert shares[0].share > 0.8
        assert [share.parameter for share in shares if share.beyond_chance] == [cause]
        assert sum(share.share for share in shares) == pytest.approx(1.0)
    assert found.note == "PED-ANOVA over 60 completed trials: how the best 15 differ from all"


def test_the_better_end_is_the_metrics() -> None:
    # The best quarter is decided by colour, the worst by speed.
    parameters = drawn(60)
    measured = {}
    for number, own in parameters.items():
        good = 10.0 if own["colour"] > 0.75 else own["speed"]
        measured[number] = {"psnr": 20 + good, "train_seconds": 20 - good}
    found = importance(TWO, parameters, measured, SPACE)
    assert [found.shares[name][0].parameter for name in ("psnr", "train_seconds", FRONT)] == ["colour"] * 3


def test_the_same_trials_give_the_same_figures() -> None:
    assert of(30) == of(30)


def test_too_few_trials_give_no_figure() -> None:
    found = of(FEWEST_TRIALS - 1)
    assert found.shares == {}
    assert found.note == "importance needs at least 20 completed trials; there are 19"
    assert of(FEWEST_TRIALS).shares


def test_trials_that_lack_an_objective_do_not_count() -> None:
    parameters = drawn(25)
    measured = results(parameters)
    for number in range(8):
        del measured[number]["psnr"]
    assert importance(TWO, parameters, measured, SPACE).note.endswith("there are 17")


def test_one_objective_has_no_front() -> None:
    parameters = drawn(30)
    assert list(importance(TWO[:1], parameters, results(parameters), SPACE).shares) == ["psnr"]


def test_a_parameter_that_depends_on_another() -> None:
    # With the branch on, its own parameter decides; off, psnr is low: both matter, the idle one does not.
    random = np.random.default_rng(1)
    space = {"branch": CategoricalDistribution([False, True]), "depth": FloatDistribution(0, 1), **SPACE}
    parameters: dict[int, dict[str, Any]] = {}
    measured = {}
    for number in range(80):
        own = {name: float(random.random()) for name in SPACE} | {"branch": bool(random.random() < 0.5)}
        if own["branch"]:
            own["depth"] = float(random.random())
        parameters[number] = own
        measured[number] = {"psnr": 20.0 + (1 + 5 * own["depth"] if own["branch"] else 0.0)}
    found = importance(TWO[:1], parameters, measured, space).shares["psnr"]
    assert {share.parameter for share in found[:2]} == {"branch", "depth"}
    assert all(share.beyond_chance for share in found[:2])


def test_equal_results_and_values_have_no_importance() -> None:
    parameters = {number: {"colour": 0.5} for number in range(24)}
    found = importance(TWO[:1], parameters, {number: {"psnr": 20.0} for number in range(24)}, SPACE)
    assert not any(share.beyond_chance for share in found.shares["psnr"])


@pytest.mark.slow
def test_many_trials_are_thinned_out() -> None:
    found = of(MOST_TRIALS + 500)
    assert found.trials == MOST_TRIALS
    assert found.note.startswith("PED-ANOVA over 500 of 1000 completed trials")
    assert found.shares["psnr"][0].parameter == "colour"


def test_chance_is_rarely_exceeded_by_chance() -> None:
    beyond = []
    for seed in range(12):
        parameters = drawn(30, seed)
        noise = np.random.default_rng(100 + seed).normal(size=30)
        found = importance(TWO[:1], parameters, {n: {"psnr": float(noise[n])} for n in parameters}, SPACE)
        beyond += [share.beyond_chance for share in found.shares["psnr"]]
    assert np.mean(beyond) < 0.15


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    of(20)
    assert capfd.readouterr() == ("", "")
