"""Our Searcher: what Ray Tune runs next. A trial's row is written before its launch; its end is read from the store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray import cloudpickle
from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from sweeps.search.study import Study
from sweeps.search.trial import TrialJob
from sweeps.spec.check import launch_error
from sweeps.spec.sweep import Plan
from sweeps.store.driving import DrivenSweep
from sweeps.store.records import Failed, TrialRecord

log = logging.getLogger("sweeps.driver")


class _NotSaved:
    """Ray Tune copies what it is given, and saves it beside its results, database password and all. Ours is neither
    copied nor saved: every start is a fresh one over our tables."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _NotSaved:
        return self

    def __reduce__(self) -> Any:
        return object, ()


class SweepSearcher(_NotSaved, Searcher):
    """Hands out trials that are queued and then new ones, never more at once than fit.

    Args:
        held: the sweep, under this driver's lease.
        study: Optuna's study of it, reconciled.
        plan: what its trials have in common.
        concurrent: trials that may run at once. Ray Tune would ask ahead, and a sampler asked early knows less.
        sweep_folder: the sweep's folder.
        trainer: name of the trainer, for the workers.
        may_start: whether new trials may still be started (budget, cancellation).
        on_end: called with each trial that ended, after the study was told.
        on_cancelled: called when a worker was told of a cancellation; it may know before we do.
    """

    def __init__(
        self,
        held: DrivenSweep,
        study: Study,
        plan: Plan,
        *,
        concurrent: int,
        sweep_folder: Path,
        trainer: str,
        may_start: Callable[[], bool],
        on_end: Callable[[TrialRecord], None],
        on_cancelled: Callable[[], None],
    ) -> None:
        super().__init__()
        self._held = held
        self._study = study
        self._plan = plan
        self._concurrent = concurrent
        self._sweep_folder = sweep_folder
        self._trainer = trainer
        self._may_start = may_start
        self._on_end = on_end
        self._on_cancelled = on_cancelled
        trials = held.trials()
        self._count = len(trials)
        self._queued = [trial.number for trial in trials if trial.state == "queued"]
        self._running: dict[str, int] = {}  # Ray Tune's id -> our number

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job; None: not now; FINISHED: never again."""
        while self._may_start() and len(self._running) < self._concurrent:
            if self._queued:
                number = self._queued.pop(0)
            elif self._count < self._plan.spec.budget.trials:
                number = self._new_trial()
            else:
                break
            if self._is_launchable(number):
                return self._launch(trial_id, number)
        # A running trial may be lost and come back: only an empty house is finished.
        return None if self._running else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A worker is done with its job, or its actor failed: then `on_actor_error` knows more."""
        if result is not None and result.get("outcome") == "cancelled":
            self.stopping = True
            self._on_cancelled()
        if not error:
            self._ended(trial_id, "its worker ended without a result", None)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: workers report to the store."""

    def on_actor_error(self, trial_id: str, error: BaseException | None) -> None:
        """A worker's process is gone, or it asked for a new one after a crash."""
        name = type(error).__name__ if error is not None else "unknown error"
        first_line = str(error).strip().splitlines()[0] if error is not None and str(error).strip() else ""
        message = f"{name}: {first_line}"[:500]
        failure = None
        if name == "OutOfMemoryError":  # Ray's memory monitor: another try would end the same way
            failure = Failed("oom", "the machine ran out of memory and Ray ended the worker", str(error))
        self._ended(trial_id, message, failure)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store has it all, and Ray Tune's file would hold the database's password."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: every start is a fresh one over our tables."""

    def _new_trial(self) -> int:
        number = self._count
        optuna_trial, sampled = self._study.ask(number)
        configuration = self._plan.configuration(sampled, number)
        self._held.add_trial(
            number,
            parameters=sampled,
            configuration=configuration,
            optuna_trial=optuna_trial,
            total_steps=configuration["max_num_iterations"],  # an ablation's arm may have its own
        )
        self._count += 1
        return number

    def _is_launchable(self, number: int) -> bool:
        """Whether no rule refuses a trial's values; one that is refused has failed as invalid."""
        error = launch_error(self._held.trial(number).configuration, self._plan.spec.allow)
        if error is None:
            return True
        trial = self._held.fail_queued_trial(number, Failed("invalid", f"{error.rule}: {error}"))
        self._note_end(trial)
        return False

    def _launch(self, trial_id: str, number: int) -> dict[str, Any]:
        trial = self._held.trial(number)
        attempt = self._held.start_attempt(number)
        self._running[trial_id] = number
        spec, scene = self._plan.spec, self._plan.scene
        job = TrialJob(
            sweep_id=self._held.sweep_id,
            number=number,
            token=attempt.token,
            configuration=trial.configuration,
            scene=scene.location if scene.location.startswith("embedded:") else str(scene.folder),
            objectives=tuple(objective.name for objective in self._plan.objectives),
            steps=int(trial.configuration["max_num_iterations"]),
            threads=spec.resources.cpus_per_trial,
            sweep_folder=self._sweep_folder,
            trial_hours=spec.budget.trial_hours,
        )
        chosen = ", ".join(f"{name}={_short(value)}" for name, value in trial.parameters.items())
        log.info("trial %d, attempt %d: started with %s", number, attempt.number, chosen or "the base's values")
        return {"job": job, "trainer": self._trainer}

    def _ended(self, trial_id: str, message: str, failure: Failed | None) -> None:
        number = self._running.pop(trial_id, None)
        if number is None or not self._may_finish():
            return
        trial = self._held.close_attempt(number, message=message, failure=failure)
        if trial.state == "queued":
            log.warning("trial %d: lost (%s); it is queued again", number, message)
            self._queued.append(number)
        else:
            self._note_end(trial)

    def _may_finish(self) -> bool:
        """A sweep that is being stopped closes its attempts all together."""
        return not self.stopping

    stopping = False
    """Set once the sweep is being stopped: ends are then the stopping's, not the worker's loss."""

    def _note_end(self, trial: TrialRecord) -> None:
        if trial.state == "completed":
            values = ", ".join(
                f"{objective.name} {trial.metrics[objective.name]:.4g}" for objective in self._plan.objectives
            )
            log.info("trial %d: completed with %s in %.1f s", trial.number, values, trial.seconds or 0.0)
        else:
            log.warning("trial %d: %s (%s: %s)", trial.number, trial.state, trial.failure_reason, trial.failure_message)
        self._study.tell(trial, self._sweep_folder)
        self._on_end(trial)


class ActorErrors(_NotSaved, Callback):
    """Hands the exception that ended an actor to the searcher; Ray Tune tells searchers only that there was one."""

    def __init__(self, searcher: SweepSearcher) -> None:
        self._searcher = searcher

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Called after the searcher's on_trial_complete."""
        error: BaseException | None = None
        path = trial.pickled_error_file
        if path is not None and Path(path).is_file():
            try:
                error = cloudpickle.loads(Path(path).read_bytes())
            except Exception:  # an exception's class may not exist here; that there was one is enough
                log.debug("the error of Ray Tune's trial %s can't be read", trial.trial_id, exc_info=True)
        self._searcher.on_actor_error(trial.trial_id, error)


class StopWhen(_NotSaved, Stopper):
    """Stops everything once a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Never one trial alone."""
        return False

    def stop_all(self) -> bool:
        """Whether to stop now."""
        return self._condition()


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
