"""Who wins, and what is said about it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeps.analysis.scenarios import SCENARIOS, choose, contenders
from sweeps.errors import NoResults, UnknownScenario
from sweeps.spec.objectives import objectives_of

TWO = objectives_of(["psnr", "feature_gain"])


def results(*points: tuple[float, float]) -> dict[int, dict[str, float]]:
    return {number: {"psnr": psnr, "feature_gain": gain} for number, (psnr, gain) in enumerate(points)}


def test_balanced_has_the_largest_minimum() -> None:
    # Scaled on the front: (1, 0), (0.5, 0.75), (0.75, 0.25), (0, 1): minima 0, 0.5, 0.25, 0. Trial 4 is dominated.
    winner = choose("balanced", TWO, results((24, 0.2), (22, 0.5), (23, 0.3), (20, 0.6), (19, 0.1)))
    assert winner.number == 1
    assert winner.scores == pytest.approx({"psnr": 0.5, "feature_gain": 0.75})
    assert winner.reason == (
        "Trial 1 (psnr 22 dB, feature_gain 0.5): of 4 points on the front its weakest objective, psnr, is the "
        "least weak, at 50% of the way from the worst to the best on the front "
        "(psnr 20 dB to 24 dB; feature_gain 0.2 to 0.6)."
    )


def test_a_dominated_point_does_not_stretch_the_scale() -> None:
    plain = choose("balanced", TWO, results((24, 0.2), (22, 0.5), (20, 0.6)))
    stretched = choose("balanced", TWO, results((24, 0.2), (22, 0.5), (20, 0.6), (1, 0.0)))
    assert plain.scores == stretched.scores


def test_cost_is_better_where_it_is_less() -> None:
    objectives = objectives_of(["psnr", "train_seconds"])
    found = {
        0: {"psnr": 20.0, "train_seconds": 10.0},
        1: {"psnr": 23.0, "train_seconds": 20.0},
        2: {"psnr": 24.0, "train_seconds": 50.0},
    }
    winner = choose("balanced", objectives, found)
    assert winner.number == 1
    assert winner.scores == pytest.approx({"psnr": 0.75, "train_seconds": 0.75})


def test_equals_go_to_the_larger_sum_and_then_to_the_earlier_trial() -> None:
    assert choose("balanced", TWO, results((20, 0.6), (24, 0.2))).number == 0
    assert choose("balanced", TWO, {7: {"psnr": 1, "feature_gain": 1}, 3: {"psnr": 1, "feature_gain": 1}}).number == 3


def test_one_point_and_one_objective() -> None:
    assert choose("balanced", TWO, results((24, 0.2))).scores == {"psnr": 1.0, "feature_gain": 1.0}
    winner = choose("balanced", TWO[:1], results((20, 0.0), (24, 0.0), (22, 0.0)))
    assert winner.number == 1


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ("balanced", "Trial 0 (psnr 24 dB, feature_gain 0.6): no other is better in any objective."),
        ("quality", "Trial 0 is the only point on the front: psnr 24 dB, with feature_gain 0.6."),
        ("quick", "Trial 0 is the only point on the front: train_seconds 9 s, with psnr 24 dB, feature_gain 0.6."),
    ],
)
def test_a_front_of_one_point_has_no_worst_and_no_best(scenario: str, said: str) -> None:
    winner = choose(scenario, TWO, measured((24, 0.6, 9, 1), (23, 0.5, 10, 1)))
    assert (winner.number, winner.runner_up) == (0, None)
    assert winner.reason == said


def test_no_result_has_no_winner() -> None:
    with pytest.raises(NoResults, match="no trial has completed"):
        choose("balanced", TWO, {})


def test_a_scenario_that_is_not_defined_is_refused() -> None:
    with pytest.raises(UnknownScenario, match=r"scenario='best'.*balanced, quick, quality, memory, language"):
        choose("best", TWO, results((24, 0.2)))


def measured(*rows: tuple[float, float, float, float]) -> dict[int, dict[str, float]]:
    names = ("psnr", "feature_gain", "train_seconds", "peak_memory_gb")
    return {number: dict(zip(names, row, strict=True)) for number, row in enumerate(rows)}


# All on the front of psnr, feature_gain and train_seconds. psnr from 16 to 24, feature_gain from 0.2 to 0.6:
# scaled (1, 0), (0.75, 0.75), (0.625, 0.625), (0.5, 0.5), (0, 1). The most that the weaker one reaches is 0.75; three
# quarters of it, 0.5625, are kept by trials 1 and 2.
TRADED = measured((24, 0.2, 90, 3), (22, 0.5, 60, 4), (21, 0.45, 30, 5), (20, 0.4, 10, 2), (16, 0.6, 5, 1))


def test_quick_takes_no_poor_point() -> None:
    winner = choose("quick", TWO, TRADED)
    assert (winner.number, winner.runner_up) == (2, 1)
    assert winner.scores == pytest.approx({"psnr": 0.625, "feature_gain": 0.625})
    assert winner.reason == (
        "Trial 2 has the least train_seconds of 2 points on the front that have the weakest of psnr and feature_gain "
        "at 56% or more of the way from the worst to the best on the front (75% of what trial 1 reaches): "
        "train_seconds 30 s, with psnr 21 dB, feature_gain 0.45. Next: trial 1, train_seconds 60 s."
    )
    assert [metric.name for metric in winner.decided_by] == ["train_seconds"]


def test_the_only_point_that_is_good_enough_is_called_that() -> None:
    found = {
        0: {"psnr": 25.0, "train_seconds": 60.0},
        1: {"psnr": 20.0, "train_seconds": 10.0},
    }
    winner = choose("quick", objectives_of(["psnr", "train_seconds"]), found)
    assert winner.number == 0
    assert winner.reason == (
        "Trial 0 is the only point on the front that has psnr at 75% or more of the way from the worst to the best on "
        "the front (75% of what trial 0 reaches): train_seconds 60 s, with psnr 25 dB."
    )


def test_quick_where_time_is_an_objective_and_quality_is_one() -> None:
    # Of psnr alone 0.75 of the range is enough: 22 dB.
    winner = choose("quick", objectives_of(["psnr", "train_seconds"]), TRADED)
    assert winner.number == 1
    assert "have psnr at 75% or more" in winner.reason


def test_quick_where_nothing_but_cost_counts() -> None:
    assert choose("quick", objectives_of(["train_seconds", "peak_memory_gb"]), TRADED).number == 4


def test_memory_is_the_least_memory_of_the_good() -> None:
    assert choose("memory", TWO, TRADED).number == 1


def test_a_trial_that_is_beaten_but_for_its_cost_can_be_the_cheapest() -> None:
    # Trial 1 is worse than trial 0 in both objectives, so not on their front, and takes a tenth of the time. Trial 2
    # is at the lower end of both, so that 0.99 and 0.995 of the range are good enough.
    found = measured((24, 0.6, 90, 1), (23.9, 0.599, 9, 1), (14, 0.4, 1, 1))
    assert choose("quick", TWO, found).number == 1
    assert choose("balanced", TWO, found).number == 0


def test_quality_is_psnr() -> None:
    winner = choose("quality", TWO, TRADED)
    assert winner.number == 0
    assert winner.reason == (
        "Trial 0 has the best psnr of 3 points on the front, psnr 24 dB, with feature_gain 0.2. "
        "Next: trial 1, psnr 22 dB."
    )


def test_quality_of_equals_is_the_better_in_the_rest() -> None:
    assert (
        choose("quality", TWO[1:], {0: {"psnr": 24, "feature_gain": 0.1}, 1: {"psnr": 24, "feature_gain": 0.2}}).number
        == 1
    )


def test_language_is_feature_gain_or_the_cosine() -> None:
    assert choose("language", TWO, TRADED).number == 4
    cosines = {0: {"psnr": 24.0, "feature_cosine": 0.8}, 1: {"psnr": 20.0, "feature_cosine": 0.9}}
    assert choose("language", TWO[:1], cosines).number == 1


@pytest.mark.parametrize(
    ("scenario", "needed"),
    [
        ("quick", "train_seconds"),
        ("memory", "peak_memory_gb"),
        ("language", "feature_gain or feature_cosine"),
    ],
)
def test_what_no_trial_measured_is_said(scenario: str, needed: str) -> None:
    with pytest.raises(NoResults) as raised:
        choose(scenario, TWO[:1], {0: {"psnr": 20.0, "ssim": 0.5}})
    assert str(raised.value) == (
        f"scenario {scenario} needs {needed}, which no completed trial has; they have psnr, ssim"
    )


@pytest.mark.parametrize("scenario", list(SCENARIOS))
def test_a_trial_beyond_a_constraint_never_wins(scenario: str) -> None:
    for limit in (1.0, 2.0, 3.0, 4.0):
        winner = choose(scenario, TWO, TRADED, {"peak_memory_gb": limit})
        assert TRADED[winner.number]["peak_memory_gb"] <= limit


def test_no_feasible_trial_has_no_winner() -> None:
    with pytest.raises(NoResults) as raised:
        choose("balanced", TWO, TRADED, {"peak_memory_gb": 0.5, "psnr": 30, "ssim": 0.9})
    assert str(raised.value) == (
        "none of 5 completed trials keeps the constraints, so none can win: peak_memory_gb at most 0.5 GB (the best "
        "has 1 GB); psnr at least 30 dB (the best has 24 dB); ssim at least 0.9 (no trial measured it)"
    )


def test_the_runner_up_is_who_would_win_without_the_winner() -> None:
    winner = choose("balanced", TWO, results((24, 0.2), (22, 0.5), (23, 0.4), (20, 0.6)))
    assert (winner.number, winner.runner_up) == (2, 1)
    assert choose("balanced", TWO, results((24, 0.2))).runner_up is None


rows = st.tuples(
    st.integers(0, 8).map(lambda n: 16.0 + n),
    st.integers(0, 8).map(lambda n: n / 8),
    st.integers(1, 8).map(float),
    st.integers(1, 8).map(float),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(rows, min_size=1, max_size=10), st.sampled_from(list(SCENARIOS)), st.permutations(range(10)))
def test_no_trial_beats_a_winner_and_order_does_not_matter(
    found: list[tuple[float, float, float, float]], scenario: str, order: list[int]
) -> None:
    trials = measured(*found)
    winner = choose(scenario, TWO, trials)
    own = trials[winner.number]
    aim = {"quick": "train_seconds", "memory": "peak_memory_gb"}.get(scenario)
    for other in trials.values():
        as_good = all(other[o.name] >= own[o.name] for o in TWO) and (aim is None or other[aim] <= own[aim])
        better = any(other[o.name] > own[o.name] for o in TWO) or (aim is not None and other[aim] < own[aim])
        assert not (as_good and better)
    shuffled = {number: trials[number] for number in order if number in trials}
    assert choose(scenario, TWO, shuffled) == winner


def test_contenders_are_those_of_every_scenario() -> None:
    found = {
        0: {"psnr": 20.0, "feature_gain": 0.70, "train_seconds": 90.0},
        1: {"psnr": 19.9, "feature_gain": 0.69, "train_seconds": 9.0},  # quick's
        2: {"psnr": 19.9, "feature_gain": 0.69, "train_seconds": 10.0},
        3: {"psnr": 30.0, "feature_gain": 0.90, "train_seconds": 200.0},  # beyond the limit
    }
    assert contenders(TWO, found, {"train_seconds": 100.0}) == {0, 1}
    assert contenders(TWO, found, {"train_seconds": 100.0}, spare=1) == {0, 1, 2}
    assert contenders(TWO, {}) == set()


@given(
    st.lists(
        st.fixed_dictionaries({name: st.integers(0, 4) for name in ("psnr", "feature_gain", "train_seconds")}),
        min_size=1,
        max_size=14,
    )
)
def test_whoever_wins_was_a_contender_all_along(played: list[dict[str, int]]) -> None:
    found = {number: {name: float(value) for name, value in one.items()} for number, one in enumerate(played)}
    left: set[int] = set()
    for number in found:
        left = contenders(TWO, {each: found[each] for each in left | {number}})
    assert left == contenders(TWO, found)
    assert {choose(name, TWO, found).number for name in SCENARIOS if name != "memory"} <= left
