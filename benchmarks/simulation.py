"""A sweep without Ray or training: virtual workers over the real conductor, strategy, sampler, study and store.

Time is virtual, so that a thousand workers fit in one process; workers end through AttemptStore.finish as real ones do.
What is simulated is the training alone: two learning curves that pull apart, a cost by configuration, divergence,
running out of memory, and workers that are lost.
"""

from __future__ import annotations

import heapq
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from sweeps.search.checkpoints import KeptCheckpoints
from sweeps.search.conductor import Conductor
from sweeps.search.earlier import Earlier
from sweeps.search.history import Goal
from sweeps.search.stopping import Spent
from sweeps.search.strategies import repeats_of, sampler_of, stop_rules_of, strategy_of
from sweeps.search.study import Study, open_storage
from sweeps.search.trial import TrialJob
from sweeps.settings import Settings
from sweeps.spec.sweep import SweepSpec, check_spec, parse_spec
from sweeps.store.attempts import AttemptStore
from sweeps.store.driving import DrivenSweep
from sweeps.store.records import Completed, Failed, Process
from sweeps.store.repository import Repository

SPACE: Mapping[str, Any] = {
    "lr": {"type": "float", "low": 1e-3, "high": 3e-1, "log": True},
    "feat_loss_weight": {"type": "float", "low": 1e-4, "high": 10.0, "log": True},
    "log2_hashmap_size": {"type": "int", "low": 15, "high": 22},
    "feat_hidden_dim": {"type": "categorical", "choices": [16, 32, 64, 128]},
    "num_nerf_samples_per_ray": {"type": "int", "low": 16, "high": 96},
    "feat_use_pe": {"type": "categorical", "choices": [True, False]},
}
_MEMORY_GB = 16.0  # of a simulated worker
_START = datetime(2026, 1, 1, tzinfo=UTC)
_DRIVER = Process("elsewhere", 1, 0.0)  # a machine that can't be looked at: only its lease tells that it lives


def make_spec(trials: int, *, rungs: tuple[int, ...] = (300, 900, 2700), sampler: str = "random") -> SweepSpec:
    """A sweep over SPACE for two objectives that pull apart."""
    return parse_spec(
        {
            "name": "simulated",
            "scene": "embedded:tabletop",
            "space": dict(SPACE),
            "allow": ["unstable-rates"],  # trials are to diverge
            "objectives": ["psnr", "feature_gain"],
            "fidelity": {"rungs": list(rungs)},
            "budget": {"trials": trials},
            "search": {"sampler": sampler},
        }
    )


class SimulatedTrainer:
    """Ends of trainings in closed form.

    Args:
        seed: of noise and losses.
        lost: probability that a job's worker is lost.
    """

    def __init__(self, seed: int = 0, lost: float = 0.02) -> None:
        self._seed, self._lost = seed, lost

    def end(self, job: TrialJob, attempt: int) -> tuple[float, Completed | Failed | None]:
        """Seconds that the job takes, and how it ends; None: its worker is lost.

        Args:
            job: to its next rung.
            attempt: how many jobs this trial had before.
        """
        c = job.configuration
        chance = np.random.default_rng([self._seed, job.number, attempt])
        per_step = 0.01 * (0.3 + c["num_nerf_samples_per_ray"] / 48) * (0.5 + 2.0 ** (c["log2_hashmap_size"] - 20))
        before = job.hours_before * 3600
        seconds = max(0.0, per_step * job.steps - before)
        if chance.random() < self._lost:
            return seconds * chance.random(), None
        memory = 2.0 ** (c["log2_hashmap_size"] - 19) + 0.04 * c["num_nerf_samples_per_ray"] + c["feat_hidden_dim"] / 16
        if memory > _MEMORY_GB:
            return min(seconds, 5.0), Failed("oom", f"wanted {memory:.1f} GB of {_MEMORY_GB:g}")
        if c["lr"] * (1 + c["feat_loss_weight"] / 5) > 0.15:
            return seconds / 3, Failed("diverged", "loss is nan")
        metrics = self._metrics(c, job.steps, chance)
        metrics |= {"train_seconds": before + seconds, "peak_memory_gb": memory}
        return seconds, Completed(metrics, "numba", "simulated", job.threads, job.steps, before + seconds)

    def _metrics(self, c: Mapping[str, Any], steps: int, chance: np.random.Generator) -> dict[str, float]:
        weight = math.log10(c["feat_loss_weight"])
        width = math.log10(c["lr"] / 0.01)
        left = math.exp(-((steps * c["lr"] / 8) ** 0.5))  # of what is to be learned
        size = (c["log2_hashmap_size"] - 15) / 7
        psnr = 26 + 2 * size - 1.5 * width**2 - 0.6 * max(0.0, weight + 1) ** 2 - 12 * left
        gain = 0.45 + 0.06 * weight - 0.02 * width**2 + 0.02 * math.log2(c["feat_hidden_dim"] / 16) - 0.3 * left
        gain += 0.02 if c["feat_use_pe"] else 0.0
        return {
            "psnr": psnr + float(chance.normal(0, 0.15)),
            "feature_gain": gain + float(chance.normal(0, 0.004)),
        }


