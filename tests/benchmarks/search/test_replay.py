"""The recording that ships, and the problem made of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.search.problems import PROBLEMS
from benchmarks.search.record import configurations
from benchmarks.search.replay import RECORDINGS, Recording, Replay, _failing_rung
from benchmarks.search.space import SPACE
from sweeps.spec.space import check_space


@pytest.fixture(scope="module")
def recording() -> Recording:
    return Recording(RECORDINGS / "tabletop.jsonl.gz")


@pytest.fixture(scope="module")
def replay() -> Replay:
    problem = PROBLEMS["replay"]()
    assert isinstance(problem, Replay)
    return problem


@pytest.mark.parametrize(
    ("psnr", "gain", "failing"),
    [
        ((15, 17, 20), (0.1, 0.5, 0.8), 3),
        ((15, 17, 20), (-0.1, 0.2, 0.8), 3),  # features recover
        ((14, 14, 14), (-0.9, -0.9, -0.9), 0),
        ((15, 17, 14), (0.2, 0.5, 0.1), 2),  # colours collapse at the end
        ((15, 14, 14), (0.2, 0.1, -0.1), 1),
    ],
)
def test_a_run_fails_where_it_stops_being_better_than_nothing(
    psnr: tuple[float, ...], gain: tuple[float, ...], failing: int
) -> None:
    assert _failing_rung(np.array([psnr, gain], dtype=float).T) == failing


def test_the_recording_is_what_is_said_of_it(recording: Recording) -> None:
    assert len(recording.points) == 128
    assert (recording.failing < 3).sum() == 34
    assert not check_space(SPACE, {})
    drawn = configurations(128)
    assert np.allclose([recording.encoding.encode(one) for one in drawn], recording.points)


def test_near_recorded_configurations_the_replay_is_near_what_was_recorded(
    recording: Recording, replay: Replay
) -> None:
    alive = np.flatnonzero(recording.failing == 3)[:20]
    errors = []
    for row in alive:
        outcome = replay.evaluate(recording.encoding.decode(recording.points[row]), 270)
        assert outcome.failure is None
        errors.append(outcome.metrics["psnr"] - recording.values[row, -1, 0])
    assert np.abs(errors).mean() < 0.7


def test_a_configuration_that_diverged_diverges_in_the_replay(recording: Recording, replay: Replay) -> None:
    row = int(np.flatnonzero(recording.failing == 0)[0])
    parameters = recording.encoding.decode(recording.points[row])
    assert replay.evaluate(parameters, 30).failure == "diverged"


def test_costs_are_steps_over_all_steps(replay: Replay) -> None:
    assert [replay.cost({}, step) for step in replay.rungs] == pytest.approx([1 / 9, 1 / 3, 1.0])
