"""Trials that share GPUs: sound whatever Ray places where, corrected by what was measured, and never stuck."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.packing import OnGpus
from benchmarks.simulation import make_spec, settings_in
from f3rm_core import SceneSize
from sweeps.search.packing import Need, Packing, need_of
from sweeps.spec.memory import predicted_memory_gb
from sweeps.spec.presets import load_preset
from sweeps.spec.sharing import CONTEXT_GB, RESERVE, Sharing


def need(configuration: Mapping[str, Any]) -> Need:
    return Need(configuration["gb"], configuration.get("uncounted", 0.0))


def sharing_of(room_gb: float, together: int) -> Sharing:
    """A GPU with so much room for tensors."""
    return Sharing(together, (room_gb + together * CONTEXT_GB) / (1 - RESERVE), "by hand")


def packing_of(room_gb: float, together: int) -> Packing:
    return Packing(sharing_of(room_gb, together), need)


class TestRoom:
    def test_the_largest_that_could_meet_must_fit(self) -> None:
        packing = packing_of(10.0, together=2)
        for number, gb in enumerate([2.0, 6.0, 3.0]):
            assert packing.has_room(number, {"gb": gb})
            packing.start(number, {"gb": gb})
        assert packing.has_room(3, {"gb": 3.9})
        assert not packing.has_room(3, {"gb": 4.1})  # beside the one of 6, if Ray so wants
        packing.end(1)
        assert packing.has_room(3, {"gb": 6.9})

    def test_where_nothing_runs_even_the_hopeless_may_try(self) -> None:
        packing = packing_of(10.0, together=3)
        assert packing.has_room(0, {"gb": 50.0})
        packing.start(0, {"gb": 50.0})
        assert not packing.has_room(1, {"gb": 0.1})
        assert not packing.end(0)
        assert packing.has_room(1, {"gb": math.inf})

    @given(
        together=st.integers(1, 4),
        events=st.lists(st.tuples(st.floats(0.1, 12.0), st.floats(0.0, 3.0), st.booleans()), max_size=40),
    )
    def test_no_placement_ever_exceeds_the_memory(self, together: int, events: list[tuple[float, float, bool]]) -> None:
        packing = packing_of(10.0, together)
        running: dict[int, float] = {}
        for number, (gb, measured, one_ends) in enumerate(events):
            if one_ends and running:
                ended = min(running)
                packing.end(ended)
                del running[ended]
            if packing.has_room(number, {"gb": gb}, measured):
                packing.start(number, {"gb": gb}, measured)
                running[number] = max(gb, measured)
            # Every set of trials that Ray could put on one GPU.
            for size in range(2, together + 1):
                for met in itertools.combinations(running.values(), size):
                    assert sum(met) <= 10.0 + 1e-9


class TestCorrection:
    def test_three_in_four_measurements_lie_below_it_and_an_outlier_decides_nothing(self) -> None:
        packing = packing_of(10.0, together=2)
        packing.learn({"gb": 2.0}, 3.0)
        packing.learn({"gb": 2.0}, 3.0)
        assert packing.correction == 1.0  # too few to say
        for measured in (2.2, 2.4, 2.6, 2.8, 3.2, 40.0):
            packing.learn({"gb": 2.0}, measured)
        assert packing.correction == 1.5  # the sixth of 1.1, 1.2, 1.3, 1.4, 1.5, 1.5, 1.6, 20
        assert packing.expected_gb(Need(4.0)) == 6.0

    def test_it_holds_for_those_that_run_already(self) -> None:
        packing = packing_of(10.0, together=2)
        packing.start(0, {"gb": 5.0})
        assert packing.has_room(1, {"gb": 5.0})
        for _ in range(3):
            packing.learn({"gb": 1.0}, 1.5)
        assert not packing.has_room(1, {"gb": 5.0})
        assert not packing.has_room(1, {"gb": 2.0})  # 7.5 and 3
        assert packing.has_room(1, {"gb": 1.5})

    def test_never_below_what_the_trial_itself_took(self) -> None:
        packing = packing_of(10.0, together=2)
        for _ in range(3):
            packing.learn({"gb": 4.0}, 1.0)
        assert packing.expected_gb(Need(4.0)) == 1.0
        assert packing.expected_gb(Need(4.0), measured_gb=3.0) == 3.0

    def test_what_pytorch_does_not_count_is_added_as_predicted(self) -> None:
        packing = packing_of(10.0, together=2)
        for _ in range(3):
            packing.learn({"gb": 2.0, "uncounted": 7.0}, 4.0)
        assert packing.expected_gb(Need(2.0, 1.5)) == 5.5
        assert packing.expected_gb(Need(2.0, 1.5), measured_gb=6.0) == 7.5

    def test_old_measurements_are_forgotten_and_the_unpredictable_teach_nothing(self) -> None:
        packing = packing_of(10.0, together=2)
        for _ in range(64):
            packing.learn({"gb": 1.0}, 2.0)
        packing.learn({"gb": math.inf}, 9.0)
        assert packing.correction == 2.0
        for _ in range(64):
            packing.learn({"gb": 1.0}, 1.25)
        assert packing.correction == 1.25


def test_a_configurations_need_is_its_prediction_in_two_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.spec.memory._backend_of", lambda configuration, device: "tcnn")
    scene, values = SceneSize(192, 144, 64, 8), load_preset("f3rm_default").resolved
    found = need_of(values, scene)  # type: ignore[arg-type]
    whole = predicted_memory_gb(values, scene, backend="tcnn", device="cuda")
    assert found.counted + found.uncounted == pytest.approx(whole)
    assert found.uncounted > 0
    assert need_of({**values, "clip_model": "ViT-nope"}, scene).counted == math.inf  # type: ignore[arg-type]


class TestAlone:
    def test_what_ran_out_of_memory_in_company_runs_alone_from_then_on(self) -> None:
        packing = packing_of(10.0, together=4)
        packing.start(0, {"gb": 1.0})
        packing.start(1, {"gb": 1.0})
        assert packing.end(1)
        packing.keep_alone(1)
        assert not packing.has_room(1, {"gb": 1.0})
        assert packing.end(0)  # it had company for a while
        assert packing.has_room(1, {"gb": 1.0})
        packing.start(1, {"gb": 1.0})
        assert not packing.has_room(2, {"gb": 0.1})
        assert not packing.end(1)


@pytest.mark.parametrize(("gpus", "together"), [(1, 2), (2, 3), (1, 4)])
def test_a_sweep_on_shared_gpus_ends_and_only_what_is_too_large_alone_fails(
    tmp_path: Path, gpus: int, together: int
) -> None:
    spec = make_spec(60, rungs=(300, 900))
    simulation = OnGpus(settings_in(tmp_path), spec, gpus=gpus, together=together, seed=3, lost=0.05)
    try:
        simulation.run(until=40)
        simulation.take_over()  # the driver dies
        simulation.run()
        trials = simulation.held.trials()
        assert len(trials) == 60
        assert {trial.state for trial in trials} <= {"completed", "pruned", "failed"}
        assert simulation.most_running > gpus  # they did share
        assert simulation.too_large
        assert {trial.number for trial in trials if trial.failure_reason == "oom"} == simulation.too_large
    finally:
        simulation.close()


def test_without_room_kept_trials_run_out_of_memory_beside_others_and_end_all_the_same(tmp_path: Path) -> None:
    spec = make_spec(30, rungs=(300, 900))
    simulation = OnGpus(settings_in(tmp_path), spec, gpus=2, together=3, room=False, seed=3)
    try:
        simulation.run()
        trials = simulation.held.trials()
        found = [
            [attempt.message or "" for attempt in simulation.repository.attempts(simulation.sweep.id, trial.number)]
            for trial in trials
        ]
        beside = [sum("next it runs alone" in message for message in messages) for messages in found]
        assert sum(beside) > 0
        assert max(beside) == 1  # and then alone
        assert {trial.number for trial in trials if trial.failure_reason == "oom"} == simulation.too_large
    finally:
        simulation.close()
