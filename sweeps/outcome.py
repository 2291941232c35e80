"""What a sweep has found so far, read from the store once: the front, the winner, the trial to export."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from f3rm_core import Metric
from sweeps.analysis.export import differences
from sweeps.analysis.pareto import front_of
from sweeps.analysis.scenarios import Winner, choose
from sweeps.errors import UnknownTrial
from sweeps.spec.objectives import objectives_of
from sweeps.spec.presets import load_preset
from sweeps.store.records import SweepRecord, TrialRecord
from sweeps.store.repository import Repository


@dataclass(frozen=True)
class Point:
    """A completed trial among the others.

    Args:
        trial: its number.
        metrics: everything that it measured.
        on_front: no other trial is at least as good in all objectives and better in one.
    """

    trial: int
    metrics: Mapping[str, float]
    on_front: bool


@dataclass(frozen=True)
class Outcome:
    """A sweep with its completed trials.

    Args:
        sweep: the sweep.
        objectives: its objectives, in the spec's order.
        trials: the completed trials, by number.
    """

    sweep: SweepRecord
    objectives: tuple[Metric, ...]
    trials: Mapping[int, TrialRecord]

    @classmethod
    def read(cls, repository: Repository, sweep_id: str) -> Outcome:
        """Read a sweep and its completed trials.

        Raises:
            UnknownSweep: there is none.
        """
        sweep = repository.get_sweep(sweep_id)
        completed = {trial.number: trial for trial in repository.all_trials(sweep_id) if trial.state == "completed"}
        return cls(sweep, objectives_of(sweep.spec["objectives"]), completed)

    @property
    def results(self) -> dict[int, Mapping[str, float]]:
        """Trial number -> metric -> value."""
        return {number: trial.metrics for number, trial in self.trials.items()}

    def points(self) -> list[Point]:
        """The front first, best first objective first; then the others by number."""
        front = front_of(self.objectives, self.results)
        others = sorted(set(self.trials) - set(front))
        return [Point(number, self.trials[number].metrics, number in front) for number in [*front, *others]]

    def winner(self, scenario: str) -> Winner:
        """The trial that wins a scenario.

        Raises:
            UnknownScenario: it is not defined.
            NoResults: nothing has completed.
        """
        return choose(scenario, self.objectives, self.results)

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
            raise UnknownTrial(f"trial {trial} of sweep {self.sweep.id}: not completed; completed: {done}")
        return self.trials[trial], f"trial {trial}, chosen by its number"


def repeat_command(sweep: SweepRecord, trial: TrialRecord) -> str:
    """The command line that trains a trial again, with no file beside it: its parameters are spelled out.

    Args:
        sweep: the trial's sweep.
        trial: the trial.
    """
    base = str(sweep.spec["base"])
    words = ["f3rm-sweeps", "train", "--preset", base, "--scene", str(sweep.spec["scene"])]
    for name, value in differences(load_preset(base).resolved, trial.configuration).items():
        words += ["--set", f"{name}={json.dumps(value)}"]  # JSON is YAML, in which values are read
    return shlex.join(words)
