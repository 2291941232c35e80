"""Which trained models are kept: conducted by hand over a real store, with results that are given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from podium import Podium

from sweeps.outcome import Outcome
from sweeps.search.checkpoints import KeptCheckpoints
from sweeps.settings import Settings
from sweeps.spec.sweep import SweepSpec
from sweeps.store.attempts import AttemptStore
from sweeps.store.records import Completed, Failed
from sweeps.store.repository import Repository


class Desk:
    """A conducted sweep, whose trials end with given results."""

    def __init__(self, podium: Podium) -> None:
        self.podium = podium
        self.kept = self._opened()

    def _opened(self) -> KeptCheckpoints:
        return KeptCheckpoints(self.podium.held, self.podium.plan, lambda number: self.folder(number).parent)

    def folder(self, number: int) -> Any:
        return self.podium.settings.sweep_dir(self.podium.sweep.id) / str(number) / "checkpoints"

    def end(self, *results: dict[str, float] | Failed) -> None:
        """The next trials end so."""
        for result in results:
            job = self.podium.conductor.next_job()
            assert job is not None
            self.folder(job.number).mkdir(parents=True)
            if isinstance(result, Failed):
                end: Completed | Failed = result
            else:
                metrics = {"psnr": 20.0, "feature_gain": 0.5, "train_seconds": 9.0, **result}
                end = Completed(metrics, "numba", "cpu", 1, 10, 1.0, checkpoint=f"{job.number}/checkpoints/x")
            AttemptStore(self.podium.repository.database).finish(job.token, end)
            self.podium.conductor.ended(job.number, "no result", None)
            self.kept.note_end(self.podium.held.trial(job.number))

    def restart(self) -> None:
        self.podium.take_over()
        self.kept = self._opened()

    def checkpoints(self) -> list[int]:
        """Trials whose model is there: in the store and on the disk alike."""
        trials = self.podium.trials()
        stored = [trial.number for trial in trials if trial.checkpoint]
        assert stored == [trial.number for trial in trials if self.folder(trial.number).exists()]
        return stored

    def winner(self, scenario: str = "balanced") -> int:
        return Outcome.read(self.podium.repository, self.podium.sweep.id).winner(scenario).number


@pytest.fixture
def desk(repository: Repository, settings: Settings, spec_of: Callable[..., SweepSpec]) -> Callable[..., Desk]:
    return lambda **parts: Desk(Podium(repository, settings, spec_of(**{"objectives": ["psnr"], **parts})))


def psnr(*values: float) -> Sequence[dict[str, float]]:
    return [{"psnr": value} for value in values]


def test_those_that_can_win_stay_and_the_others_go(desk: Callable[..., Desk]) -> None:
    sweep = desk(budget={"trials": 5}, constraints={"train_seconds": 10.0})
    sweep.end(*psnr(20.0, 19.0))  # the second is beaten
    sweep.end({"psnr": 30.0, "train_seconds": 11.0}, Failed("oom", "no room"))  # over the limit: beats nobody
    assert sweep.checkpoints() == [0]
    sweep.end({"psnr": 21.0})
    assert sweep.checkpoints() == [4]
    sweep.restart()
    assert sweep.checkpoints() == [4]


def test_what_a_scenario_looks_at_beside_the_objectives_counts(desk: Callable[..., Desk]) -> None:
    sweep = desk(budget={"trials": 4}, objectives=["psnr", "feature_gain"])
    sweep.end(
        {"psnr": 20.0, "feature_gain": 0.70, "train_seconds": 900.0},
        {"psnr": 19.9, "feature_gain": 0.699, "train_seconds": 90.0},
        {"psnr": 12.0, "feature_gain": 0.3, "train_seconds": 50.0},
        {"psnr": 11.0, "feature_gain": 0.2, "train_seconds": 60.0},
    )
    assert (sweep.winner(), sweep.winner("quick")) == (0, 1)
    assert sweep.checkpoints() == [0, 1, 2]


def test_a_luckier_repeat_does_not_take_the_first_ones_place(desk: Callable[..., Desk]) -> None:
    sweep = desk(budget={"trials": 3}, search={"sampler": "random", "repeats": {"top": 1, "seeds": 3}})
    sweep.end(*psnr(20.0, 18.0, 17.0), *psnr(20.3, 20.4))
    sweep.kept.close()
    assert sweep.winner() == 0
    assert sweep.checkpoints() == [0]


@pytest.mark.parametrize("restarted", [False, True])
def test_who_wins_once_repeats_have_shown_the_best_to_be_lucky_is_still_there(
    desk: Callable[..., Desk], *, restarted: bool
) -> None:
    sweep = desk(budget={"trials": 4}, search={"sampler": "random", "repeats": {"top": 2, "seeds": 2}})
    sweep.end(*psnr(20.0, 17.0, 18.0, 19.0))
    assert sweep.checkpoints() == [0, 2, 3]  # two may fall back; trial 1 has three before it
    if restarted:
        sweep.restart()
    sweep.end(*psnr(12.0, 12.0))  # means 16 and 15.5
    if restarted:
        sweep.restart()
    sweep.kept.close()
    assert sweep.winner() == 2
    assert sweep.checkpoints() == [2]


def test_an_arm_of_an_ablation_is_judged_by_all_of_its_seeds(desk: Callable[..., Desk]) -> None:
    arms = {"narrow": {"hidden_dim_color": 32}, "wide": {"hidden_dim_color": 128}}
    sweep = desk(base="demo_cpu", kind="ablation", space={}, arms=arms, seeds=2, budget={})
    sweep.end(*psnr(20.0, 21.0, 22.0))
    assert sweep.checkpoints() == [0, 1, 2]
    sweep.end(*psnr(24.0, 20.0, 20.0))  # means 22, 20.5, 21
    sweep.kept.close()
    assert sweep.winner() == 0
    assert sweep.checkpoints() == [0]
