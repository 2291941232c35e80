"""A conductor for tests: over a real store and a real study, its workers played by hand. No Ray, no training."""

from __future__ import annotations

from typing import Any

import optuna
from fake_trainers import metrics_of

from sweeps.search.conductor import Conductor
from sweeps.search.earlier import earlier_trials
from sweeps.search.history import Goal
from sweeps.search.stopping import Spent
from sweeps.search.strategies import repeats_of, stop_rules_of, strategy_of
from sweeps.search.study import Study, open_storage
from sweeps.search.trial import TrialJob
from sweeps.settings import Settings
from sweeps.spec.sweep import Sampler, SweepSpec, check_spec
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.models import LeaseRow
from sweeps.store.processes import this_process
from sweeps.store.records import Completed, Failed, TrialRecord
from sweeps.store.repository import Repository
from sweeps.store.studies import study_name

RUNGS = {"rungs": [10, 30, 90], "eta": 3}


class Podium:
    """A conductor that can be killed at any moment, and workers that end at once."""

    device = "cpu"

    def __init__(self, repository: Repository, settings: Settings, spec: SweepSpec) -> None:
        self.repository, self.settings, self.plan = repository, settings, check_spec(spec)
        self.sweep, _ = repository.create_sweep(spec)
        self.ended: list[TrialRecord] = []
        self.sampler: Sampler = "model" if spec.search.sampler == "model" else "random"
        self.take_over()

    def take_over(self) -> None:
        """What a driver does at its start; the one before is dead."""
        with self.repository.database.write() as session:
            if lease := session.get(LeaseRow, self.sweep.id):
                session.delete(lease)
        self.held = DrivenSweep.acquire(
            self.repository.database, self.sweep.id, this_process(), lease_seconds=60, max_attempts=9
        )
        study = Study(open_storage(self.settings.store_url), self.sweep, self.plan, self.settings.artifacts_dir)
        folder = self.settings.sweep_dir(self.sweep.id)
        for number, row in study.reconcile(self.held.trials(), self.held.rungs(), folder).items():
            self.held.set_optuna_trial(number, row)
        goal = Goal.of(self.plan)
        earlier = earlier_trials(self.repository.database, self.plan, device=self.device)
        self.conductor = Conductor(
            self.held,
            study,
            self.plan,
            strategy_of(self.plan, goal, self.sampler, earlier.results, device=self.device),
            repeats=repeats_of(self.plan, goal),
            sampler=self.sampler,
            earlier=earlier,
            device=self.device,
            sweep_folder=folder,
            rules=stop_rules_of(self.plan),
            spent=Spent,
            is_stopping=lambda: False,
            on_end=self.ended.append,
        )

    def work(self, job: TrialJob, end: Completed | Failed | None = None) -> None:
        """A worker's job from beginning to end; its quality grows with its steps."""
        AttemptStore(self.repository.database).finish(job.token, end or self.result(job))
        self.conductor.ended(job.number, "no result", None)

    def result(self, job: TrialJob, **more: float) -> Completed:
        weight = float(job.configuration["feat_loss_weight"])
        metrics = {**metrics_of(weight), "train_seconds": job.steps / 10, **more}
        return Completed(metrics, "numba", "cpu", 1, job.steps, job.steps / 10, checkpoint="checkpoints/x")

    def play(self) -> None:
        while (job := self.conductor.next_job()) is not None:
            self.work(job)
        self.conductor.stop_waiting()

    def trials(self) -> list[TrialRecord]:
        return self.repository.all_trials(self.sweep.id)

    def rows(self) -> list[Any]:
        storage = open_storage(self.settings.store_url)
        return optuna.load_study(study_name=study_name(self.sweep), storage=storage).trials