@dataclass(frozen=True)
class Decision:
    """What handing out a job, or taking up its end, cost.

    Args:
        trials: started so far.
        wall_seconds, cpu_seconds: spent in the conductor.
    """

    trials: int
    wall_seconds: float
    cpu_seconds: float


class Simulation:
    """One sweep with virtual workers.

    Args:
        settings: where its store lies.
        spec: of the sweep.
        workers: jobs at once.
        trainer: tells how jobs end.
    """

    def __init__(self, settings: Settings, spec: SweepSpec, *, workers: int, trainer: SimulatedTrainer) -> None:
        self.settings, self.workers, self.trainer = settings, workers, trainer
        self.seconds = 0.0
        """Virtual time."""
        self.repository = Repository.open(settings.store_url, clock=self._clock)
        self.plan = check_spec(spec)
        self.sweep, _ = self.repository.create_sweep(spec)
        self.decisions: list[Decision] = []
        self.lost = 0
        self._store = AttemptStore(self.repository.database)
        self._jobs: list[tuple[float, int, TrialJob, Completed | Failed | None]] = []  # a heap, by when they end
        self._handed_out = 0
        self._attempts: dict[int, int] = {}
        self.take_over()

    def take_over(self) -> None:
        """A driver's start, also after the death of another: its workers are gone with it."""
        self._jobs.clear()
        self.seconds += 3600.0  # a dead driver's lease runs out
        self.held = DrivenSweep.acquire(
            self.repository.database, self.sweep.id, _DRIVER, lease_seconds=60, max_attempts=9
        )
        folder = self.settings.sweep_dir(self.sweep.id)
        study = Study(open_storage(self.settings.store_url), self.sweep, self.plan, self.settings.artifacts_dir)
        for number, row in study.reconcile(self.held.trials(), self.held.rungs(), folder).items():
            self.held.set_optuna_trial(number, row)
        goal = Goal.of(self.plan)
        sampler = sampler_of(self.plan, goal)
        self.conductor = Conductor(
            self.held,
            study,
            self.plan,
            strategy_of(self.plan, goal, sampler, device="cpu"),
            repeats=repeats_of(self.plan, goal),
            sampler=sampler,
            earlier=Earlier(),
            device="cpu",
            rules=stop_rules_of(self.plan),
            spent=Spent,
            is_stopping=lambda: False,
            sweep_folder=folder,
            on_end=KeptCheckpoints(self.held, self.plan, lambda number: folder / str(number)).note_end,
        )

    def run(self, until: int | None = None, on_decision: Callable[[Decision], None] = lambda _: None) -> None:
        """Play until the sweep has ended, or so many jobs have been handed out.

        Args:
            until: jobs, of all runs; None: to the end.
            on_decision: called after each.
        """
        while until is None or self._handed_out < until:
            if len(self._jobs) < self.workers:
                job = self._timed(self.conductor.next_job, on_decision)
                if job is not None:
                    self._begin(job)
                    continue
            if not self._jobs:
                break
            self._end(on_decision)
        if until is None:
            self.conductor.stop_waiting()

    def close(self) -> None:
        """Close the store."""
        self.repository.close()

    def _begin(self, job: TrialJob) -> None:
        attempt = self._attempts[job.number] = self._attempts.get(job.number, 0) + 1
        seconds, end = self.trainer.end(job, attempt)
        self._handed_out += 1
        heapq.heappush(self._jobs, (self.seconds + seconds, self._handed_out, job, end))

    def _end(self, on_decision: Callable[[Decision], None]) -> None:
        self.seconds, _, job, end = heapq.heappop(self._jobs)
        failure = end if isinstance(end, Failed) and end.reason == "oom" and job.shares_gpu else None
        if end is None:
            self.lost += 1
        elif failure is None:
            self._store.finish(job.token, end)
        self._timed(lambda: self.conductor.ended(job.number, "its worker is gone", failure), on_decision)

    def _timed(self, decide: Callable[[], Any], on_decision: Callable[[Decision], None]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = decide()
        decision = Decision(len(self.conductor.history), time.perf_counter() - wall, time.process_time() - cpu)
        self.decisions.append(decision)
        on_decision(decision)
        return result

    def _clock(self) -> datetime:
        return _START + timedelta(seconds=self.seconds)


def settings_in(folder: Path) -> Settings:
    """Settings of a store of its own."""
    return Settings(store_url=f"sqlite:///{folder / 'f3rm.db'}", data_dir=folder, cache_dir=folder / "cache")
