"""Our Searcher: how Ray Tune asks the conductor what runs next, and tells it how that ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import cloudpickle
from ray.tune import Callback, Stopper
from ray.tune.search import Searcher

from sweeps.search.conductor import Conductor
from sweeps.search.worker import OUT_OF_MEMORY
from sweeps.store.records import Failed

T = TypeVar("T")

log = logging.getLogger("sweeps.driver")


class _NotSaved:
    """Ray Tune copies what it is given, and saves it beside its results, database password and all. Ours is neither
    copied nor saved: every start is a fresh one over our tables."""

    def __deepcopy__(self, memo: dict[int, Any]) -> _NotSaved:
        return self

    def __reduce__(self) -> Any:
        return object, ()


class SweepSearcher(_NotSaved, Searcher):
    """Ray Tune's view of the conductor: jobs by Ray Tune's ids, never more at once than fit.

    Args:
        conductor: decides and remembers.
        concurrent: jobs at once. Ray Tune would ask ahead, and a sampler asked early knows less.
        trainer: name of the trainer, for the workers.
        on_cancelled: called when a worker was told of a cancellation; it may know before we do.
    """

    stopping = False
    """Set once the sweep is being stopped: it closes its attempts all together, and no end is a worker's loss."""

    error: Exception | None = None
    """What went wrong on our side and stopped it. Ray Tune would take it for the trial's failure, or keep its text."""

    def __init__(
        self, conductor: Conductor, *, concurrent: int, trainer: str, on_cancelled: Callable[[], None]
    ) -> None:
        super().__init__()
        self._conductor = conductor
        self._concurrent = concurrent
        self._trainer = trainer
        self._on_cancelled = on_cancelled
        self._running: dict[str, int] = {}  # Ray Tune's id -> our number

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next job; None: not now; FINISHED: never again."""
        if len(self._running) < self._concurrent and not self.stopping:
            job = self._ours(self._conductor.next_job)
            if job is not None:
                self._running[trial_id] = job.number
                return {"job": job, "trainer": self._trainer}
        # A running trial may be lost and come back: only an empty house is finished.
        return None if self._running else Searcher.FINISHED

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A worker is done with its job, or its actor failed: then `on_actor_error` knows more."""
        if result is not None and result.get("outcome") == "cancelled":
            self.stopping = True
            self._on_cancelled()
        if result is not None and result.get("outcome") == OUT_OF_MEMORY:
            self._ended(trial_id, result["message"], Failed("oom", result["message"], result["detail"]))
        elif not error:
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

    def held(self, numbers: Collection[int]) -> list[str]:
        """Ray Tune's ids of those of our trials that it has not ended."""
        return [trial_id for trial_id, number in self._running.items() if number in numbers]

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store has it all, and Ray Tune's file would hold the database's password."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: every start is a fresh one over our tables."""

    def _ended(self, trial_id: str, message: str, failure: Failed | None) -> None:
        number = self._running.pop(trial_id, None)
        if number is not None and not self.stopping:
            self._ours(lambda: self._conductor.ended(number, message, failure))

    def _ours(self, call: Callable[[], T]) -> T | None:
        try:
            return call()
        except Exception as error:
            self.error, self.stopping = error, True
            return None


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


class EndOverdue(_NotSaved, Callback):
    """Lets Ray end the workers of trials that are overdue, on whatever machine they hang: for Ray Tune such a trial
    would never end, nor the sweep.

    Args:
        searcher: knows Ray Tune's ids.
        overdue: numbers of trials that have failed while Ray Tune may still hold them; it may grow.
    """

    def __init__(self, searcher: SweepSearcher, overdue: Collection[int]) -> None:
        self._searcher = searcher
        self._overdue = overdue
        self._ended: set[str] = set()

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Called several times a second, whether or not a trial reports."""
        held = set(self._searcher.held(self._overdue)) - self._ended if self._overdue else ()
        for trial in trials if held else ():
            if trial.trial_id in held and trial.temporary_state.ray_actor is not None:
                ray.kill(trial.temporary_state.ray_actor)
                self._ended.add(trial.trial_id)


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
