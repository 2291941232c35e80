"""Trials that share GPUs, simulated: how long a sweep takes, and what runs out of memory beside others.

    python -m benchmarks.packing [--trials 100]

Virtual workers (benchmarks/simulation.py) on virtual GPUs whose memory runs out; trials take up to 1.5 times more or
less than is predicted. Sharing slows nobody here: what is counted is waiting, and work that is done again.
"""

from __future__ import annotations

import argparse
import logging
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import optuna
from rich.console import Console
from rich.table import Table

from benchmarks.simulation import Decision, SimulatedTrainer, Simulation, make_spec, settings_in
from sweeps.search.packing import Need, Packing
from sweeps.search.trial import TrialJob
from sweeps.settings import Settings
from sweeps.spec.sharing import CONTEXT_GB, Sharing
from sweeps.spec.sweep import SweepSpec
from sweeps.store.records import Completed, Failed

GPU_MEMORY_GB = 24.0
_ERROR = 1.5
CASES = ((1, 1), (1, 2), (1, 3), (2, 2), (8, 1), (8, 2))
"""GPUs, and trials on each."""


class OnGpus(Simulation):
    """Virtual GPUs. Where what lies on one exceeds its memory, any one of its trials runs out of it.

    Args:
        settings, spec: as of a Simulation.
        gpus: how many.
        together: trials on each.
        room: whether room is kept as predicted; else trials start wherever there is a slot.
        seed: of places, memory and victims.
        lost: probability that a job's worker is lost.
    """

    def __init__(
        self,
        settings: Settings,
        spec: SweepSpec,
        *,
        gpus: int,
        together: int,
        room: bool = True,
        seed: int = 0,
        lost: float = 0.0,
    ) -> None:
        self.gpus, self.together = gpus, together
        self._sharing = Sharing(together, GPU_MEMORY_GB if room else float("inf"), "simulated")
        self._chance, self._seed = random.Random(seed), seed
        self.taken: dict[int, float] = {}
        """Trial -> memory that it takes, GB."""
        self.too_large: set[int] = set()
        """Trials that ran out of memory with a GPU to themselves."""
        self.most_running = 0
        super().__init__(settings, spec, workers=gpus * together, trainer=_Measured(self, seed, lost))

    def take_over(self) -> None:
        """As a driver's start: nothing runs."""
        super().take_over()
        self._places: dict[int, int] = {}  # trial -> its GPU
        self.conductor.share_gpus(Packing(self._sharing, predict))

    def _begin(self, job: TrialJob) -> None:
        loads = Counter(self._places.values())
        gpu = self._chance.choice([gpu for gpu in range(self.gpus) if loads[gpu] < self.together])
        off = random.Random(f"{self._seed}:{job.number}").uniform(-1, 1)
        self.taken[job.number] = predict(job.configuration).counted * _ERROR**off
        self._places[job.number] = gpu
        self.most_running = max(self.most_running, len(self._places))
        super()._begin(job)
        here = [number for number, place in self._places.items() if place == gpu]
        if sum(self.taken[number] + CONTEXT_GB for number in here) > GPU_MEMORY_GB:
            if len(self._places) == 1:
                self.too_large.add(job.number)
            self._run_out(self._chance.choice(here))

    def _run_out(self, victim: int) -> None:
        for index, (time, order, job, _) in enumerate(self._jobs):
            if job.number == victim:
                self._jobs[index] = (time, order, job, Failed("oom", "CUDA out of memory"))

    def _end(self, on_decision: Callable[[Decision], None]) -> None:
        del self._places[self._jobs[0][2].number]
        super()._end(on_decision)


class _Measured(SimulatedTrainer):
    """Reports the GPU's memory as the trial took it."""

    def __init__(self, simulation: OnGpus, seed: int, lost: float) -> None:
        super().__init__(seed, lost)
        self._simulation = simulation

    def end(self, job: TrialJob, attempt: int) -> tuple[float, Completed | Failed | None]:
        seconds, end = super().end(job, attempt)
        if isinstance(end, Completed):
            metrics = {**end.metrics, "peak_memory_gb": self._simulation.taken[job.number]}
            end = Completed(metrics, "tcnn", "cuda", end.threads, end.steps, end.seconds)
        elif end is not None and end.reason == "oom":  # of a simulated worker's own memory: not what is looked at here
            end = Failed("diverged", "loss is nan")
        return seconds, end


def predict(configuration: Mapping[str, Any]) -> Need:
    """0.9 to 18.5 GB."""
    return Need(0.5 + 2.0 ** (configuration["log2_hashmap_size"] - 18) + configuration["feat_hidden_dim"] / 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=100)
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("sweeps.driver").setLevel(logging.ERROR)
    table = Table("GPUs", "trials on each", "room kept", "virtual seconds", "out of memory beside others", "alone")
    for gpus, together in CASES:
        for room in (True, False) if together > 1 else (True,):
            table.add_row(str(gpus), str(together), str(room), *map(str, _play(arguments.trials, gpus, together, room)))
    Console().print(table)


def _play(trials: int, gpus: int, together: int, room: bool) -> tuple[int, int, int]:
    """Virtual seconds, failures beside others, and trials that failed alone."""
    with tempfile.TemporaryDirectory() as folder:
        spec = make_spec(trials, rungs=(300, 900))
        simulation = OnGpus(settings_in(Path(folder)), spec, gpus=gpus, together=together, room=room)
        start = simulation.seconds
        simulation.run()
        ended = simulation.held.trials()
        attempts = [
            attempt for one in ended for attempt in simulation.repository.attempts(simulation.sweep.id, one.number)
        ]
        beside = sum("others may have shared" in (attempt.message or "") for attempt in attempts)
        simulation.close()
        return round(simulation.seconds - start), beside, sum(one.failure_reason == "oom" for one in ended)


if __name__ == "__main__":
    main()
