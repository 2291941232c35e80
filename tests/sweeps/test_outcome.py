"""A sweep's records put together: constraints, seeds and cost, on a played sweep whose records are varied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sweeps.analysis.importance import FRONT
from sweeps.errors import NoResults, NotASearch, UnknownTrial
from sweeps.outcome import Outcome
from sweeps.settings import Settings
from sweeps.store.repository import Repository
from sweeps.views import importance_view, winner_view
from tests.played import play


@pytest.fixture
def outcome(tmp_path: Path) -> Iterator[Outcome]:
    settings = Settings.from_environment({"F3RM_DATA_DIR": str(tmp_path), "F3RM_CACHE_DIR": str(tmp_path / "cache")})
    store = Repository.open(settings.store_url)
    yield Outcome.read(store, play(store, settings).id)
    store.close()


def limited(outcome: Outcome, **limits: float) -> Outcome:
    return replace(outcome, sweep=replace(outcome.sweep, spec={**outcome.sweep.spec, "constraints": limits}))


def with_trials(outcome: Outcome, *changes: dict[str, Any]) -> Outcome:
    """The first completed trial again and again, each time with other fields."""
    first = outcome.all_trials[0]
    trials = tuple(replace(first, number=number, **change) for number, change in enumerate(changes))
    return replace(outcome, all_trials=trials, rungs=())


def test_a_trial_beyond_a_constraint_is_not_on_the_front(outcome: Outcome) -> None:
    points = limited(outcome, train_seconds=9.5).points()
    assert [(point.trial, point.on_front, point.feasible) for point in points] == [
        (1, True, True),
        (2, True, True),
        (0, False, False),
    ]


def test_a_trial_that_is_not_there_is_told_from_one_that_has_no_result(outcome: Outcome) -> None:
    assert outcome.chosen(scenario="balanced", trial=1)[0].number == 1
    for number, what in ((3, "not completed"), (99, "no such trial")):
        with pytest.raises(UnknownTrial, match=f"^trial {number} of sweep s.*: {what}; completed: 0, 1, 2$"):
            outcome.chosen(scenario="balanced", trial=number)


def test_nor_does_it_win_or_count(outcome: Outcome) -> None:
    held = limited(outcome, train_seconds=9.5)
    assert outcome.winner("quality").number == 0
    assert held.winner("quality").number == 1
    # Trials 1 and 2 alone: 0.3 x 0.4, then 0.7 at 4/15.
    assert held.growth()[-1].hypervolume == pytest.approx(0.3 * 0.4 + 4 / 15 * 0.3)
    with pytest.raises(NoResults, match=r"train_seconds at most 1 s \(the best has 8 s\)"):
        limited(outcome, train_seconds=1.0).winner("balanced")


def test_the_cost_is_the_rungs_and_for_a_trial_without_one_its_time(outcome: Outcome) -> None:
    failed = outcome.all_trials[3]
    assert failed.started_at is not None
    assert failed.finished_at is not None
    spent = (failed.finished_at - failed.started_at).total_seconds()
    assert outcome.growth()[-1].seconds == pytest.approx(3 * 12.5 + spent)
    older = replace(outcome, rungs=())  # a sweep from before rungs were kept
    assert older.growth()[-1].seconds == pytest.approx(10 + 9 + 8 + spent)
    assert older.growth()[-1].hypervolume == outcome.growth()[-1].hypervolume


def test_a_trial_that_failed_after_a_rung_costs_what_it_ran_on_too(outcome: Outcome) -> None:
    rung = replace(outcome.rungs[0], trial=3, step=30, seconds=4.0, decision="goes on")
    failed = replace(outcome.all_trials[3], seconds=10.0)
    found = replace(outcome, all_trials=(failed,), rungs=(rung,)).growth()
    assert [(point.trial, point.seconds) for point in found] == [(3, 4.0), (3, 10.0)]


def test_a_trial_that_waits_or_was_stopped_costs_its_rungs(outcome: Outcome) -> None:
    last = outcome.rungs[0]
    lower = replace(last, step=30, seconds=4.0, at=last.at - timedelta(seconds=9), decision="goes on")
    waiting = replace(outcome.all_trials[1], state="paused", metrics={})
    found = replace(
        outcome, all_trials=(outcome.all_trials[0], waiting), rungs=(lower, last, replace(lower, trial=1, at=last.at))
    ).growth()
    assert [(point.trial, point.seconds) for point in found] == [(0, 4.0), (0, 12.5), (1, 16.5)]
    assert [point.gained for point in found] == pytest.approx([0.0, 1 / 6, 0.0])


def test_seeds_of_one_configuration_compete_by_their_mean(outcome: Outcome) -> None:
    lucky, unlucky = {"psnr": 24.0, "feature_gain": 0.5}, {"psnr": 18.0, "feature_gain": 0.5}
    steady = {"psnr": 22.0, "feature_gain": 0.5}
    seeds = with_trials(
        outcome,
        {"parameters": {"feat_loss_weight": 1.0}, "seed": 1, "metrics": lucky},
        {"parameters": {"feat_loss_weight": 0.1}, "seed": 2, "metrics": steady},
        {"parameters": {"feat_loss_weight": 1.0}, "seed": 3, "metrics": unlucky},
        {"parameters": {"feat_loss_weight": 0.1}, "seed": 4, "metrics": {"psnr": 22.2, "feature_gain": 0.5}},
    )
    won = seeds.winner("quality")
    assert (won.number, won.runner_up) == (1, None)  # means 22.1 and 21, equal in feature_gain: trial 0 is beaten
    view = winner_view(seeds, won)
    assert view["repeats"]["trials"] == [1, 3]
    assert view["repeats"]["metrics"]["psnr"] == {
        "count": 2,
        "mean": pytest.approx(22.1),
        "sd": pytest.approx(0.02**0.5),
    }
    assert "under 2 seeds (trials 1 and 3)" in won.reason


def test_a_lead_is_set_against_the_noise(outcome: Outcome) -> None:
    gains = [0.5, 0.6, 0.5, 0.6]
    psnr = [24.0, 23.0, 23.0, 22.9]
    weights = [1.0, 0.1, 1.0, 0.1]
    seeds = with_trials(
        outcome,
        *(
            {"parameters": {"feat_loss_weight": weight}, "seed": seed, "metrics": {"psnr": value, "feature_gain": gain}}
            for seed, (weight, value, gain) in enumerate(zip(weights, psnr, gains, strict=True))
        ),
    )
    won = seeds.winner("quality")
    assert (won.number, won.runner_up) == (0, 1)
    (difference,) = winner_view(seeds, won)["repeats"]["differences"]
    assert (difference["metric"], difference["better_by"]) == ("psnr", pytest.approx(0.55))
    assert not difference["beyond_noise"]
    assert "Against the next best, trial 1 (2 seeds), it leads by 0.55 dB in psnr, within the noise of ±" in won.reason


def test_importance_from_records(outcome: Outcome) -> None:
    weights = [10 ** (-5 + 6 * k / 23) for k in range(24)]
    trials = with_trials(
        outcome,
        *(
            {"parameters": {"feat_loss_weight": w}, "metrics": {"psnr": 20.0 + k, "feature_gain": 0.5}}
            for k, w in enumerate(weights)
        ),
    )
    found = importance_view(trials)
    assert list(found["importance"]) == ["psnr", "feature_gain", FRONT]
    (share,) = found["importance"]["psnr"]
    assert (share["parameter"], share["share"], share["beyond_chance"]) == ("feat_loss_weight", 1.0, True)


def test_importance_leaves_out_what_breaks_a_constraint(outcome: Outcome) -> None:
    trials = with_trials(
        outcome,
        *(
            {
                "parameters": {"feat_loss_weight": 10 ** (-5 + 6 * k / 23)},
                "metrics": {"psnr": 20.0 + k, "feature_gain": 0.5, "peak_memory_gb": 9.0 if k > 20 else 1.0},
            }
            for k in range(24)
        ),
    )
    found = limited(trials, peak_memory_gb=8.0).importance()
    assert found.trials == 21
    assert found.note.endswith("differ from all; 3 beyond a constraint left out")
    few = limited(trials, peak_memory_gb=0.5).importance()
    assert few.note == "importance needs at least 20 completed trials; there are 0; 24 beyond a constraint left out"


def test_an_ablation_has_no_importance(outcome: Outcome) -> None:
    spec = {**outcome.sweep.spec, "kind": "ablation", "space": {}, "arms": {"wide": {"hidden_dim": 128}}}
    with pytest.raises(NotASearch, match="its arms are no spread over a space"):
        replace(outcome, sweep=replace(outcome.sweep, spec=spec)).importance()
