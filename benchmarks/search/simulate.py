"""A search played in virtual time: workers that train as long as the problem says, and a strategy that decides."""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, field, replace

import numpy as np

from benchmarks.search.problems import Problem
from sweeps.analysis.pareto import hypervolume
from sweeps.search.history import Resume, RungResult, Start, Strategy, TrialHistory


@dataclass
class Played:
    """What came of a search.

    Args:
        curve: compute spent, in full evaluations, and the hypervolume of the full-fidelity results until then over
            the problem's best, wherever it grew. Idle workers are paid for.
        failed: for each configuration in order whether training it to the end fails.
        decisions: that were made.
        cpu_seconds: that they took.
        slowest: CPU seconds of the slowest.
    """

    curve: list[tuple[float, float]] = field(default_factory=list)
    failed: list[bool] = field(default_factory=list)
    decisions: int = 0
    cpu_seconds: float = 0.0
    slowest: float = 0.0


def play(
    problem: Problem, strategy: Strategy, rungs: tuple[int, ...], *, workers: int, budget: float, until: float = 1.0
) -> Played:
    """Run a search until its workers have spent the budget.

    Args:
        problem: what is searched.
        strategy: what decides.
        rungs: where trials report and pause, the last a full evaluation; those at full fidelity only have one.
        workers: that train at the same time.
        budget: compute, in full evaluations.
        until: share of the best hypervolume at which the search ends.
    """
    played, history, results = Played(), list[TrialHistory](), list[list[float]]()
    running: list[tuple[float, int, int]] = []  # (end, order, trial)
    now, order, free = 0.0, 0, workers
    while now * workers < budget:
        while free:
            begin = time.process_time()
            choice = strategy.next(history)
            took = time.process_time() - begin
            played.cpu_seconds, played.slowest = played.cpu_seconds + took, max(played.slowest, took)
            played.decisions += 1
            if choice is None:
                break
            trial = _chosen(choice, history, rungs)
            history[trial.number : trial.number + 1] = [trial]
            end = now + _time_of(problem, trial, rungs)
            heapq.heappush(running, (end, order, trial.number))
            order, free = order + 1, free - 1
        if not running:
            break
        now, _, number = heapq.heappop(running)
        free += 1
        history[number] = done = _reported(problem, history[number], rungs)
        if now * workers > budget:
            break
        if done.state == "completed":
            results.append([done.rungs[-1].metrics[objective.name] for objective in problem.objectives])
            share = _share(problem, results)
            if not played.curve or share > played.curve[-1][1]:
                played.curve.append((now * workers, share))
            if share >= until:
                break
    played.failed = [problem.evaluate(trial.parameters, rungs[-1]).failure is not None for trial in history]
    return played


def _chosen(choice: Start | Resume, history: list[TrialHistory], rungs: tuple[int, ...]) -> TrialHistory:
    if isinstance(choice, Start):
        if choice.parameters is None:
            raise ValueError("a simulated strategy must name its parameters")
        until = rungs[-1] if choice.to_end else rungs[0]
        return TrialHistory(len(history), dict(choice.parameters), "running", running_to=until)
    trial = history[choice.number]
    if trial.state != "paused":
        raise ValueError(f"trial {trial.number} is {trial.state}: only a paused one can be resumed")
    return replace(trial, state="running", running_to=rungs[rungs.index(trial.step) + 1])


def _time_of(problem: Problem, trial: TrialHistory, rungs: tuple[int, ...]) -> float:
    """Until a trial reports or fails: to the problem's own rung at which it fails."""
    assert trial.running_to is not None
    until = _failing_rung(problem, trial) or trial.running_to
    spent = problem.cost(trial.parameters, trial.step) if trial.step else 0.0
    return problem.cost(trial.parameters, until) - spent


def _failing_rung(problem: Problem, trial: TrialHistory) -> int | None:
    between = [step for step in problem.rungs if trial.step < step <= (trial.running_to or 0)]
    return next((step for step in between if problem.evaluate(trial.parameters, step).failure), None)


def _reported(problem: Problem, trial: TrialHistory, rungs: tuple[int, ...]) -> TrialHistory:
    assert trial.running_to is not None
    failing = _failing_rung(problem, trial)
    if failing is not None:
        reason = problem.evaluate(trial.parameters, failing).failure
        return replace(trial, state="failed", running_to=None, failure_reason=reason)
    metrics = problem.evaluate(trial.parameters, trial.running_to).metrics
    result = RungResult(trial.running_to, metrics, problem.cost(trial.parameters, trial.running_to))
    state = "completed" if trial.running_to == rungs[-1] else "paused"
    return replace(trial, state=state, running_to=None, rungs=(*trial.rungs, result))


def _share(problem: Problem, results: list[list[float]]) -> float:
    directions = [objective.direction for objective in problem.objectives]
    references = [objective.reference for objective in problem.objectives]
    return hypervolume(np.array(results), directions, references) / problem.best
