"""Decisions a second against trials so far, and a proposal's time: how the search bears ten thousand trials.

    python -m benchmarks.scale [--trials 10000] [--workers 1000] [--sampler random] [--rungs 300,900,2700]
    python -m benchmarks.scale --proposals tpe,gp,nsga2

A simulated sweep (benchmarks/simulation.py) drives the real conductor, strategy, sampler, study and store. A decision
is handing out a job, or taking up its end; what workers write is not counted.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import optuna
from tqdm import tqdm

from benchmarks.simulation import SimulatedTrainer, Simulation, make_spec, settings_in
from sweeps.search.history import Goal, RungResult, TrialHistory
from sweeps.search.learning import MOST_RESULTS, study_for
from sweeps.search.sampler import make_sampler, suggest
from sweeps.spec.sweep import SweepSpec, check_spec

PARTS = 20
"""Points of the plot."""
SIZES = (200, 1000, 10_000)
"""Trials so far, at which a proposal is timed."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--sampler", default="random")
    parser.add_argument("--rungs", default="300,900,2700")
    parser.add_argument("--lost", type=float, default=0.02, help="probability that a job's worker is lost")
    parser.add_argument("--proposals", default="", help="time proposals of these samplers instead")
    parser.add_argument("--json", type=Path, help="file to write the figures to")
    parser.add_argument("--plot", type=Path, help="file to draw decisions a second in")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    logging.getLogger("sweeps.driver").setLevel(logging.ERROR)
    if arguments.proposals:
        found: dict[str, Any] = {"proposals": [_proposals(name) for name in arguments.proposals.split(",")]}
    else:
        rungs = tuple(int(step) for step in arguments.rungs.split(","))
        found = _sweep(
            make_spec(arguments.trials, rungs=rungs, sampler=arguments.sampler), arguments.workers, arguments.lost
        )
        if arguments.plot:
            _draw(found, arguments.plot)
    print(json.dumps(found))
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")


def _sweep(spec: SweepSpec, workers: int, lost: float) -> dict[str, Any]:
    """A whole sweep, and how fast it was decided at each stage of it."""
    with tempfile.TemporaryDirectory() as folder:
        trainer = SimulatedTrainer(spec.search.seed, lost)
        simulation = Simulation(settings_in(Path(folder)), spec, workers=workers, trainer=trainer)
        wall, cpu = time.perf_counter(), time.process_time()
        with tqdm(total=spec.budget.trials, unit="trial", disable=None) as bar:
            simulation.run(on_decision=lambda decision: bar.update(decision.trials - bar.n))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        parts = np.array_split(np.arange(len(simulation.decisions)), PARTS)
        decisions = simulation.decisions
        result = {
            "trials": spec.budget.trials,
            "workers": workers,
            "sampler": spec.search.sampler,
            "wall_seconds": round(wall, 1),
            "cpu_seconds": round(cpu, 1),
            "virtual_hours": round(simulation.seconds / 3600, 2),
            "lost_workers": simulation.lost,
            "states": dict(Counter(trial.state for trial in simulation.conductor.history)),
            "decisions": len(decisions),
            "by_decisions": [
                {
                    "decisions": int(part[-1]) + 1,
                    "trials": decisions[int(part[-1])].trials,
                    "cpu_ms": 1e3 * statistics.mean(decisions[i].cpu_seconds for i in part),
                    "wall_ms": 1e3 * statistics.mean(decisions[i].wall_seconds for i in part),
                }
                for part in parts
                if len(part)
            ],
        }
        simulation.close()
    return result


def _proposals(name: str) -> dict[str, Any]:
    """CPU time of one proposal after so many trials, a tenth of them running and a fifth failed."""
    goal = Goal.of(check_spec(make_spec(max(SIZES), sampler=name)))
    rows = []
    for size in SIZES:
        history = _history(goal, size)
        times = []
        for repeat in range(3):
            start = time.process_time()
            sampler = make_sampler(name, goal, size + repeat)  # type: ignore[arg-type]
            suggest(study_for(sampler, name, goal, history).ask(), goal.space, goal.fixed)
            times.append(time.process_time() - start)
        rows.append({"trials": size, "cpu_seconds": round(statistics.median(times), 3)})
    return {"sampler": name, "most_results": MOST_RESULTS[name], "by_trials": rows}


def _history(goal: Goal, size: int) -> list[TrialHistory]:
    """Trials in the mix that a sweep with rungs has; their results follow a smooth function."""
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(directions=["maximize", "maximize"], sampler=sampler)
    chance = np.random.default_rng(0)
    history = []
    for number in range(size):
        parameters = suggest(study.ask(), goal.space, goal.fixed)
        width = np.log10(parameters["lr"] / 0.01) ** 2
        weight = np.log10(parameters["feat_loss_weight"])
        reached = int(chance.choice([1, 1, 1, 1, 1, 1, 2, 2, 3]))
        rungs = tuple(
            RungResult(
                step,
                {
                    "psnr": float(20 + at - width - 0.5 * max(0.0, weight) + chance.normal(0, 0.1)),
                    "feature_gain": float(0.4 + 0.05 * weight - 0.01 * width + chance.normal(0, 0.004)),
                },
                float(step),
            )
            for at, step in enumerate(goal.rungs[:reached])
        )
        state = str(chance.choice(["paused", "failed", "running"], p=[0.7, 0.2, 0.1]))
        if state == "paused" and reached == len(goal.rungs):
            state = "completed"
        if state == "failed":
            rungs = ()
        reason = "diverged" if state == "failed" else None
        history.append(TrialHistory(number, parameters, state, rungs, failure_reason=reason))
    return history


def _draw(found: dict[str, Any], file: Path) -> None:
    """Decisions a second over decisions so far."""
    parts = found["by_decisions"]
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axes.plot([part["decisions"] for part in parts], [1e3 / part["cpu_ms"] for part in parts], marker="o", ms=4)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("decisions so far")
    axes.set_ylabel("decisions a second of CPU time")
    title = f"{found['trials']:,} simulated trials on {found['workers']:,} workers, {found['sampler']} sampler"
    axes.set_title(title, loc="left")
    started = next((part["decisions"] for part in parts if part["trials"] >= found["trials"]), None)
    if started is not None:
        axes.axvline(started, color="0.6", lw=1, ls="--")
        axes.annotate("all trials started", (started, 0), (-4, 6), textcoords="offset points", color="0.4", ha="right")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, dpi=130)


if __name__ == "__main__":
    main()
