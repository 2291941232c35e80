"""Sweeps with rungs, conducted by hand over a real store and a real study: no Ray, no training."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime

import pytest
from fake_trainers import metrics_of
from optuna.trial import TrialState
from podium import RUNGS, Podium

from sweeps.errors import InvalidSpec
from sweeps.search.stopping import Stop
from sweeps.search.study import NUMBER
from sweeps.settings import Settings
from sweeps.spec.memory import predicted_memory_gb
from sweeps.spec.sweep import SweepSpec
from sweeps.store.attempts import AttemptStore
from sweeps.store.records import Completed, Failed
from sweeps.store.repository import Repository

MakeSpec = Callable[..., SweepSpec]


@pytest.fixture
def podium(repository: Repository, settings: Settings, spec_of: MakeSpec) -> Callable[..., Podium]:
    return lambda **parts: Podium(repository, settings, spec_of(**{"fidelity": RUNGS, **parts}))


def test_the_best_go_on_and_the_rest_are_stopped_with_a_reason(podium: Callable[..., Podium]) -> None:
    desk = podium(budget={"trials": 9}, objectives=["psnr"])
    desk.play()
    trials = desk.trials()
    assert 1 <= [trial.state for trial in trials].count("completed") <= 2
    assert {trial.state for trial in trials} == {"completed", "pruned"}
    best = min(trials, key=lambda trial: trial.parameters["feat_loss_weight"])
    assert best.state == "completed"
    assert (best.step, best.attempts, best.seconds) == (90, 3, 9.0)
    rungs = desk.repository.rungs(desk.sweep.id)
    assert sum(rung.step == 10 for rung in rungs) == 9
    assert [rung.decision for rung in rungs if rung.trial == best.number] == ["goes on", "goes on", "completed"]
    assert all(rung.reason for rung in rungs if rung.decision != "completed")
    stopped = [trial for trial in trials if trial.state == "pruned"]
    assert all(trial.metrics == {} and trial.checkpoint is None for trial in stopped)
    (last,) = [rung for rung in rungs if rung.trial == stopped[0].number][-1:]
    assert last.decision == "stopped"
    assert "at step" in (last.reason or "")

    # Optuna knows full trainings as results, and the others as pruned with what they measured.
    rows = {row.user_attrs[NUMBER]: row for row in desk.rows()}
    assert rows[best.number].state == TrialState.COMPLETE
    assert rows[stopped[0].number].state == TrialState.PRUNED
    weight = stopped[0].parameters["feat_loss_weight"]
    assert rows[stopped[0].number].user_attrs["psnr@10"] == metrics_of(weight)["psnr"]


@pytest.mark.parametrize("objectives", [["psnr"], ["psnr", "feature_gain"], ["psnr", "feature_gain", "train_seconds"]])
def test_one_objective_or_three_end_with_the_promised_work(
    podium: Callable[..., Podium], objectives: list[str]
) -> None:
    desk = podium(budget={"trials": 9}, objectives=objectives)
    desk.play()
    reached = [rung.step for rung in desk.repository.rungs(desk.sweep.id)]
    assert reached.count(10) == 9
    assert 1 <= reached.count(90) <= reached.count(30) <= 9 // 3 + 2


def test_killed_at_any_moment_it_ends_with_one_result_a_rung(podium: Callable[..., Podium]) -> None:
    desk = podium(budget={"trials": 6})
    for moment in range(12):  # die before a job's end, and after it, in turn
        job = desk.conductor.next_job()
        if job is None:
            break
        if moment % 2:
            AttemptStore(desk.repository.database).finish(job.token, desk.result(job))
        desk.take_over()
    desk.play()
    trials = desk.trials()
    assert [trial.number for trial in trials] == list(range(6))
    assert {trial.state for trial in trials} == {"completed", "pruned"}
    for trial in trials:
        rungs = desk.repository.rungs(desk.sweep.id, trial.number)
        outcomes = [attempt.outcome for attempt in desk.repository.attempts(desk.sweep.id, trial.number)]
        assert len(rungs) == outcomes.count("paused") + outcomes.count("completed")
        assert "running" not in outcomes
    rows = [row for row in desk.rows() if NUMBER in row.user_attrs]
    assert sorted(row.user_attrs[NUMBER] for row in rows) == list(range(6))
    assert {row.state for row in rows} == {TrialState.COMPLETE, TrialState.PRUNED}


def test_a_cancelled_sweeps_waiting_trials_wait_again_once_it_is_resumed(podium: Callable[..., Podium]) -> None:
    desk = podium(budget={"trials": 9})
    desk.work(desk.conductor.next_job())  # type: ignore[arg-type]
    job = desk.conductor.next_job()
    desk.held.finish("cancelled", stop_reason="cancelled by request")
    desk.repository.request_resume(desk.sweep.id)
    assert job is not None
    assert [trial.state for trial in desk.trials()] == ["paused", "queued"]
    desk.take_over()
    again = desk.conductor.next_job()
    assert again is not None
    assert (again.number, again.steps) == (1, 10)


@pytest.mark.parametrize("end", ["cancelled", "failed", "completed"])
def test_nothing_is_left_running_in_optunas_tables(podium: Callable[..., Podium], end: str) -> None:
    desk = podium(budget={"trials": 9})
    desk.work(desk.conductor.next_job())  # type: ignore[arg-type]
    desk.conductor.next_job()
    desk.held.finish(end, stop_reason="the hours are spent")
    assert [trial.state for trial in desk.trials()] == ["cancelled"] * 2
    assert [row.state for row in desk.rows()] == [TrialState.FAIL] * 2
    assert all(row.datetime_start <= row.datetime_complete <= datetime.now() for row in desk.rows())


def test_nothing_is_left_running_by_a_user_who_cancels_what_nobody_drives(podium: Callable[..., Podium]) -> None:
    desk, other = podium(budget={"trials": 9}), podium(budget={"trials": 9})
    other.conductor.next_job()
    desk.work(desk.conductor.next_job())  # type: ignore[arg-type]
    desk.conductor.next_job()
    desk.held.interrupt("its driver was stopped")
    assert {row.state for row in desk.rows()} == {TrialState.RUNNING}
    desk.repository.request_cancel(desk.sweep.id)
    assert {row.state for row in desk.rows()} == {TrialState.FAIL}
    assert {row.state for row in other.rows()} == {TrialState.RUNNING}

    # Resumed, each trial that goes on has a row of its own again.
    desk.repository.request_resume(desk.sweep.id)
    desk.take_over()
    desk.play()
    rows = {row.user_attrs[NUMBER]: row for row in desk.rows()}  # the last one of each
    assert {row.state for row in desk.rows()} == {TrialState.FAIL, TrialState.COMPLETE, TrialState.PRUNED}
    for trial in desk.trials():
        assert rows[trial.number].number == trial.optuna_trial
        assert (rows[trial.number].state == TrialState.COMPLETE) == (trial.state == "completed")


def test_a_broken_limit_is_never_promoted_and_optuna_learns_it(podium: Callable[..., Podium]) -> None:
    desk = podium(budget={"trials": 3}, constraints={"peak_memory_gb": 8.0}, objectives=["psnr"])
    jobs = []
    for number in range(3):
        job = desk.conductor.next_job()
        assert job is not None
        jobs.append(job)
        used = 12.0 if number == 0 else 4.0
        desk.work(job, Failed("oom", "no room") if number == 2 else desk.result(job, peak_memory_gb=used))
    assert desk.trials()[0].state == "pruned"
    goes_on = desk.conductor.next_job()
    assert goes_on is not None
    assert (goes_on.number, goes_on.peak_memory_gb_before) == (1, 4.0)
    rows = {row.user_attrs[NUMBER]: row for row in desk.rows()}
    assert rows[0].constraints == {"peak_memory_gb": 0.5, "out_of_memory": -1.0}
    assert (rows[2].state, rows[2].constraints) == (TrialState.PRUNED, {"peak_memory_gb": 1.0, "out_of_memory": 1.0})


def test_proposals_that_a_rule_forbids_cost_no_trial(podium: Callable[..., Podium]) -> None:
    space = {
        "max_res": {"type": "categorical", "choices": [64, 96, 256]},
        "base_res": {"type": "categorical", "choices": [16, 112, 128]},
    }
    desk = podium(space=space, budget={"trials": 8}, fidelity={"rungs": [10]}, search={"seed": 1})
    desk.play()
    assert [trial.state for trial in desk.trials()] == ["completed"] * 8
    assert all(trial.parameters["max_res"] >= trial.parameters["base_res"] for trial in desk.trials())
    turned_down = [row for row in desk.rows() if "turned_down" in row.user_attrs]
    assert turned_down
    assert all(row.params["max_res"] < row.params["base_res"] for row in turned_down)


def test_the_model_searches_a_space_with_conditions(podium: Callable[..., Podium]) -> None:
    space = {
        "feat_loss_weight": {"type": "float", "low": 1e-4, "high": 1.0, "log": True},
        "feat_use_pe": {"type": "categorical", "choices": [True, False]},
        "feat_pe_n_freq": {"type": "int", "low": 2, "high": 8, "when": {"feat_use_pe": True}},
    }
    desk = podium(budget={"trials": 8}, search={"sampler": "model"}, space=space)
    desk.play()
    assert len(desk.trials()) == 8
    assert all(("feat_pe_n_freq" in trial.parameters) is trial.parameters["feat_use_pe"] for trial in desk.trials())


def test_the_best_are_trained_again_under_other_seeds(podium: Callable[..., Podium]) -> None:
    desk = podium(budget={"trials": 5}, objectives=["psnr"], search={"repeats": {"top": 2, "seeds": 3}})
    assert desk.sweep.trials_planned == 9
    for _ in range(7):  # and the driver dies
        job = desk.conductor.next_job()
        assert job is not None
        desk.work(job)
    desk.take_over()
    desk.play()
    completed = [trial for trial in desk.trials() if trial.state == "completed"]
    repeated = [trial for trial in desk.trials() if trial.number >= 5]
    assert all(trial.attempts == 1 and trial.step == 90 for trial in repeated)  # no waiting at rungs
    originals = [trial for trial in completed if trial.number < 5]
    best = sorted(originals, key=lambda trial: -trial.metrics["psnr"])[:2]
    for trial in best:
        same = [other for other in completed if other.parameters == trial.parameters]
        assert len(same) == len({other.seed for other in same}) == 3
    assert len(repeated) == 2 * len(best)


def test_repeats_under_one_fixed_seed_are_refused(podium: Callable[..., Podium]) -> None:
    with pytest.raises(InvalidSpec, match=r"parameters\.seed=3: every repeat would have this seed"):
        podium(parameters={"seed": 3}, search={"repeats": {"top": 2}})


def test_a_sweep_that_has_converged_starts_nothing_more(podium: Callable[..., Podium]) -> None:
    converged = {"trials": 40, "convergence": {"units": 4, "threshold": 0.05}}
    desk = podium(budget=converged, fidelity={"rungs": [10]}, objectives=["psnr"])
    desk.play()
    assert desk.conductor.stop is not None
    assert desk.conductor.stop.sentence.startswith("convergence: the hypervolume grew by")
    assert 5 <= len(desk.trials()) < 40
    assert {trial.state for trial in desk.trials()} == {"completed"}


def test_repeats_come_after_a_search_that_has_converged(podium: Callable[..., Podium]) -> None:
    converged = {"trials": 40, "convergence": {"units": 4, "threshold": 0.05}}
    repeats = {"repeats": {"top": 2, "seeds": 3}}
    desk = podium(budget=converged, fidelity={"rungs": [10]}, objectives=["psnr"], search=repeats)
    desk.play()
    trials = desk.trials()
    assert desk.conductor.stop is not None
    assert desk.conductor.stop.rule == "convergence"
    assert not desk.conductor.is_next_due()
    assert len(trials) < 40
    repeated = trials[-4:]
    best = sorted(trials[:-4], key=lambda trial: -trial.metrics["psnr"])[:2]
    assert len({trial.seed for trial in [*best, *repeated]}) == 6
    for trial in best:
        assert sum(other.parameters == trial.parameters for other in repeated) == 2


def test_a_search_that_converges_waits_for_its_last_trials_before_it_repeats(podium: Callable[..., Podium]) -> None:
    converged = {"trials": 40, "convergence": {"units": 4, "threshold": 0.05}}
    repeats = {"repeats": {"top": 1, "seeds": 2}}
    desk = podium(budget=converged, fidelity={"rungs": [10]}, objectives=["psnr"], search=repeats)
    last = desk.conductor.next_job()
    assert last is not None
    while (job := desk.conductor.next_job()) is not None:
        desk.work(job)
    assert desk.conductor.stop is not None
    desk.work(last, desk.result(last, psnr=99.0))
    again = desk.conductor.next_job()
    assert again is not None
    assert again.configuration["feat_loss_weight"] == last.configuration["feat_loss_weight"]


def test_hours_end_the_repeats_too(podium: Callable[..., Podium]) -> None:
    desk = podium(
        budget={"trials": 3}, fidelity={"rungs": [10]}, objectives=["psnr"], search={"repeats": {"top": 1, "seeds": 3}}
    )
    for _ in range(4):
        desk.work(desk.conductor.next_job())  # type: ignore[arg-type]
    desk.conductor.stop = Stop("hours", "hours: over")
    assert desk.conductor.next_job() is None
    assert not desk.conductor.is_next_due()
    assert desk.conductor.is_work_left()


SPACE = {
    "max_res": {"type": "int", "low": 512, "high": 4096},
    "feat_loss_weight": {"type": "float", "low": 1e-5, "high": 10.0, "log": True},
}


class TestWarmStart:
    def test_presets_come_first_each_once_also_after_a_restart(self, podium: Callable[..., Podium]) -> None:
        warm = {"presets": ["quick_prototype", "high_quality"]}
        desk = podium(space=SPACE, search={"warm_start": warm}, budget={"trials": 5})
        assert desk.conductor.next_job() is not None
        desk.take_over()
        desk.play()
        parameters = [trial.parameters for trial in desk.trials()]
        assert parameters[:2] == [
            {"max_res": 1024, "feat_loss_weight": 1e-4},
            {"max_res": 4096, "feat_loss_weight": 2e-3},
        ]
        assert all(point not in parameters[2:] for point in parameters[:2])
        rows = {row.user_attrs[NUMBER]: row.params for row in desk.rows()}
        assert rows[1] == parameters[1]

    def test_a_preset_outside_the_space_is_refused(self, podium: Callable[..., Podium]) -> None:
        narrow = {"max_res": {"type": "int", "low": 64, "high": 512}}
        with pytest.raises(InvalidSpec, match=r"quick_prototype.*max_res=1024, which the space does not hold"):
            podium(space=narrow, search={"warm_start": {"presets": ["quick_prototype"]}})
        with pytest.raises(InvalidSpec, match=r"search\.warm_start\.presets\.0"):
            podium(space=narrow, search={"warm_start": {"presets": ["quick_prototyp"]}})

    def test_an_unknown_sweep_is_refused(self, podium: Callable[..., Podium]) -> None:
        with pytest.raises(InvalidSpec, match=r"search\.warm_start\.sweeps\.0='snothing': no such sweep"):
            podium(search={"warm_start": {"sweeps": ["snothing"]}})


def test_a_trial_whose_checkpoint_is_gone_is_trained_from_its_beginning(
    podium: Callable[..., Podium], settings: Settings
) -> None:
    desk = podium(budget={"trials": 1})
    desk.work(desk.conductor.next_job())  # type: ignore[arg-type]
    shutil.rmtree(settings.trial_dir(desk.sweep.id, 0), ignore_errors=True)
    job = desk.conductor.next_job()
    assert job is not None
    assert (job.number, job.steps) == (0, 30)
    desk.work(job)
    assert [rung.step for rung in desk.repository.rungs(desk.sweep.id, 0)] == [10, 30]


def test_a_trial_that_is_predicted_to_take_too_much_is_never_started(podium: Callable[..., Podium]) -> None:
    space = {"train_num_rays_per_batch": {"type": "int", "low": 64, "high": 16384, "log": True}}
    desk = podium(
        base="demo_cpu",
        space=space,
        budget={"trials": 8},
        fidelity={"rungs": [10]},
        constraints={"peak_memory_gb": 0.3},
        objectives=["psnr"],
    )
    while (job := desk.conductor.next_job()) is not None:
        assert predicted_memory_gb(job.configuration, desk.plan.scene, device="cpu") <= 0.3
        result = Completed({"psnr": 20.0, "peak_memory_gb": 0.2}, "numba", "cpu", 1, 10, 1.0)
        desk.work(job, result)
    assert [trial.state for trial in desk.trials()] == ["completed"] * 8
    turned_down = [row for row in desk.rows() if "turned_down" in row.user_attrs]
    assert turned_down
    for row in turned_down:
        assert row.state == TrialState.PRUNED
        assert row.constraints == {"peak_memory_gb": 1.0, "out_of_memory": 1.0}
        assert row.user_attrs["turned_down"].startswith("memory-limit: train_num_rays_per_batch=")


def test_the_model_decides_and_goes_on_after_a_restart(podium: Callable[..., Podium]) -> None:
    desk = podium(budget={"trials": 8}, search={"sampler": "model"})
    for _ in range(6):
        job = desk.conductor.next_job()
        assert job is not None
        desk.work(job)
    desk.take_over()
    desk.play()
    trials = desk.trials()
    assert len(trials) == 8
    assert {trial.state for trial in trials} <= {"completed", "pruned"}
    assert any(trial.state == "completed" for trial in trials)
    reasons = [rung.reason for rung in desk.repository.rungs(desk.sweep.id) if rung.decision == "goes on"]
    assert all(reasons)
