"""What a sweep has found so far, read from the store once: the front, its growth, who wins, which trial to export."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING

from f3rm_core import Metric
from sweeps.analysis.export import base_of, differences
from sweeps.analysis.hypervolume import Growth, Stretch, growth
from sweeps.analysis.knee import Knee, knee_of
from sweeps.analysis.pareto import front_of
from sweeps.analysis.repeats import group_repeats, mean_results, repeats_of
from sweeps.analysis.scenarios import SCENARIOS, Winner, choose
from sweeps.errors import NoResults, NotASearch, UnknownTrial
from sweeps.spec.objectives import is_feasible, objectives_of
from sweeps.spec.presets import load_preset
from sweeps.store.records import RungRecord, SweepRecord, TrialRecord
from sweeps.store.repository import Repository

if TYPE_CHECKING:
    from sweeps.analysis.importance import Importance


@dataclass(frozen=True)
class Point:
    """A completed trial among the others.

    Args:
        trial: its number.
        metrics: everything that it measured.
        feasible: it keeps the sweep's constraints.
        on_front: feasible, and no other feasible trial is at least as good in all objectives and better in one.
    """

    trial: int
    metrics: Mapping[str, float]
    feasible: bool
    on_front: bool


@dataclass(frozen=True)
class Outcome:
    """A sweep with its trials.

    Args:
        sweep: the sweep.
        objectives: its objectives, in the spec's order.
        all_trials: its trials, by number.
        rungs: what they measured at rungs, by trial and step.
    """

    sweep: SweepRecord
    objectives: tuple[Metric, ...]
    all_trials: tuple[TrialRecord, ...]
    rungs: tuple[RungRecord, ...]

    @classmethod
    def read(cls, repository: Repository, sweep_id: str) -> Outcome:
        """Read a sweep and its trials.

        Raises:
            UnknownSweep: there is none.
        """
        sweep = repository.get_sweep(sweep_id)
        return cls(
            sweep,
            objectives_of(sweep.spec["objectives"]),
            tuple(repository.all_trials(sweep_id)),
            tuple(repository.rungs(sweep_id)),
        )

    @cached_property
    def trials(self) -> Mapping[int, TrialRecord]:
        """The completed trials, by number."""
        return {trial.number: trial for trial in self.all_trials if trial.state == "completed"}

    @property
    def constraints(self) -> Mapping[str, float]:
        """Metric -> limit."""
        return self.sweep.spec.get("constraints") or {}

    @property
    def results(self) -> dict[int, Mapping[str, float]]:
        """Trial number -> metric -> value, of the completed trials."""
        return {number: trial.metrics for number, trial in self.trials.items()}

    @property
    def feasible_results(self) -> dict[int, Mapping[str, float]]:
        """The results that keep the constraints."""
        return {number: metrics for number, metrics in self.results.items() if is_feasible(self.constraints, metrics)}

    def points(self) -> list[Point]:
        """The front first, best first objective first; then the others by number."""
        feasible = self.feasible_results
        front = front_of(self.objectives, feasible)
        others = sorted(set(self.trials) - set(front))
        return [
            Point(number, self.trials[number].metrics, number in feasible, number in front)
            for number in [*front, *others]
        ]

    def knee(self) -> Knee | None:
        """The front's knee point; None where it has none."""
        return knee_of(self.objectives, self.feasible_results)

    def growth(self) -> list[Growth]:
        """The hypervolume over the cost, in the order in which trials reached rungs or ended."""
        return growth(self.objectives, self._stretches(), self.constraints)

    def _stretches(self) -> list[Stretch]:
        by_trial: dict[int, list[RungRecord]] = {}
        for rung in self.rungs:
            by_trial.setdefault(rung.trial, []).append(rung)
        dated: list[tuple[datetime, Stretch]] = []
        for trial in self.all_trials:
            result = trial.metrics if trial.state == "completed" else None
            before = 0.0
            reached = by_trial.get(trial.number, [])
            for rung in reached:
                at_end = result if rung is reached[-1] else None
                dated.append((rung.at, Stretch(trial.number, rung.seconds - before, at_end)))
                before = rung.seconds
            if trial.finished_at is not None and not reached:
                dated.append((trial.finished_at, Stretch(trial.number, _seconds_without_rung(trial), result)))
            elif trial.finished_at is not None and trial.state == "failed" and (trial.seconds or 0.0) > before:
                dated.append((trial.finished_at, Stretch(trial.number, (trial.seconds or 0.0) - before, None)))
        dated.sort(key=lambda pair: (pair[0], pair[1].trial))
        return [stretch for _, stretch in dated]

    def importance(self) -> Importance:
        """Which parameters decided among the trials that keep the constraints. Loads Optuna.

        Raises:
            NotASearch: the sweep is an ablation.
        """
        from sweeps.analysis.importance import importance
        from sweeps.search.sampler import distributions, labels
        from sweeps.spec.sweep import SweepSpec

        spec = SweepSpec.model_validate(dict(self.sweep.spec))
        if spec.kind == "ablation":
            raise NotASearch(
                f"sweep {self.sweep.id} is an ablation: its arms are no spread over a space, which importance is told "
                f"from; `f3rm-sweeps claims {self.sweep.id}` compares them"
            )
        results = self.feasible_results
        parameters = {number: labels(spec.space, self.trials[number].parameters) for number in results}
        found = importance(self.objectives, parameters, results, distributions(spec.space, spec.space))
        beyond = len(self.trials) - len(results)
        return replace(found, note=f"{found.note}; {beyond} beyond a constraint left out") if beyond else found

    def winner(self, scenario: str) -> Winner:
        """The trial that wins a scenario. A configuration that ran under several seeds counts once, by its means.

        Raises:
            UnknownScenario: it is not defined.
            NoResults: nothing has completed, keeps the constraints, or has what the scenario looks at.
        """
        groups = group_repeats(
            {number: trial.parameters for number, trial in self.trials.items()},
            {number: trial.seed for number, trial in self.trials.items()},
        )
        won = choose(scenario, self.objectives, mean_results(groups, self.results), self.constraints)
        repeats = repeats_of(won.number, won.runner_up, groups, self.results, won.decided_by)
        return won if repeats is None else replace(won, repeats=repeats, reason=f"{won.reason} {repeats}")

    def winners(self) -> tuple[list[Winner], dict[str, str]]:
        """The winner of every scenario that has one, and why the others have none, by scenario.

        Raises:
            NoResults: nothing can win.
        """
        winners, without = [self.winner(next(iter(SCENARIOS)))], {}
        for name in list(SCENARIOS)[1:]:
            try:
                winners.append(self.winner(name))
            except NoResults as error:
                without[name] = str(error)
        return winners, without

    def chosen(self, *, scenario: str, trial: int | None) -> tuple[TrialRecord, str]:
        """The trial to export, and why it: the scenario's winner, or the trial of a given number.

        Raises:
            UnknownTrial: the sweep has no completed trial of this number.
            UnknownScenario, NoResults: see `winner`.
        """
        if trial is None:
            winner = self.winner(scenario)
            return self.trials[winner.number], winner.reason
        if trial not in self.trials:
            done = ", ".join(map(str, sorted(self.trials)[:10])) or "none so far"
            done += f" and {len(self.trials) - 10} more" if len(self.trials) > 10 else ""
            there = any(trial == other.number for other in self.all_trials)
            what = "not completed" if there else "no such trial"
            raise UnknownTrial(f"trial {trial} of sweep {self.sweep.id}: {what}; completed: {done}")
        return self.trials[trial], f"trial {trial}, chosen by its number"


def repeat_command(sweep: SweepRecord, trial: TrialRecord) -> str:
    """The command line that trains a trial again, with no file beside it: its parameters are spelled out.

    Args:
        sweep: the trial's sweep.
        trial: the trial.
    """
    base = base_of(sweep)
    words = ["f3rm-sweeps", "train", "--preset", base, "--scene", str(sweep.spec["scene"])]
    for name, value in differences(load_preset(base).resolved, trial.configuration).items():
        words += ["--set", f"{name}={json.dumps(value)}"]  # JSON is YAML, in which values are read
    return shlex.join(words)


def _seconds_without_rung(trial: TrialRecord) -> float:
    """Training time of a trial that ended and reached no rung; where it measured none, from its start to its end."""
    if "train_seconds" in trial.metrics:
        return float(trial.metrics["train_seconds"])
    if trial.started_at is None or trial.finished_at is None:
        return 0.0
    return (trial.finished_at - trial.started_at).total_seconds()
