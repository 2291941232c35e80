"""A simulated sweep of hundreds of trials over the real conductor, study and store."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from sqlalchemy import event
from sqlalchemy.engine import Engine

from benchmarks.simulation import SimulatedTrainer, Simulation, make_spec, settings_in
from sweeps.search.study import NUMBER, open_storage
from sweeps.store.studies import study_name

TRIALS, WORKERS, RUNGS = 120, 20, (300, 900, 2700)


@pytest.fixture
def simulation(tmp_path: Path) -> Any:
    spec = make_spec(TRIALS, rungs=RUNGS)
    simulation = Simulation(settings_in(tmp_path), spec, workers=WORKERS, trainer=SimulatedTrainer(3, lost=0.05))
    yield simulation
    simulation.close()


def test_every_trial_ends_once_whatever_is_lost(simulation: Simulation) -> None:
    simulation.run(until=60)
    assert len(simulation.conductor.running) == WORKERS
    simulation.take_over()  # the driver dies, and its workers with it
    simulation.run()
    trials = simulation.held.trials()
    assert [trial.number for trial in trials] == list(range(TRIALS))
    states = Counter(trial.state for trial in trials)
    assert set(states) == {"completed", "pruned", "failed"}
    assert {trial.failure_reason for trial in trials if trial.state == "failed"} == {"oom", "diverged"}
    assert simulation.lost > 0

    # One result a rung, in order; a third goes on, or a few more where workers would have idled.
    rungs = simulation.held.rungs()
    assert len({(rung.trial, rung.step) for rung in rungs}) == len(rungs)
    reached = [sum(rung.step == step for rung in rungs) for step in RUNGS]
    assert reached[0] == TRIALS - sum(trial.step == 0 for trial in trials if trial.state == "failed")
    assert reached[2] == states["completed"]
    assert reached[0] // 3 <= reached[1] <= reached[0] // 3 + WORKERS
    outcomes = Counter(
        attempt.outcome for n in range(TRIALS) for attempt in simulation.repository.attempts(simulation.sweep.id, n)
    )
    assert outcomes["paused"] + outcomes["completed"] == len(rungs)
    assert (outcomes["lost"], outcomes["interrupted"]) == (simulation.lost, WORKERS)
    assert outcomes["running"] == 0

    # The history is what the store says, and Optuna's record agrees with it.
    assert [trial.state for trial in simulation.conductor.history] == [trial.state for trial in trials]
    storage = open_storage(simulation.settings.store_url)
    rows = optuna.load_study(study_name=study_name(simulation.sweep), storage=storage).trials
    assert [row.user_attrs[NUMBER] for row in rows] == list(range(TRIALS))
    assert sum(row.state == TrialState.COMPLETE for row in rows) == states["completed"]
    assert all(row.state.is_finished() for row in rows)


def test_a_decision_takes_as_many_statements_late_as_early(simulation: Simulation) -> None:
    """Not timed, counted: statements of both, our tables' and Optuna's."""
    counted = 0

    def count(*_: Any) -> None:
        nonlocal counted
        counted += 1

    event.listen(Engine, "before_cursor_execute", count)
    try:
        spent = []
        for jobs in range(WORKERS, 140, 20):
            simulation.run(until=jobs)
            before, decisions = counted, len(simulation.decisions)
            simulation.run(until=jobs + 10)
            spent.append((counted - before) / (len(simulation.decisions) - decisions))
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    # Later decisions also stop trials; what looked at every trial would cost seven times as much by then.
    assert max(spent[-3:]) <= 2 * max(spent[:3])
