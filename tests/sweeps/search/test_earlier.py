"""What an earlier sweep tells a new one: both conducted by hand over a real store."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from podium import RUNGS, Podium

from sweeps.analysis.provenance import SCENE_DIGEST
from sweeps.search.earlier import EARLIER, Earlier, earlier_trials
from sweeps.settings import Settings
from sweeps.spec.sweep import SweepSpec
from sweeps.store.attempts import AttemptStore
from sweeps.store.deletion import delete_sweep
from sweeps.store.processes import this_process
from sweeps.store.records import Completed
from sweeps.store.repository import Repository

PLAIN: dict[str, Any] = {
    "objectives": ["psnr"],
    "fidelity": {"rungs": [90]},
    "budget": {"trials": 4},
    "resources": {"gpus_per_trial": 0},
}


@pytest.fixture
def podium(repository: Repository, settings: Settings, spec_of: Callable[..., SweepSpec]) -> Callable[..., Podium]:
    return lambda **parts: Podium(repository, settings, spec_of(**{**PLAIN, **parts}))


@pytest.fixture
def first(podium: Callable[..., Podium]) -> Podium:
    """A sweep of four trials that have ended."""
    desk = podium()
    desk.play()
    desk.held.finish("completed", stop_reason="all ended")
    return desk


def told(podium: Callable[..., Podium], first: Podium, device: str = "cpu", **parts: Any) -> Earlier:
    """What a sweep after the first one is told."""
    second = podium(search={"warm_start": {"sweeps": [first.sweep.id]}}, **parts)
    return earlier_trials(second.repository.database, second.plan, device=device)


def test_winners_are_trained_anew_and_results_learned_from(podium: Callable[..., Podium], first: Podium) -> None:
    best = min(trial.parameters["feat_loss_weight"] for trial in first.trials())
    second = podium(search={"warm_start": {"sweeps": [first.sweep.id]}})
    job = second.conductor.next_job()
    assert job is not None
    assert job.configuration["feat_loss_weight"] == best
    assert second.trials()[0].metrics == {}
    known = earlier_trials(second.repository.database, second.plan, device="cpu").results
    assert [(one.number, one.parameters, one.rungs[-1].metrics, one.state) for one in known] == [
        (EARLIER, trial.parameters, trial.metrics, "completed") for trial in first.trials()
    ]


def test_the_model_learns_from_them_and_counts_none_as_its_own(podium: Callable[..., Podium], first: Podium) -> None:
    second = podium(search={"sampler": "model", "warm_start": {"sweeps": [first.sweep.id]}}, fidelity={"rungs": [90]})
    second.work(second.conductor.next_job())  # type: ignore[arg-type]
    job = second.conductor.next_job()
    assert job is not None
    assert len(second.trials()) == 2
    # Without them it would draw evenly: a third of four trials is one, so that the second is the model's. It knows
    # that the least weight is the best, and looks there.
    weights = sorted(trial.parameters["feat_loss_weight"] for trial in first.trials())
    assert job.configuration["feat_loss_weight"] < weights[1]


def test_a_sweep_that_was_deleted_since_tells_nothing_and_stops_nobody(
    podium: Callable[..., Podium], first: Podium, settings: Settings
) -> None:
    second = podium(search={"warm_start": {"sweeps": [first.sweep.id]}})
    assert earlier_trials(second.repository.database, second.plan, device="cpu") != Earlier()
    delete_sweep(first.repository, settings, first.sweep.id)
    assert earlier_trials(second.repository.database, second.plan, device="cpu") == Earlier()


def test_who_breaks_a_constraint_of_the_new_sweep_is_no_winner(podium: Callable[..., Podium]) -> None:
    desk = podium()
    for number in range(4):  # the better, the larger
        job = desk.conductor.next_job()
        assert job is not None
        metrics = {"psnr": 20.0 + number, "peak_memory_gb": 1.0 + number}
        desk.work(job, Completed(metrics, "numba", "cpu", 1, 90, 9.0))
    found = told(podium, desk, constraints={"peak_memory_gb": 2.5})
    assert found.points == (desk.trials()[1].parameters,)
    assert len(found.results) == 4  # that they break it is known as well
    assert told(podium, desk, constraints={"peak_memory_gb": 0.5}).points == ()


def test_what_was_measured_at_the_same_rungs_is_known_also_of_stopped_trials(podium: Callable[..., Podium]) -> None:
    desk = podium(fidelity=RUNGS, budget={"trials": 9})
    desk.play()
    desk.held.finish("completed", stop_reason="all ended")
    found = told(podium, desk, fidelity={"rungs": [10, 90]}).results
    assert len(found) == 9
    ended = {trial.state for trial in desk.trials()}
    assert {one.state for one in found} == ended == {"completed", "pruned"}
    assert all([rung.step for rung in one.rungs] == [10, 90][: len(one.rungs)] for one in found)
    assert len(told(podium, desk).results) == sum(trial.state == "completed" for trial in desk.trials())


@pytest.mark.parametrize(
    "other",
    [
        {"parameters": {"max_res": 128}},
        {"parameters": {"lr_fields": 0.02}},
        {"fidelity": {"rungs": [91]}},
        {"resources": {"gpus_per_trial": 0, "cpus_per_trial": 2}},
        {"scene": "embedded:tabletop", "objectives": ["psnr"]},
        {"constraints": {"render_seconds": 1.0}},  # nobody measured it
    ],
)
def test_results_of_another_training_only_say_where_to_look(
    podium: Callable[..., Podium], first: Podium, other: dict[str, Any]
) -> None:
    found = told(podium, first, **other)
    assert found.results == ()
    assert len(found.points) == ("constraints" not in other)


def test_a_suffixed_name_that_the_earlier_sweep_did_not_set_followed_the_flat_one(
    podium: Callable[..., Podium], first: Podium
) -> None:
    space = {**first.plan.spec.model_dump()["space"], "lr_fields": {"type": "float", "low": 1e-3, "high": 2e-2}}
    found = told(podium, first, space=space)
    assert {point["lr_fields"] for point in found.points} == {1e-2}
    assert [one.parameters["lr_fields"] for one in found.results] == [1e-2] * 4


@pytest.mark.parametrize(
    ("backend", "device", "trained_on", "known"),
    [
        ("numba", "cuda", "cpu", 0),
        ("reference", "cpu", "cpu", 0),
        ("numba", "cpu", "cuda", 0),
        ("numba", "cuda", "cuda", 1),  # whatever the machine of the driver has
    ],
)
def test_results_of_another_device_are_not_taken_as_measured_here(
    podium: Callable[..., Podium], backend: str, device: str, trained_on: str, known: int
) -> None:
    parameters = {"encoding_backend": "numba"} if trained_on == "cuda" else {}
    desk = podium(budget={"trials": 1}, parameters=parameters)
    job = desk.conductor.next_job()
    assert job is not None
    desk.work(job, Completed({"psnr": 20.0}, backend, device, 1, 90, 9.0))
    found = told(podium, desk, trained_on, parameters=parameters)
    assert (len(found.points), len(found.results)) == (1, known)


@pytest.mark.parametrize(("same", "known"), [(True, 1), (False, 0)])
def test_results_of_a_scene_that_has_changed_since_are_not_known(
    podium: Callable[..., Podium], same: bool, known: int
) -> None:
    from f3rm_core import scene_digest

    desk = podium(budget={"trials": 1})
    job = desk.conductor.next_job()
    assert job is not None
    content = scene_digest(desk.plan.scene) if same else "another"
    attempts = AttemptStore(desk.repository.database)
    attempts.identify(job.token, this_process(), environment={SCENE_DIGEST: content})
    desk.work(job)
    assert len(told(podium, desk).results) == known
