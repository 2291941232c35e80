"""What runs next, and what is true of what ran. Between the strategy, which decides, the store, which remembers, and
Optuna's study, which shows; knows nothing of Ray, so that a simulation conducts like a driver."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sweeps.search.earlier import EARLIER, Earlier
from sweeps.search.history import Goal, Resume, Start, Strategy, TrialHistory, recall
from sweeps.search.packing import NEWEST, Packing
from sweeps.search.refusal import Refusal, refusal_of
from sweeps.search.repeats import Repeats
from sweeps.search.rungs import hopeless
from sweeps.search.standings import Standings
from sweeps.search.stopping import Spent, Stop, StopRules
from sweeps.search.study import Study
from sweeps.search.trial import TrialJob
from sweeps.spec.memory import PEAK_MEMORY
from sweeps.spec.sweep import Plan, Sampler
from sweeps.store.driving import DrivenSweep
from sweeps.store.records import Failed, RungRecord, TrialRecord

log = logging.getLogger("sweeps.driver")

_TRIES = 64
"""Proposals for one trial before it fails: where a space is nearly all forbidden, no sampler finds the rest."""
_RANDOM_AFTER = 16


class Conductor:
    """Hands out jobs, and takes up how they ended.

    Args:
        held: the sweep, under this driver's lease.
        study: Optuna's study of it, reconciled.
        plan: what its trials have in common.
        strategy: decides.
        repeats: trains the best again once the search is over.
        sampler: Optuna's, for the trials whose values the strategy leaves open.
        earlier: what earlier sweeps tell.
        device: what trials run on, "cuda" or "cpu", for the prediction of their memory.
        rules: end the sweep before all trials have been started.
        spent: what it has cost so far.
        is_stopping: whether it is being cancelled or interrupted.
        sweep_folder: the sweep's folder.
        on_end: called with each trial that ended, after the study was told.
    """

    def __init__(
        self,
        held: DrivenSweep,
        study: Study,
        plan: Plan,
        strategy: Strategy,
        *,
        repeats: Repeats | None = None,
        sampler: Sampler,
        earlier: Earlier,
        device: str,
        rules: StopRules,
        spent: Callable[[], Spent],
        is_stopping: Callable[[], bool],
        sweep_folder: Path,
        on_end: Callable[[TrialRecord], None],
    ) -> None:
        self._held = held
        self._study = study
        self._plan = plan
        self._goal = Goal.of(plan)
        self._strategy = strategy
        self._repeats = repeats
        self._sampler = sampler
        self._device = device
        self._sweep_folder = sweep_folder
        self._rules = rules
        self._spent = spent
        self._is_stopping = is_stopping
        self._on_end = on_end
        rungs: dict[int, list[RungRecord]] = defaultdict(list)
        for rung in held.rungs():
            rungs[rung.trial].append(rung)
        self.history = [recall(trial, rungs[trial.number]) for trial in held.trials()]
        self._standings = Standings(self._goal)
        self._queued = [trial.number for trial in self.history if trial.state == "queued"]
        self._first = [*plan.first, *earlier.points]
        self._known = list(earlier.results)  # what the sampler learns from beside the history
        self.running: set[int] = set()
        self._idle = False
        self._packing: Packing | None = None
        self._waiting: int | None = None  # the trial that has no room on the GPUs yet
        self.stop: Stop | None = None
        """The rule that ended the sweep, or its search. Those that run are finished; a rule that has fired stays."""

    def share_gpus(self, packing: Packing) -> None:
        """Let trials share GPUs, as far as their memory allows. It learns from what was measured before."""
        self._packing = packing
        for trial in [trial for trial in self._held.trials() if trial.device == "cuda"][-NEWEST:]:
            self._learn_memory(trial)

    def next_job(self) -> TrialJob | None:
        """What a free worker does now; None: nothing, until one that runs has ended, or never where none runs."""
        while not self._idle and self._may_start():
            if self._queued:
                trial = self._held.trial(self._queued.pop(0))
                refusal = self._refusal(trial.configuration)
            else:
                decision = self._next()
                if decision is None or (isinstance(decision, Resume) and not self._has_room(decision.number)):
                    self._idle = bool(self.running)  # asked again before one of them has ended, it would say the same
                    return None
                if isinstance(decision, Start):
                    trial, refusal = self._new_trial(decision)
                else:
                    trial, refusal = self._promote(decision), None
            if refusal is None and not self._has_room(trial.number):
                self._queued.insert(0, trial.number)  # others would take its room again and again
                self._idle = True
                return None
            if refusal is None:
                return self._launch(trial)
            trial = self._held.fail_queued_trial(trial.number, Failed(refusal.reason, refusal.message))
            self._recall(trial, [])
            self._note_end(trial, [])
        return None

    def ended(self, number: int, message: str, failure: Failed | None) -> None:
        """A worker is done with its job, or gone.

        Args:
            number: the trial.
            message: what is known of the worker's end, where it has stored none itself.
            failure: what the trial fails of; None: the worker was lost, and the trial is tried again. Out of memory
                on a GPU that others may have shared is not held against it: it is tried again, alone.
        """
        self.running.discard(number)
        self._idle = False
        if self._packing is not None and self._packing.end(number) and failure is not None and failure.reason == "oom":
            self._packing.keep_alone(number)
            message, failure = f"{failure.message}; others may have shared its GPU: next it runs alone", None
        trial = self._held.close_attempt(number, message=message, failure=failure)
        rungs = self._held.rungs(number)
        self._recall(trial, rungs)
        self._learn_memory(trial)
        if trial.state == "queued":
            log.warning("trial %d: lost (%s); it is queued again", number, message)
            self._queued.append(number)
        elif trial.state == "paused":
            self._note_pause(trial)
        else:
            self._note_end(trial, rungs)

    # Memory of shared GPUs

    def _has_room(self, number: int) -> bool:
        """Whether a trial fits beside those that run; it always does where none runs."""
        if self._packing is None or self._packing.has_room(number, *self._memory_of(number)):
            self._waiting = None
            return True
        if number != self._waiting:
            log.info("trial %d: waits until there is room on the GPUs", number)
            self._waiting = number
        return False

    def _memory_of(self, number: int) -> tuple[dict[str, Any], float]:
        """A trial's configuration, and the most that it took up to its last rung, GB."""
        known = self.history[number]
        return self._plan.configuration(known.parameters, number), most_memory_gb(known)

    def _learn_memory(self, trial: TrialRecord) -> None:
        if self._packing is not None and trial.device == "cuda":
            configuration, measured_gb = self._memory_of(trial.number)
            if measured_gb:
                self._packing.learn(configuration, measured_gb)

    def _may_start(self) -> bool:
        if self.stop is None or self.stop.of_search:
            stop = self._rules.check(self.history, self._goal, self._spent())
            if stop is not None and (self.stop is None or not stop.of_search):
                self.stop = stop
                log.info("no more is started%s: %s", ", but repeats" if self._may_repeat() else "", stop.sentence)
        return (self.stop is None or self._may_repeat()) and not self._is_stopping()

    def _may_repeat(self) -> bool:
        return self._repeats is not None and (self.stop is None or self.stop.of_search)

    def _next(self) -> Start | Resume | None:
        decision = self._strategy.next(self.history) if self.stop is None else None
        if decision is None and self._repeats is not None:
            decision = self._repeats.next(self.history)
        return decision

    def is_next_due(self) -> bool:
        """Whether something is to be started now."""
        return self._may_start() and (bool(self._queued) or self._next() is not None)

    def is_work_left(self) -> bool:
        """Whether something would be started, had no rule ended the sweep."""
        return bool(self._queued) or any(
            one is not None and one.next(self.history) is not None for one in (self._strategy, self._repeats)
        )

    def stop_waiting(self) -> None:
        """End every trial that still waits at a rung: the sweep is over, and its end cancels what was to be started."""
        self._standings.see(self.history)
        for step in self._goal.rungs[:-1]:
            for number in self._standings.in_line(step):
                self._stop(number, f"{self._standings.rank(number, step)} when the sweep ended")

    # New trials

    def _new_trial(self, start: Start) -> tuple[TrialRecord, Refusal | None]:
        number = len(self.history)
        first = None if start.to_end else self._next_first()
        given = start.parameters if first is None else first
        row, sampled, refusal = self._first_allowed(number) if given is None else self._as_given(number, given)
        configuration = self._plan.configuration(sampled, number)
        total_steps = int(configuration["max_num_iterations"])  # an ablation's arm may have its own
        record = self._held.add_trial(
            number,
            parameters=sampled,
            configuration=configuration,
            optuna_trial=row,
            total_steps=total_steps,
            target_step=total_steps if start.to_end else self._goal.rungs[0],
        )
        self.history.append(recall(record, []))
        if refusal is not None:
            log.warning("trial %d: %s", number, refusal.message)
        elif start.to_end:
            log.info("trial %d: %s", number, start.reason)
        return record, refusal

    def _next_first(self) -> Mapping[str, Any] | None:
        """A point to be tried first that no trial has: each is tried once, whatever was restarted."""
        while self._first:
            point = self._first.pop(0)
            if all(point != trial.parameters for trial in self.history):
                return point
        return None

    def _as_given(self, number: int, given: Mapping[str, Any]) -> tuple[int, dict[str, Any], Refusal | None]:
        row, sampled = self._study.put(number, given)
        return row, sampled, self._refusal(self._plan.configuration(sampled, number))

    def _first_allowed(self, number: int) -> tuple[int, dict[str, Any], Refusal | None]:
        """The sampler's first proposal that may start. It learns from those that may not."""
        for attempt in range(_TRIES):
            sampler: Sampler = self._sampler if attempt < _RANDOM_AFTER else "random"
            row, sampled = self._study.ask(number, sampler, [*self._known, *self.history], attempt=attempt)
            refusal = self._refusal(self._plan.configuration(sampled, number))
            if refusal is None or attempt == _TRIES - 1:
                break
            self._study.turn_down(row, refusal.message, out_of_memory=refusal.reason == "oom")
            self._known.append(TrialHistory(EARLIER, sampled, "failed", failure_reason=refusal.reason))
        return row, sampled, refusal

    def _refusal(self, configuration: Mapping[str, Any]) -> Refusal | None:
        return refusal_of(self._plan, configuration, device=self._device)

    # Rungs

    def _promote(self, resume: Resume) -> TrialRecord:
        step = self.history[resume.number].step
        target = next(rung for rung in self._goal.rungs if rung > step)
        trial = self._held.promote(resume.number, target_step=target, reason=resume.reason)
        log.info("trial %d: goes on to step %d (%s)", resume.number, target, resume.reason)
        return trial

    def _note_pause(self, trial: TrialRecord) -> None:
        values = self._values(self.history[trial.number].rungs[-1].metrics)
        self._standings.see(self.history)
        rank = self._standings.rank(trial.number, trial.target_step)
        log.info("trial %d: waits at step %d with %s (%s)", trial.number, trial.target_step, values, rank)
        self._held.explain(trial.number, reason=str(rank))
        for number, reason in hopeless(self._standings, self._goal).items():
            self._stop(number, reason)

    def _stop(self, number: int, reason: str) -> None:
        trial = self._held.stop(number, reason=reason)
        rungs = self._held.rungs(number)
        self._recall(trial, rungs)
        log.info("trial %d: stopped at step %d (%s)", number, trial.step, reason)
        self._note_end(trial, rungs)

    # Jobs

    def _launch(self, trial: TrialRecord) -> TrialJob:
        number = trial.number
        attempt = self._held.start_attempt(number)
        self.running.add(number)
        known = self.history[number]
        if self._packing is not None:
            self._packing.start(number, *self._memory_of(number))
        self.history[number] = replace(known, state="running", running_to=trial.target_step)
        measured = known.rungs
        if not measured:
            chosen = ", ".join(f"{name}={_short(value)}" for name, value in trial.parameters.items())
            chosen = chosen or "the base's values"
            log.info("trial %d, attempt %d: started with %s", number, attempt.number, chosen)
        spec, scene = self._plan.spec, self._plan.scene
        return TrialJob(
            sweep_id=self._held.sweep_id,
            number=number,
            token=attempt.token,
            configuration=trial.configuration,
            scene=scene.location if scene.location.startswith("embedded:") else str(scene.folder),
            objectives=tuple(objective.name for objective in self._plan.objectives),
            steps=trial.target_step,
            threads=spec.resources.cpus_per_trial,
            sweep_folder=self._sweep_folder,
            trial_hours=spec.budget.trial_hours,
            hours_before=measured[-1].seconds / 3600 if measured else 0.0,
            peak_memory_gb_before=most_memory_gb(known),
            shares_gpu=self._packing is not None,
        )

    def _note_end(self, trial: TrialRecord, rungs: Sequence[RungRecord]) -> None:
        if trial.state == "completed":
            log.info(
                "trial %d: completed with %s in %.1f s", trial.number, self._values(trial.metrics), trial.seconds or 0.0
            )
        elif trial.state == "failed":
            log.warning("trial %d: failed (%s: %s)", trial.number, trial.failure_reason, trial.failure_message)
        self._study.tell(trial, rungs, self._sweep_folder)
        self._on_end(trial)

    def _values(self, metrics: Mapping[str, float]) -> str:
        return ", ".join(f"{objective.name} {metrics[objective.name]:.4g}" for objective in self._plan.objectives)

    def _recall(self, trial: TrialRecord, rungs: Sequence[RungRecord]) -> None:
        self.history[trial.number] = recall(trial, rungs)


def most_memory_gb(trial: TrialHistory) -> float:
    """The most that a trial was measured to take at its rungs, GB; 0 where nothing was."""
    return max((rung.metrics.get(PEAK_MEMORY, 0.0) for rung in trial.rungs), default=0.0)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
