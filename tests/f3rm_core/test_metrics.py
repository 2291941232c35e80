"""What metrics count as nothing and as all."""

from __future__ import annotations

import math

import pytest

from f3rm_core import METRICS, Metric


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_the_reference_scores_0_and_the_ideal_1(metric: Metric) -> None:
    assert metric.score(metric.reference) == 0.0
    assert metric.score(metric.ideal) == 1.0


@pytest.mark.parametrize("metric", METRICS.values(), ids=list(METRICS))
def test_better_values_score_more(metric: Metric) -> None:
    steps = [metric.reference + (metric.ideal - metric.reference) * k / 7 for k in range(-1, 8)]
    scores = [metric.score(value) for value in steps]
    assert scores == sorted(scores)
    assert len(set(scores)) == len(scores)


def test_scores_by_hand() -> None:
    assert METRICS["psnr"].score(25.0) == pytest.approx(0.5)
    assert METRICS["psnr"].score(43.0) == pytest.approx(1.1)  # no upper bound: better than the ideal counts
    assert METRICS["lpips"].score(0.25) == pytest.approx(0.75)
    assert METRICS["render_seconds"].score(0.001 * 60) == pytest.approx(1 - math.log(60) / math.log(3_600_000))


def test_a_tenth_of_a_cost_counts_the_same_at_every_size() -> None:
    score = METRICS["train_seconds"].score
    assert score(10) - score(100) == pytest.approx(score(1000) - score(10_000))


def test_a_cost_of_nothing_is_the_ideal() -> None:
    assert METRICS["peak_memory_gb"].score(0.0) == 1.0


@pytest.mark.parametrize(
    ("direction", "reference", "ideal", "scale"),
    [
        ("maximize", 1.0, 0.0, "linear"),
        ("maximize", 1.0, 1.0, "linear"),
        ("minimize", 0.0, 1.0, "linear"),
        ("minimize", 1.0, 0.0, "log"),
        ("maximize", 0.1, 1.0, "log"),
    ],
)
def test_ends_that_cant_be_are_refused(direction: str, reference: float, ideal: float, scale: str) -> None:
    with pytest.raises(ValueError, match="mine: "):
        Metric("mine", direction, "1", "", reference, ideal, scale)  # type: ignore[arg-type]
