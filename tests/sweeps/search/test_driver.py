"""Whole sweeps with a real Ray and real processes; only the training is a closed form."""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import optuna
import psutil
import pytest
from fake_trainers import metrics_of
from optuna.trial import TrialState

from f3rm_core import UsageError
from sweeps.driver_process import STORE_AWAY
from sweeps.errors import LeaseHeld, StaleAttempt, StoreUnavailable, WrongState
from sweeps.search.driver import COMPLETED, FAILED, INTERRUPTED, _Drive, run_sweep
from sweeps.search.study import NUMBER, open_storage
from sweeps.settings import Settings
from sweeps.spec.sweep import Plan, SweepSpec, check_spec, trial_seed
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.records import SweepRecord
from sweeps.store.repository import Repository
from sweeps.store.studies import study_name

Drive = Callable[[SweepRecord, str], "subprocess.Popen[str]"]
MakeSpec = Callable[..., SweepSpec]


def wait_until(condition: Callable[[], bool], seconds: float = 150.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def study_of(settings: Settings, sweep: SweepRecord) -> optuna.Study:
    return optuna.load_study(study_name=study_name(sweep), storage=open_storage(settings.store_url))


def worker_pids(repository: Repository, sweep: SweepRecord) -> set[int | None]:
    trials = repository.all_trials(sweep.id)
    return {attempt.pid for trial in trials for attempt in repository.attempts(sweep.id, trial.number)}


def test_every_failure_gets_its_reason_and_stops_nothing(
    settings: Settings, repository: Repository, spec_of: MakeSpec, drive: Drive
) -> None:
    sweep, _ = repository.create_sweep(spec_of(budget={"trials": 7}))
    assert drive(sweep, "Troubled").wait(timeout=280) == COMPLETED

    trials = repository.all_trials(sweep.id)
    assert [(trial.state, trial.failure_reason) for trial in trials] == [
        ("completed", None),
        ("failed", "diverged"),
        ("failed", "oom"),
        ("failed", "crashed"),
        ("completed", None),
        ("failed", "lost"),
        ("completed", None),
    ]
    assert trials[1].failure_message == "loss is nan at step 3"
    assert trials[3].failure_message == "ValueError: a bug"
    assert "fake_trainers.py" in (trials[3].failure_detail or "")
    assert [attempt.outcome for attempt in repository.attempts(sweep.id, 4)] == ["lost", "completed"]
    assert [attempt.outcome for attempt in repository.attempts(sweep.id, 5)] == ["lost"] * 3
    assert all(trial.metrics == {} for trial in trials if trial.state == "failed")
    # Ten attempts, of which one crashed and four were lost: only these need a new process beside the first two.
    assert sum(trial.attempts for trial in trials) == 10
    assert len(worker_pids(repository, sweep)) <= 2 + 5
    ended = repository.get_sweep(sweep.id)
    assert (ended.state, ended.counts) == ("completed", {"completed": 3, "failed": 4})
    assert ended.stop_reason == "all 7 trials ended"

    # Optuna's record says the same, with pictures, and what a sampler can learn from is told as PRUNED.
    study = study_of(settings, sweep)
    assert [row.state for row in study.trials] == [
        TrialState.COMPLETE,
        TrialState.PRUNED,
        TrialState.PRUNED,
        TrialState.FAIL,
        TrialState.COMPLETE,
        TrialState.FAIL,
        TrialState.COMPLETE,
    ]
    assert study.metric_names == ["psnr", "feature_gain"]
    expected = metrics_of(trials[0].parameters["feat_loss_weight"])
    assert study.trials[0].values == [expected["psnr"], expected["feature_gain"]]
    meta = optuna.artifacts.get_all_artifact_meta(study.trials[0], storage=study._storage)
    assert [item.filename for item in meta] == ["panel.png"]
    assert (settings.artifacts_dir / meta[0].artifact_id).is_file()
    attributes = study._storage.get_study_system_attrs(study._study_id)
    assert any(meta[0].artifact_id in str(value) for key, value in attributes.items() if "note" in key)
    assert any("plot_data" in key for key in attributes)

    # Nothing of Ray is left: no process, no folder.
    folder = Path((settings.sweep_dir(sweep.id) / "ray-session").read_text())
    assert not folder.exists()
    assert not (settings.sweep_dir(sweep.id) / "tune").exists()
    with pytest.raises(WrongState, match="completed"):
        run_sweep(sweep.id, settings)


def test_a_killed_drivers_sweep_is_completed_by_the_next(
    settings: Settings, repository: Repository, spec_of: MakeSpec, drive: Drive
) -> None:
    sweep, _ = repository.create_sweep(spec_of(budget={"trials": 12}))
    first = drive(sweep, "Slow")
    wait_until(lambda: repository.get_sweep(sweep.id).counts.get("completed", 0) >= 3)
    with pytest.raises(LeaseHeld, match=str(first.pid)):
        run_sweep(sweep.id, settings)
    family = psutil.Process(first.pid).children(recursive=True)
    workers = [process for process in family if process.pid in worker_pids(repository, sweep)]
    assert workers
    first.kill()
    first.wait()
    _, alive = psutil.wait_procs(workers, timeout=30)
    assert alive == []
    before = {trial.number: trial for trial in repository.all_trials(sweep.id)}
    assert repository.get_sweep(sweep.id).state == "interrupted"

    # What a crash between two writes leaves: a row of Optuna's that nobody knows of.
    study_of(settings, sweep).ask()

    repository.request_resume(sweep.id)
    assert drive(sweep, "Slow").wait(timeout=280) == COMPLETED
    after = repository.all_trials(sweep.id)
    assert [trial.number for trial in after] == list(range(12))
    assert {trial.state for trial in after} == {"completed"}
    for trial in after:
        assert trial.metrics == metrics_of(trial.parameters["feat_loss_weight"])
        if trial.number in before:
            assert trial.configuration == before[trial.number].configuration
            assert trial.seed == before[trial.number].seed
    starts = Counter(int(line) for line in (settings.sweep_dir(sweep.id) / "starts").read_text().split())
    for trial in after:
        outcomes = [attempt.outcome for attempt in repository.attempts(sweep.id, trial.number)]
        assert outcomes.count("completed") == 1
        assert starts[trial.number] <= len(outcomes) == trial.attempts
        if before.get(trial.number) and before[trial.number].state == "completed":
            assert outcomes == ["completed"]
    _, alive = psutil.wait_procs(family, timeout=10)  # an agent whose raylet is gone takes seconds to see it
    assert alive == []  # the second driver has ended what the first one left
    rows = study_of(settings, sweep).trials
    assert sorted(row.user_attrs[NUMBER] for row in rows if row.state == TrialState.COMPLETE) == list(range(12))
    assert {row.state for row in rows} <= {TrialState.COMPLETE, TrialState.FAIL}  # the stray row may have been failed


@pytest.mark.slow
def test_a_killed_ablation_goes_on_with_the_same_arms_and_seeds(
    settings: Settings, repository: Repository, spec_of: MakeSpec, drive: Drive
) -> None:
    arms = {"heavy": {"feat_loss_weight": 1.0}, "heavier": {"feat_loss_weight": 2.0}}
    plan = check_spec(spec_of(kind="ablation", space={}, budget={}, arms=arms, seeds=4))
    sweep, _ = repository.create_sweep(plan.spec)
    first = drive(sweep, "Slow")
    wait_until(lambda: repository.get_sweep(sweep.id).counts.get("completed", 0) >= 3)
    first.kill()
    first.wait()
    wait_until(lambda: repository.get_sweep(sweep.id).state == "interrupted")

    repository.request_resume(sweep.id)
    assert drive(sweep, "Slow").wait(timeout=280) == COMPLETED
    trials = repository.all_trials(sweep.id)
    assert [trial.parameters.get("feat_loss_weight") for trial in trials] == [None, 1.0, 2.0] * 4
    assert [trial.seed for trial in trials] == [trial_seed(0, index) for index in range(4) for _ in range(3)]
    assert {trial.state for trial in trials} == {"completed"}
    rows = {
        row.user_attrs.get(NUMBER): row for row in study_of(settings, sweep).trials if row.state == TrialState.COMPLETE
    }
    assert {number: row.params for number, row in rows.items()} == {trial.number: trial.parameters for trial in trials}


def test_a_sweep_is_cancelled_and_resumed_and_stopped_in_good_order(
    settings: Settings, repository: Repository, spec_of: MakeSpec, drive: Drive
) -> None:
    sweep, _ = repository.create_sweep(spec_of(budget={"trials": 3}))
    driver = drive(sweep, "Endless")
    wait_until(lambda: any(trial.step > 0 for trial in repository.all_trials(sweep.id)))
    repository.request_cancel(sweep.id)
    assert driver.wait(timeout=120) == COMPLETED
    cancelled = repository.get_sweep(sweep.id)
    assert cancelled.state == "cancelled"
    assert set(cancelled.counts) == {"cancelled"}
    assert "lost" not in {attempt.outcome for attempt in repository.attempts(sweep.id, 0)}

    repository.request_resume(sweep.id)
    driver = drive(sweep, "Endless")
    wait_until(lambda: any(trial.state == "running" and trial.step > 0 for trial in repository.all_trials(sweep.id)))
    driver.send_signal(signal.SIGTERM)
    assert driver.wait(timeout=120) == INTERRUPTED
    assert repository.get_sweep(sweep.id).state == "interrupted"
    assert set(repository.get_sweep(sweep.id).counts) == {"queued"}


def test_trials_share_a_gpu_and_what_runs_out_of_memory_there_is_tried_alone(
    settings: Settings,
    repository: Repository,
    spec_of: MakeSpec,
    drive: Drive,
    nvidia_smi: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvidia_smi("24000, [N/A]")
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 2, "GPU": 1}')  # declared: nothing here computes on it
    sweep, _ = repository.create_sweep(spec_of(budget={"trials": 6}, resources={}))
    assert drive(sweep, "Greedy").wait(timeout=280) == COMPLETED
    trials = repository.all_trials(sweep.id)
    assert [trial.failure_reason for trial in trials] == [None, None, None, "oom", None, None]
    outcomes = [[attempt.outcome for attempt in repository.attempts(sweep.id, trial.number)] for trial in trials]
    assert outcomes == [["completed"], ["lost", "completed"], ["completed"], ["lost", "failed"], *[["completed"]] * 2]
    for number in (1, 3):
        message = repository.attempts(sweep.id, number)[0].message
        assert message == "wanted 99 GB; others may have shared its GPU: next it runs alone"
    assert trials[3].failure_message == "wanted 99 GB"
    assert "fake_trainers.py" in (trials[3].failure_detail or "")
    log = (settings.sweep_dir(sweep.id) / "driver.log").read_text()
    assert "2 trials share a GPU of 25.2 GB" in log
    assert "2 at once, 1 CPUs and 0.5 GPUs each" in log


def test_a_base_that_was_edited_or_moved_since_changes_nothing(
    settings: Settings, repository: Repository, spec_of: MakeSpec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "mine.yaml"
    base.write_text("name: mine\nbase: demo_cpu\nparameters: {num_levels: 8}\n")
    spec = spec_of(base=str(base))
    kept, _ = repository.create_sweep(spec, resolved=check_spec(spec).resolved)
    older, _ = repository.create_sweep(spec)  # by a version that did not keep it
    base.write_text("name: mine\nbase: demo_cpu\nparameters: {num_levels: 4}\n")
    plans: list[Plan] = []

    def cluster(settings: Settings, plan: Plan, *, sweep_folder: Path) -> None:
        plans.append(plan)
        raise UsageError("far enough")

    monkeypatch.setattr("sweeps.search.cluster.ray_cluster", cluster)
    for sweep in (kept, older):
        assert run_sweep(sweep.id, settings, trainer="fake_trainers:Quick") == FAILED
    base.unlink()
    for sweep in (kept, older):
        repository.request_resume(sweep.id)
        assert run_sweep(sweep.id, settings, trainer="fake_trainers:Quick") == FAILED
    assert [plan.fixed["num_levels"] for plan in plans] == [8, 4, 8]
    assert "no such file" in (repository.get_sweep(older.id).error or "")


def test_a_driver_that_can_not_reach_its_store_leaves_its_sweep_to_be_resumed(
    settings: Settings, repository: Repository, spec_of: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, _ = repository.create_sweep(spec_of())
    tokens: list[str] = []

    def drive(self: _Drive) -> None:
        held = self.held
        configuration = {"seed": 1}
        held.add_trial(0, parameters={}, configuration=configuration, optuna_trial=None, total_steps=10)
        tokens.append(held.start_attempt(0).token)
        raise StoreUnavailable("the database failed: server closed the connection")

    monkeypatch.setattr(_Drive, "_drive", drive)
    assert run_sweep(sweep.id, settings, trainer="fake_trainers:Quick") == STORE_AWAY
    assert repository.get_sweep(sweep.id).state == "interrupted"
    assert [attempt.outcome for attempt in repository.attempts(sweep.id, 0)] == ["interrupted"]
    assert repository.get_trial(sweep.id, 0).state == "queued"
    with pytest.raises(StaleAttempt):
        AttemptStore(repository.database).report(tokens[0], step=1, loss=None, metrics={})


def test_a_heartbeat_that_does_not_get_through_ends_the_drive(
    settings: Settings, repository: Repository, spec_of: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep, _ = repository.create_sweep(spec_of())
    quick = replace(settings, lease_seconds=0.5)

    def renew(self: DrivenSweep) -> bool:
        raise StoreUnavailable("the database failed: server closed the connection")

    def drive(self: _Drive) -> None:
        wait_until(self._stopping, 20)

    monkeypatch.setattr(DrivenSweep, "renew", renew)
    monkeypatch.setattr(_Drive, "_drive", drive)
    assert run_sweep(sweep.id, quick, trainer="fake_trainers:Quick") == STORE_AWAY
    assert repository.get_sweep(sweep.id).state == "interrupted"


def test_what_all_trials_need_is_missed_before_any_starts(
    settings: Settings, repository: Repository, spec_of: MakeSpec, drive: Drive
) -> None:
    sweep, _ = repository.create_sweep(spec_of())
    assert drive(sweep, "Hopeless").wait(timeout=200) == FAILED
    failed = repository.get_sweep(sweep.id)
    assert (failed.state, failed.counts) == ("failed", {})
    assert failed.error == "weights openai of ViT-L-14: can't be reached; give a file as clip_pretrained"


@pytest.mark.slow
def test_a_space_that_is_used_up_ends_the_sweep_and_is_told(
    settings: Settings, repository: Repository, spec_of: MakeSpec, drive: Drive
) -> None:
    one = {"feat_loss_weight": {"type": "categorical", "choices": [0.1]}}
    sweep, _ = repository.create_sweep(
        spec_of(space=one, budget={"trials": 6}, fidelity={"rungs": [10, 30]}, search={"sampler": "model"})
    )
    assert drive(sweep, "Quick").wait(timeout=280) == COMPLETED
    ended = repository.get_sweep(sweep.id)
    assert ended.stop_reason is not None
    assert ended.stop_reason.endswith(
        " of 6 trials ended: no other configuration of the space was found that may start"
    )


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["Hanging", "HangingElsewhere"])
def test_a_trial_that_hangs_is_ended_and_keeps_no_place(
    settings: Settings, repository: Repository, spec_of: MakeSpec, drive: Drive, trainer: str
) -> None:
    spec = spec_of(budget={"trials": 3, "trial_hours": 0.0001}, resources={"max_concurrent": 1})
    sweep, _ = repository.create_sweep(spec)
    assert drive(sweep, trainer).wait(timeout=280) == COMPLETED
    trials = repository.all_trials(sweep.id)
    assert [(trial.state, trial.failure_reason) for trial in trials] == [
        ("failed", "timeout"),
        ("completed", None),
        ("completed", None),
    ]
    assert "not heard of since step 1" in str(trials[0].failure_message)
    assert [attempt.outcome for attempt in repository.attempts(sweep.id, 0)] == ["failed"]
    assert TrialState.RUNNING not in {row.state for row in study_of(settings, sweep).trials}


def test_a_preparation_whose_worker_is_killed_is_done_again(
    settings: Settings, repository: Repository, spec_of: MakeSpec, drive: Drive
) -> None:
    sweep, _ = repository.create_sweep(spec_of(budget={"trials": 1}))
    assert drive(sweep, "KilledFirst").wait(timeout=280) == COMPLETED
    assert repository.get_sweep(sweep.id).counts == {"completed": 1}
    assert (settings.sweep_dir(sweep.id) / "preparations").read_text() == "xx"


@pytest.mark.slow
def test_a_preparation_that_is_killed_again_and_again_fails_the_sweep(
    settings: Settings, repository: Repository, spec_of: MakeSpec, drive: Drive
) -> None:
    sweep, _ = repository.create_sweep(spec_of())
    assert drive(sweep, "KilledAlways").wait(timeout=280) == FAILED
    failed = repository.get_sweep(sweep.id)
    assert failed.counts == {}
    assert "was lost 3 times" in str(failed.error)
    assert "memory" in str(failed.error)


def test_a_sweep_that_can_not_be_driven_fails_with_one_line(
    settings: Settings, repository: Repository, spec_of: MakeSpec
) -> None:
    sweep, _ = repository.create_sweep(spec_of(scene="nowhere/at/all"))
    assert run_sweep(sweep.id, settings, trainer="fake_trainers:Quick") == FAILED
    assert "nowhere/at/all" in (repository.get_sweep(sweep.id).error or "")


def test_more_cpus_than_there_are_is_refused(settings: Settings, repository: Repository, spec_of: MakeSpec) -> None:
    sweep, _ = repository.create_sweep(spec_of(resources={"cpus_per_trial": 1000}))
    assert run_sweep(sweep.id, settings, trainer="fake_trainers:Quick") == FAILED
    assert "resources.cpus_per_trial=1000" in (repository.get_sweep(sweep.id).error or "")
