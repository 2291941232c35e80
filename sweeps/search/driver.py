"""The driver: one process runs one sweep. `python -m sweeps.search.driver SWEEP_ID`

Exit codes: 0 the sweep completed or was cancelled, 1 it failed, 2 it can't be driven, 3 interrupted (resume goes on),
4 interrupted because the store was away (`serve` resumes it).
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from f3rm_core import F3RMError, UsageError
from sweeps.driver_process import STORE_AWAY
from sweeps.errors import LeaseLost, StoreUnavailable
from sweeps.search.history import Goal
from sweeps.search.nothing_completed import why_nothing_completed
from sweeps.search.ray_environment import end_leftovers, is_gone, local_ray, set_environment
from sweeps.search.stopping import Spent, all_ended
from sweeps.search.trial import DEFAULT_TRAINER
from sweeps.settings import Settings
from sweeps.spec.sweep import Plan, SweepSpec, check_spec
from sweeps.store.database import Database
from sweeps.store.driving import LEASES_AWAY, DrivenSweep
from sweeps.store.patience import Patience
from sweeps.store.processes import kill_if_alive, this_process
from sweeps.store.records import TrialRecord

if TYPE_CHECKING:  # Optuna takes a second to import
    import psutil

    from sweeps.search.checkpoints import KeptCheckpoints
    from sweeps.search.cluster import Slots
    from sweeps.search.conductor import Conductor
    from sweeps.search.study import Study

log = logging.getLogger("sweeps.driver")

COMPLETED, FAILED, REFUSED, INTERRUPTED = 0, 1, 2, 3
PLOT_EVERY = 30.0
"""Seconds between refreshed plots in the dashboard, and at least twenty times what one takes: it shows all trials."""

_GPU_SECONDS_EVERY = 10.0
"""Seconds between counts of the GPU time spent, a sum over all attempts."""


def run_sweep(sweep_id: str, settings: Settings, *, trainer: str = DEFAULT_TRAINER) -> int:
    """Drive a sweep to its end. Call it in the main thread of a process of its own.

    Args:
        sweep_id: a sweep that is queued or interrupted.
        settings: where things live.
        trainer: `module:class` of what trains a trial (sweeps.search.trial.Trainer).

    Returns:
        The exit code: COMPLETED, FAILED, INTERRUPTED or STORE_AWAY.

    Raises:
        UsageError: the sweep can't be driven: unknown, ended, held by another driver, or the store stayed away.
    """
    patience = Patience(LEASES_AWAY * settings.lease_seconds)
    database = patience(lambda: Database.open(settings.store_url))
    folder = settings.sweep_dir(sweep_id)
    held = patience(
        lambda: DrivenSweep.acquire(
            database,
            sweep_id,
            this_process(),
            lease_seconds=settings.lease_seconds,
            max_attempts=settings.max_attempts,
        )
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _Drive(held, settings, folder, trainer).run()
    finally:
        database.close()


class _Drive:
    """One driver's hold of one sweep, from the lease to its return."""

    def __init__(self, held: DrivenSweep, settings: Settings, folder: Path, trainer: str) -> None:
        self.held = held
        self.settings = settings
        self.folder = folder
        self.trainer = trainer
        self.cancelled = False
        self.interrupted = False
        self.away = False
        self.conductor: Conductor | None = None
        self.checkpoints: KeptCheckpoints | None = None
        self._ray: list[psutil.Process] = []
        self.overdue: set[int] = set()
        self.gpus_per_trial = 0.0
        self._gpu_seconds, self._gpu_seconds_at = 0.0, -_GPU_SECONDS_EVERY
        self._plot_at = time.monotonic() + PLOT_EVERY
        sweep = held.sweep()
        self._trial_hours: float | None = sweep.spec["budget"]["trial_hours"]
        self._driven_before = sweep.driver_seconds
        self._start = time.monotonic()
        self._over = threading.Event()

    def run(self) -> int:
        heartbeat = threading.Thread(target=self._beat, name="lease", daemon=True)
        heartbeat.start()
        try:
            self._clean_up_after_the_dead()
            self._listen_to_signals()
            self._drive()
            return self._end()
        except LeaseLost as error:
            log.error("%s", error)
            return INTERRUPTED
        except StoreUnavailable as error:
            return self._give_up(error)
        except Exception as error:
            if not isinstance(error, F3RMError):
                log.exception("the sweep failed")
            return self._fail(error)
        finally:
            self._over.set()
            heartbeat.join(timeout=5)

    # The lease

    def _beat(self) -> None:
        """Renew the lease until the drive is over; end it where another driver has the sweep, or may have it by now."""
        last = time.monotonic()
        while not self._over.wait(self.settings.lease_seconds / 4):
            try:
                self.cancelled = self.held.renew() or self.cancelled
                last = time.monotonic()
                self._end_overdue()
            except LeaseLost as error:
                log.error("%s", error)
                os._exit(INTERRUPTED)  # at once, Ray's processes with it: the sweep is another's now
            except StoreUnavailable as error:
                log.warning("%s", error)
                silent = time.monotonic() - last
                self.away = self.away or silent > self.held.patience.seconds
                if silent > 2 * self.held.patience.seconds:  # whatever the main thread does
                    os._exit(STORE_AWAY)
            self._look_after_ray()

    def _end_overdue(self) -> None:
        """End workers that hang, at once on this machine; Ray Tune, which then tells that they are gone, on others."""
        for attempt in self.held.fail_overdue(self._trial_hours) if self._trial_hours else ():
            log.error("trial %d: %s", attempt.trial, attempt.message)
            kill_if_alive(attempt.process)
            self.overdue.add(attempt.trial)

    def _look_after_ray(self) -> None:
        """End the process where Ray's are gone: Ray Tune would wait for them for ever. The lease is not given back, as
        if the driver had been killed: `serve` then takes the sweep up."""
        if any(is_gone(process) for process in self._ray):
            log.error("Ray was killed; `f3rm-sweeps resume %s` goes on", self.held.sweep_id)
            os._exit(INTERRUPTED)

    def _listen_to_signals(self) -> None:
        signal.signal(signal.SIGTERM, self._on_signal)
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_cancelled(self) -> None:
        self.cancelled = True

    def _on_signal(self, number: int, _frame: Any) -> None:
        log.warning("stopped by %s; `f3rm-sweeps resume %s` goes on", signal.Signals(number).name, self.held.sweep_id)
        self.interrupted = True

    def _clean_up_after_the_dead(self) -> None:
        """End workers that an earlier driver left. Their tokens are void; this saves their CPU time."""
        for attempt in self.held.orphans:
            log.warning("trial %d: attempt %d was lost with its driver", attempt.trial, attempt.number)
            kill_if_alive(attempt.process)
        end_leftovers(self.held.sweep_id)
        shutil.rmtree(self.folder / "tune", ignore_errors=True)

    # The sweep

    def _stopping(self) -> bool:
        return self.cancelled or self.interrupted or self.away

    def _spent(self) -> Spent:
        now = time.monotonic()
        if self.gpus_per_trial and now - self._gpu_seconds_at >= _GPU_SECONDS_EVERY:
            self._gpu_seconds, self._gpu_seconds_at = self.gpus_per_trial * self.held.attempt_seconds(), now
        return Spent(self._driven_before + now - self._start, self._gpu_seconds)

    def _drive(self) -> None:
        sweep = self.held.sweep()
        spec = SweepSpec.model_validate(sweep.spec)
        plan = check_spec(spec, scene_root=self.settings.scene_root, resolved=sweep.resolved)
        log.info("sweep %s (%s): %d trials on %s", sweep.id, sweep.name, spec.budget.trials, spec.scene)

        set_environment(self.settings, self.held.sweep_id)
        import optuna

        from sweeps.search.cluster import ray_cluster
        from sweeps.search.study import Study, open_storage, optuna_in_our_words

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        storage, patience = open_storage(self.settings.store_url), self.held.patience
        with optuna_in_our_words():
            study = Study(storage, sweep, plan, self.settings.artifacts_dir, patience=patience)
            new_rows = study.reconcile(self.held.trials(), self.held.rungs(), self.folder)
        for number, row in new_rows.items():
            self.held.set_optuna_trial(number, row)
        if self._stopping():
            return
        with ray_cluster(self.settings, plan, sweep_folder=self.folder) as slots:
            self._ray = [] if self.settings.ray_address else local_ray()
            try:
                self.conductor = conductor = self._conductor(study, plan, slots.device)
                if conductor.is_work_left():
                    self._run_trials(conductor, slots, plan)
            finally:
                self._ray = []  # before Ray ends them
        self._plot(study, plan)

    def _run_trials(self, conductor: Conductor, slots: Slots, plan: Plan) -> None:
        from sweeps.search.packing import Packing, need_of
        from sweeps.search.preparing import Preparation, first_job

        self._listen_to_signals()  # Ray has put its own in their place, which abort the process
        preparation = Preparation(
            first_job(plan, self.held.sweep_id, self.folder), self.trainer, cpus=slots.cpus, gpus=slots.gpus
        )
        from sweeps.search.tuning import tune  # imports Ray Tune: a second, while the worker prepares

        preparation.wait(self._stopping)
        if self._stopping():
            return
        self.gpus_per_trial = slots.gpus
        if slots.sharing is not None:
            conductor.share_gpus(Packing(slots.sharing, lambda configuration: need_of(configuration, plan.scene)))
        log.info("%d at once, %d CPUs and %g GPUs each", slots.concurrent, slots.cpus, slots.gpus)
        tune(
            conductor,
            slots,
            name=f"{self.held.sweep_id}_{self.held.holder[:8]}",
            sweep_folder=self.folder,
            trainer=self.trainer,
            is_stopping=self._stopping,
            on_cancelled=self._on_cancelled,
            overdue=self.overdue,
        )

    def _conductor(self, study: Study, plan: Plan, device: str) -> Conductor:
        from sweeps.search.checkpoints import KeptCheckpoints
        from sweeps.search.conductor import Conductor
        from sweeps.search.earlier import earlier_trials
        from sweeps.search.strategies import repeats_of, sampler_of, stop_rules_of, strategy_of

        goal = Goal.of(plan)
        sampler = sampler_of(plan, goal)
        self.checkpoints = checkpoints = KeptCheckpoints(
            self.held, plan, lambda number: self.settings.trial_dir(self.held.sweep_id, number)
        )
        earlier = earlier_trials(self.held.database, plan, device=device)
        return Conductor(
            self.held,
            study,
            plan,
            strategy_of(plan, goal, sampler, earlier.results, device=device),
            repeats=repeats_of(plan, goal),
            sampler=sampler,
            earlier=earlier,
            device=device,
            rules=stop_rules_of(plan),
            spent=self._spent,
            is_stopping=self._stopping,
            sweep_folder=self.folder,
            on_end=lambda trial: self._after_trial(trial, checkpoints, study, plan),
        )

    def _after_trial(self, trial: TrialRecord, checkpoints: KeptCheckpoints, study: Study, plan: Plan) -> None:
        checkpoints.note_end(trial)
        if (start := time.monotonic()) >= self._plot_at:
            self._plot(study, plan)
            end = time.monotonic()
            self._plot_at = end + max(PLOT_EVERY, 20 * (end - start))

    def _plot(self, study: Study, plan: Plan) -> None:
        from sweeps.analysis.interactive import front_figure

        completed = {trial.number: trial.metrics for trial in self.held.trials() if trial.state == "completed"}
        goal = Goal.of(plan)
        results = {number: metrics for number, metrics in completed.items() if goal.is_feasible(metrics)}
        if len(plan.objectives) < 2 or not results:
            return
        try:
            study.save_plot(front_figure(plan.spec.name, plan.objectives, results), "front")
        except Exception:  # a plot is not worth a sweep
            log.warning("the front can't be shown in the dashboard", exc_info=True)

    # Its end

    def _end(self) -> int:
        if self.away:
            raise StoreUnavailable("the database was away for longer than the lease lasts")
        if self.cancelled:
            self.held.finish("cancelled", stop_reason="cancelled by request")
            log.info("cancelled")
            return COMPLETED
        if self.interrupted:
            self.held.interrupt("its driver was stopped")
            return INTERRUPTED
        trials = self.held.trials()
        states = Counter(trial.state for trial in trials)
        reason = all_ended(len(trials), self.held.sweep().spec["budget"]["trials"])
        if self.conductor is not None:
            if self.conductor.is_next_due():
                return self._fail(F3RMError("Ray Tune ended before the trials did; `f3rm-sweeps resume` goes on"))
            if (stop := self.conductor.stop) is not None and (stop.of_search or self.conductor.is_work_left()):
                reason = stop.sentence
        if not states["completed"]:
            constraints = self.held.sweep().spec["constraints"]
            return self._fail(F3RMError(why_nothing_completed(trials, self.held.rungs(), constraints)), reason)
        if self.conductor is not None:
            self.conductor.stop_waiting()
        if self.checkpoints is not None:
            self.checkpoints.close()
        failed = f", {states['failed']} failed" if states["failed"] else ""
        self.held.finish("completed", stop_reason=reason)
        log.info("completed: %s; %d completed%s", reason, states["completed"], failed)
        return COMPLETED

    def _give_up(self, error: StoreUnavailable) -> int:
        """The store was away for so long that another driver may have the sweep. Our workers are gone with Ray; where
        the store is back their tokens are closed, and where it is not the next driver does it."""
        log.error("%s; `f3rm-sweeps resume %s` goes on", error, self.held.sweep_id)
        with suppress(F3RMError):
            self.held.interrupt("the database was away")
        return STORE_AWAY

    def _fail(self, error: Exception, reason: str = "it could not go on") -> int:
        line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if not isinstance(error, F3RMError):
            line = f"{type(error).__name__}: {line}"
        log.error("%s", line)
        try:
            self.held.finish("failed", stop_reason=reason, error=line)
        except F3RMError as second:
            log.error("%s", second)
        return FAILED


def configure_logging(folder: Path) -> None:
    """Log lines of the driver to driver.log in the sweep's folder, and to stderr where that is a terminal."""
    folder.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [logging.FileHandler(folder / "driver.log", encoding="utf-8")]
    if sys.stderr.isatty():
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False


def main(arguments: list[str]) -> int:
    """The command line: one sweep's id."""
    if len(arguments) != 1:
        print("usage: python -m sweeps.search.driver SWEEP_ID", file=sys.stderr)
        return REFUSED
    try:
        settings = Settings.from_environment()
        configure_logging(settings.sweep_dir(arguments[0]))
        return run_sweep(arguments[0], settings)
    except (UsageError, OSError) as error:
        log.error("%s", error)
        print(f"f3rm-sweeps driver: {error}", file=sys.stderr)
        return STORE_AWAY if isinstance(error, StoreUnavailable) else REFUSED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
