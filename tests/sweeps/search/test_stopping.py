"""Each stopping rule fires when it should and says why; the running sums agree with a look at everything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from f3rm_core import Metric
from sweeps.analysis.hypervolume import GrowingFront
from sweeps.search.history import Goal, RungResult, TrialHistory
from sweeps.search.stopping import Convergence, Spent, Stop, StopRules, all_ended

UP, RIGHT = (Metric(name, "maximize", "1", "") for name in ("up", "right"))
GOAL = Goal((UP, RIGHT), {}, {}, (1, 3))


def trial(number: int, up: float, right: float, *, seconds: float = 10.0, state: str = "completed") -> TrialHistory:
    return TrialHistory(number, {}, state, (RungResult(3, {"up": up, "right": right}, seconds),))


def fired(rules: StopRules, history: list[TrialHistory], *, driven: float = 0.0, gpu: float = 0.0) -> Stop | None:
    return rules.check(history, GOAL, Spent(driven, gpu))


def test_no_rule_never_stops() -> None:
    assert fired(StopRules(), [trial(n, 0.5, 0.5) for n in range(99)], driven=1e9, gpu=1e9) is None


def test_hours() -> None:
    rules = StopRules(hours=1.5)
    assert fired(rules, [], driven=5399) is None
    stop = fired(rules, [trial(0, 0.5, 0.5)] * 2, driven=5400)
    assert stop == Stop("hours", "hours: its budget of 1.5 hours is spent, after 2 trials")


def test_gpu_hours() -> None:
    rules = StopRules(gpu_hours=2)
    assert fired(rules, [], driven=9e9, gpu=7199) is None
    stop = fired(rules, [], gpu=7200)
    assert stop == Stop("gpu_hours", "gpu_hours: its budget of 2 GPU-hours is spent, after 0 trials")


def test_the_first_of_several() -> None:
    stop = fired(StopRules(hours=1, gpu_hours=1), [trial(0, 0.5, 0.5)], driven=3600, gpu=3600)
    assert stop is not None
    assert stop.rule == "hours"


class TestConvergence:
    def test_by_hand(self) -> None:
        # 0.5 x 0.5 = 0.25 after 10 s; trial 1 makes it 0.5 x 0.505, 1% more; a unit is 10 s.
        rules = StopRules(convergence=Convergence(units=2, threshold=0.02))
        history = [trial(0, 0.5, 0.5)]
        assert fired(rules, history) is None
        history.append(trial(1, 0.505, 0.5))
        assert fired(rules, history) is None  # two units ago there was nothing
        history.append(trial(2, 0.1, 0.1))
        assert fired(rules, history) == Stop(
            "convergence",
            "convergence: the hypervolume grew by 1.00% over the cost of the last 2 full trainings, less than 2.00%",
        )

    def test_growth_puts_it_off(self) -> None:
        rules = StopRules(convergence=Convergence(units=2, threshold=0.02))
        history = [trial(n, 0.5 + 0.02 * n, 0.5) for n in range(20)]
        assert all(fired(rules, history[: n + 1]) is None for n in range(20))

    def test_a_new_end_of_the_front_is_growth(self) -> None:
        rules = StopRules(convergence=Convergence(units=2, threshold=0.02))
        history = [trial(0, 0.9, 0.1), trial(1, 0.9, 0.1), trial(2, 0.1, 0.9)]
        assert fired(rules, history) is None

    def test_what_failed_is_cost_too(self) -> None:
        rules = StopRules(convergence=Convergence(units=2, threshold=0.02))
        history = [trial(0, 0.5, 0.5), trial(1, 0.9, 0.9, state="failed"), trial(2, 0.0, 0.0, state="pruned")]
        assert fired(rules, history[:2]) is None
        assert fired(rules, history) is not None

    def test_what_failed_before_its_first_rung_is_cost_too(self) -> None:
        rules = StopRules(convergence=Convergence(units=2, threshold=0.02))
        failed = [TrialHistory(n, {}, "failed", failure_reason="diverged", seconds=7.0) for n in (1, 2, 3)]
        history = [trial(0, 0.5, 0.5), *failed]
        assert fired(rules, history[:3]) is None  # 14 s since
        assert fired(rules, history) is not None  # 21 s, of which two full trainings are 20

    def test_lower_rungs_are_no_results(self) -> None:
        rules = StopRules(convergence=Convergence(units=2, threshold=0.02))
        history = [trial(0, 0.5, 0.5)] + [trial(n, 0.9, 0.9, seconds=4.0, state="paused") for n in range(1, 6)]
        assert fired(rules, history) is not None

    def test_a_trial_that_goes_on_counts_when_it_completes(self) -> None:
        rules = StopRules(convergence=Convergence(units=2, threshold=0.02))
        history = [trial(0, 0.5, 0.5), trial(1, 0.6, 0.6, seconds=2.0, state="paused"), trial(2, 0.1, 0.1)]
        assert fired(rules, history) is None  # 22 s, and 20 s ago nothing had completed
        history[1] = trial(1, 0.9, 0.9)
        history.append(trial(3, 0.1, 0.1))
        assert fired(rules, history) is None  # it has just grown

    def test_infeasible_results_do_not_grow_it(self) -> None:
        goal = replace(GOAL, constraints={"train_seconds": 5.0})
        rules = StopRules(convergence=Convergence(units=1, threshold=0.02))
        history = [trial(n, 0.5, 0.5) for n in range(9)]
        assert rules.check(history, goal, Spent()) is None  # nothing counts, so nothing converged

    @pytest.mark.parametrize(("units", "threshold"), [(0.0, 0.1), (-1.0, 0.1), (1.0, 0.0), (1.0, 1.0)])
    def test_settings_that_cant_work(self, units: float, threshold: float) -> None:
        with pytest.raises(ValueError, match="must be"):
            Convergence(units, threshold)


def test_it_agrees_with_a_look_at_everything() -> None:
    """Trials that start, pause, go on and end in any order, one change a call, against sums made anew."""
    random = np.random.default_rng(5)
    rule = Convergence(units=3, threshold=0.05)
    rules = StopRules(convergence=rule)
    history: list[TrialHistory] = []
    seen: list[tuple[float, float]] = []  # cost, hypervolume
    front, verdicts = GrowingFront(GOAL.objectives), []
    for _ in range(400):
        waiting = [t.number for t in history if t.state in ("running", "paused")]
        if waiting and random.random() < 0.7:
            number = int(random.choice(waiting))
            up, right = random.beta(3, 2, 2)
            state = str(random.choice(["paused", "completed", "failed", "pruned"]))
            before = history[number].rungs[-1].seconds if history[number].rungs else 0.0
            history[number] = trial(number, up, right, seconds=before + random.random(), state=state)
            if state == "completed":
                front.add(history[number].rungs[-1].metrics)
        else:
            history.append(TrialHistory(len(history), {}, "running"))
        cost = sum(t.rungs[-1].seconds for t in history if t.rungs)
        seen.append((cost, front.hypervolume))
        full = [t.rungs[-1].seconds for t in history if t.state == "completed"]
        stop = fired(rules, history)
        expected = False
        if full:
            earlier = [volume for then, volume in seen if then <= cost - rule.units * float(np.mean(full)) + 1e-9]
            before_that = earlier[-1] if earlier else 0.0
            expected = before_that > 0 and front.hypervolume / before_that - 1 < rule.threshold
        verdicts.append(expected)
        assert (stop is not None) == expected
    assert any(verdicts)
    assert not all(verdicts)


def test_a_restart_reads_what_is_there() -> None:
    history = [trial(0, 0.5, 0.5), *(trial(n, 0.1, 0.1) for n in range(1, 9))]
    first = StopRules(convergence=Convergence(units=4))
    for count in range(1, 10):
        going_on = fired(first, history[:count])
    assert going_on is not None
    assert fired(StopRules(convergence=Convergence(units=4)), history) == going_on


def test_a_search_that_ended_before_its_trials_says_why() -> None:
    assert all_ended(6, 6) == "all 6 trials ended"
    assert all_ended(8, 6) == "all 8 trials ended"  # repeats
    assert all_ended(2, 6) == "2 of 6 trials ended: no other configuration of the space was found that may start"
