"""Hypervolume on fixed scales, and how it grows: by hand, and against the volume of all results at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from f3rm_core import Metric
from sweeps.analysis.hypervolume import GrowingFront, Stretch, growth
from sweeps.analysis.pareto import hypervolume
from sweeps.spec.objectives import objectives_of

TWO = objectives_of(["psnr", "feature_gain"])


def result(psnr: float, gain: float, memory: float = 1.0) -> dict[str, float]:
    return {"psnr": psnr, "feature_gain": gain, "peak_memory_gb": memory}


def test_growth_by_hand() -> None:
    # Scores: (1/2, 1/2), (1/4, 3/4), (1/4, 1/4) beaten, and 9 dB below the reference.
    grown = growth(
        TWO,
        [
            Stretch(0, 10.0, result(25.0, 0.5)),
            Stretch(3, 5.0, None),
            Stretch(1, 20.0, result(17.5, 0.75)),
            Stretch(2, 1.0, result(17.5, 0.25)),
            Stretch(4, 1.0, result(9.0, 0.99)),
        ],
    )
    assert [point.trial for point in grown] == [0, 3, 1, 2, 4]
    assert [point.seconds for point in grown] == [10.0, 15.0, 35.0, 36.0, 37.0]
    assert [point.hypervolume for point in grown] == pytest.approx([0.25, 0.25, 0.3125, 0.3125, 0.3125])
    assert [point.gained for point in grown] == pytest.approx([0.25, 0.0, 0.0625, 0.0, 0.0])


def test_a_result_beyond_a_constraint_costs_and_does_not_count() -> None:
    ended = [Stretch(0, 10.0, result(25.0, 0.5, memory=9.0)), Stretch(1, 10.0, result(25.0, 0.25, memory=8.0))]
    grown = growth(TWO, ended, {"peak_memory_gb": 8.0})
    assert [point.hypervolume for point in grown] == pytest.approx([0.0, 0.125])
    assert grown[-1].seconds == 20.0


def test_a_result_that_lacks_an_objective_adds_nothing() -> None:
    assert GrowingFront(TWO).add({"psnr": 30.0}) == 0.0


def test_it_does_not_depend_on_what_a_sweep_found() -> None:
    alone, among = GrowingFront(TWO), GrowingFront(TWO)
    alone.add(result(25.0, 0.5))
    for psnr in (11.0, 12.0, 24.9):
        among.add(result(psnr, 0.4))
    among.add(result(25.0, 0.5))
    assert among.hypervolume == alone.hypervolume


def test_no_trial_has_no_growth() -> None:
    assert growth(TWO, []) == []


ratios = st.integers(-2, 8).map(lambda eighths: eighths / 8)
tables = arrays(np.float64, st.tuples(st.integers(1, 15), st.integers(1, 4)), elements=ratios)


@settings(max_examples=150, deadline=None)
@given(tables)
def test_one_by_one_is_all_at_once(values: np.ndarray) -> None:
    objectives = [Metric(f"m{k}", "maximize", "1", "") for k in range(values.shape[1])]
    names = [objective.name for objective in objectives]
    front, before = GrowingFront(objectives), 0.0
    for count, row in enumerate(values, start=1):
        gained = front.add(dict(zip(names, row, strict=True)))
        expected = hypervolume(values[:count], ["maximize"] * len(names), [0.0] * len(names))
        assert front.hypervolume == pytest.approx(expected)
        assert gained == pytest.approx(expected - before)
        before = expected
