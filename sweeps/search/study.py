"""Optuna's study of a sweep: asked for configurations, told results, and shown by the dashboard.

Our tables decide. The study is brought in step with them at every start (`reconcile`), and what it lacks is added.
"""

from __future__ import annotations

import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import optuna
from optuna.artifacts import FileSystemArtifactStore, get_all_artifact_meta, upload_artifact
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import event
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from sweeps.errors import StoreUnavailable
from sweeps.search.history import Goal, TrialHistory
from sweeps.search.learning import constraint_values, is_learned_from, study_for
from sweeps.search.sampler import chosen, distributions, labels, make_sampler, suggest
from sweeps.search.study_rows import End, end_row, enter_row, put_plot
from sweeps.spec.space import is_active, ordered
from sweeps.spec.sweep import Plan, Sampler
from sweeps.store.database import BUSY_SECONDS, store_url
from sweeps.store.patience import Patience
from sweeps.store.records import RungRecord, SweepRecord, TrialRecord
from sweeps.store.studies import study_name

NUMBER = "f3rm_trial"
"""User attribute of a study's trial: the number in our tables. Optuna's own differs where one was tried again."""

_OPENING_TRIES = 6

T = TypeVar("T")


def open_storage(url: str) -> RDBStorage:
    """Optuna's storage in our database; its tables are created where they are missing.

    Raises:
        StoreUnavailable: the database can't be reached or written.
    """
    parsed = store_url(url)
    waits = {"timeout": BUSY_SECONDS} if parsed.get_backend_name() == "sqlite" else {}
    name = parsed.render_as_string(hide_password=False)
    for attempt in range(_OPENING_TRIES):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ExperimentalWarning)
                storage = RDBStorage(name, engine_kwargs={"connect_args": waits, "pool_pre_ping": True})
            if waits:  # as our own tables: with write-ahead logging, a commit need not wait for the disk to be safe
                event.listen(storage.engine, "connect", _do_not_wait_for_the_disk)
                storage.engine.dispose()
            return storage
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
            # Optuna creates its tables without a lock: of two processes that start at once one finds them half made.
            if attempt == _OPENING_TRIES - 1:
                raise StoreUnavailable(f"Optuna's tables can't be opened: {str(error).splitlines()[0]}") from error
            time.sleep(0.2 * (attempt + 1))
    raise AssertionError("unreachable")


@contextmanager
def optuna_in_our_words() -> Iterator[None]:
    """Raise StoreUnavailable where Optuna can't reach its tables."""
    try:
        yield
    except (OperationalError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        raise StoreUnavailable(f"Optuna's tables can't be reached: {str(cause).splitlines()[0]}") from error


def _do_not_wait_for_the_disk(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA synchronous = NORMAL")


class Study:
    """The sweep's study, kept in step with our tables.

    Args:
        storage: Optuna's storage.
        sweep: the sweep.
        plan: its objectives, space and sampler.
        artifacts_dir: where files lie that the dashboard shows.
        patience: with a storage that can't be reached.

    Raises:
        StoreUnavailable: from every call, where the storage stays away.
    """

    def __init__(
        self,
        storage: RDBStorage,
        sweep: SweepRecord,
        plan: Plan,
        artifacts_dir: Path,
        *,
        patience: Patience = Patience(0.0),
    ) -> None:
        artifacts_dir.mkdir(parents=True, exist_ok=True)
        self._patience = patience
        self._plan = plan
        self._goal = Goal.of(plan)
        self._ids: dict[int, int] = {}  # number of a row -> its id in the storage
        self._left_over: dict[int, FrozenTrial] = {}  # number of a trial to come -> its row, already there
        self._artifacts = FileSystemArtifactStore(str(artifacts_dir))
        self.storage = storage
        self.study = optuna.create_study(
            storage=storage,
            study_name=study_name(sweep),
            directions=[objective.direction for objective in plan.objectives],
            load_if_exists=True,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.study.set_metric_names([objective.name for objective in plan.objectives])
        self.study.set_user_attr("sweep", sweep.id)
        self.study.set_user_attr("scene", plan.spec.scene)

    def ask(
        self, number: int, sampler: Sampler, history: Sequence[TrialHistory], *, attempt: int = 0
    ) -> tuple[int, dict[str, Any]]:
        """Propose the configuration of a new trial.

        Args:
            number: the trial's number in our tables.
            sampler: which of Optuna's; not `auto`.
            history: every trial so far, and proposals that were turned down.
            attempt: how many were turned down for this trial.

        Returns:
            Number of the row in the study, and the values chosen.
        """
        if (left := self._left_over.pop(number, None)) is not None:
            return left.number, chosen(self._goal.space, left.params)
        made = make_sampler(sampler, self._goal, number, attempt=attempt, proposed=len(self._ids))
        trial = study_for(made, sampler, self._goal, history).ask()
        sampled = suggest(trial, self._goal.space, self._plan.fixed)
        return self._enter(number, sampled), sampled

    def put(self, number: int, given: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Enter a new trial whose values were not chosen by Optuna.

        Args:
            number: the trial's number in our tables.
            given: parameter -> value; those that the space does not vary, or not there, are left out.

        Returns:
            Number of the row in the study, and the values taken.
        """
        space, taken = self._goal.space, dict[str, Any]()
        for name in ordered(space):
            if name in given and is_active(space[name], {**self._plan.fixed, **taken}):
                taken[name] = given[name]
        if (left := self._left_over.pop(number, None)) is not None:
            if chosen(space, left.params) == taken:
                return left.number, taken
            self._end(left.number, End(TrialState.FAIL))
        return self._enter(number, taken), taken

    def turn_down(self, optuna_trial: int, reason: str, *, out_of_memory: bool) -> None:
        """End a proposal that does not become a trial: no worker would have been given it.

        Args:
            optuna_trial: its row.
            reason: why, one line.
            out_of_memory: whether it was predicted to take too much.
        """
        broken = _system_attrs(constraint_values(self._goal, {}, out_of_memory=out_of_memory))
        self._end(optuna_trial, End(TrialState.PRUNED, None, {"turned_down": reason}, broken))

    def tell(self, trial: TrialRecord, rungs: Sequence[RungRecord], sweep_folder: Path) -> None:
        """Tell the study how a trial of ours ended. Once told, nothing happens.

        Args:
            trial: a finished trial.
            rungs: what it measured, by step.
            sweep_folder: folder that its pictures' paths start from.
        """
        if trial.optuna_trial is None:
            raise ValueError(f"trial {trial.number} has no row in the study; reconcile first")
        # Samplers count a pruned trial as bad; a failed one they never see, and propose it again.
        state, values = TrialState.PRUNED, None
        if trial.state == "completed":
            values = [float(trial.metrics[objective.name]) for objective in self._plan.objectives]
            state = TrialState.COMPLETE
        elif trial.state == "failed" and not is_learned_from(trial.failure_reason):
            state = TrialState.FAIL
        measured = rungs[-1].metrics if rungs else trial.metrics
        out_of_memory = trial.failure_reason == "oom"
        constraints: dict[str, float] = {}
        if measured or out_of_memory:
            constraints = constraint_values(self._goal, measured, out_of_memory=out_of_memory)
        trial_id = self._ids[trial.optuna_trial]
        pictures = self._patiently(lambda: self._upload(trial_id, trial, sweep_folder))
        end = End(
            state,
            values,
            {**_attributes(trial), **_at_rungs(rungs)},
            _system_attrs(constraints),
            _note(trial, rungs, pictures),
        )
        self._end(trial.optuna_trial, end)

    def reconcile(
        self, trials: Sequence[TrialRecord], rungs: Sequence[RungRecord], sweep_folder: Path
    ) -> dict[int, int]:
        """Bring the study in step with our tables, after any crash of anything.

        A trial of ours that the study lacks is added; one that ended is told; a row of the study that ended while ours
        is to be tried again is replaced; rows left open that are not ours are failed, but for one proposal that the
        next `ask` takes up.

        Args:
            trials: all trials of the sweep.
            rungs: what they measured at rungs.
            sweep_folder: folder that pictures' paths start from.

        Returns:
            Trial number -> row in the study, for rows that are new; note them in our tables.
        """
        rows = {row.number: row for row in self.study.get_trials(deepcopy=False)}
        self._ids = {number: row._trial_id for number, row in rows.items()}
        measured: dict[int, list[RungRecord]] = defaultdict(list)
        for rung in rungs:
            measured[rung.trial].append(rung)
        changed: dict[int, int] = {}
        for trial in trials:
            row = rows.get(trial.optuna_trial) if trial.optuna_trial is not None else None
            is_ours = row is not None and row.user_attrs.get(NUMBER) == trial.number
            ended = trial.state in ("completed", "failed", "pruned")
            told = is_ours and row is not None and row.state.is_finished()
            optuna_trial = trial.optuna_trial
            if not is_ours or (told and not (ended and _agrees(row, trial))):
                optuna_trial = changed[trial.number] = self._enter(trial.number, trial.parameters)
                told = False
            if ended and not told:
                self.tell(replace(trial, optuna_trial=optuna_trial), measured[trial.number], sweep_folder)
        ours = {changed.get(trial.number, trial.optuna_trial) for trial in trials}
        strays = [row for row in rows.values() if row.number not in ours and not row.state.is_finished()]
        # Where a driver died between asking and writing its own row, its proposal is still the next one.
        self._left_over = {len(trials): row for row in strays if row.user_attrs.get(NUMBER) == len(trials)}
        for row in strays:
            if row is not self._left_over.get(len(trials)):
                self._end(row.number, End(TrialState.FAIL))
        return changed

    def save_plot(self, figure: Any, name: str) -> None:
        """Show a plotly figure in the dashboard, replacing the one of this name."""
        put_plot(self.storage, self.study._study_id, name, figure.to_json())

    def _enter(self, number: int, parameters: Mapping[str, Any]) -> int:
        row = create_trial(
            state=TrialState.RUNNING,
            params=labels(self._goal.space, parameters),
            distributions=distributions(self._goal.space, parameters),
            user_attrs={NUMBER: number},
        )
        optuna_trial, trial_id = self._patiently(lambda: enter_row(self.storage, self.study._study_id, row))
        self._ids[optuna_trial] = trial_id
        return optuna_trial

    def _end(self, optuna_trial: int, end: End) -> None:
        self._patiently(lambda: end_row(self.storage, self.study._study_id, self._ids[optuna_trial], end))

    def _patiently(self, call: Callable[[], T]) -> T:
        def in_our_words() -> T:
            with optuna_in_our_words():
                return call()

        return self._patience(in_our_words)

    def _upload(self, trial_id: int, trial: TrialRecord, sweep_folder: Path) -> list[str]:
        """Put a trial's pictures where the dashboard finds them; addresses within the dashboard."""
        if not trial.pictures:
            return []
        row = self.storage.get_trial(trial_id)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            known = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(row, storage=self.storage)}
            addresses = []
            for relative in trial.pictures.values():
                path = sweep_folder / relative
                if path.name not in known:
                    if not path.is_file():
                        continue
                    known[path.name] = upload_artifact(
                        artifact_store=self._artifacts, file_path=str(path), study_or_trial=row, storage=self.storage
                    )
                addresses.append(f"/artifacts/{self.study._study_id}/{trial_id}/{known[path.name]}")
        return addresses


def _system_attrs(constraints: Mapping[str, float]) -> dict[str, Any]:
    return dict(create_trial(state=TrialState.PRUNED, constraints=dict(constraints)).system_attrs)


def _attributes(trial: TrialRecord) -> dict[str, Any]:
    """What the dashboard shows beside a trial. Plain Python values: numpy's would raise."""
    shown: dict[str, Any] = {name: float(value) for name, value in trial.metrics.items()}
    shown |= {"seed": trial.seed, "attempts": trial.attempts}
    for name in ("backend", "device", "threads", "seconds", "failure_reason", "failure_message"):
        value = getattr(trial, name)
        if value is not None:
            shown[name] = value
    return shown


def _at_rungs(rungs: Sequence[RungRecord]) -> dict[str, float]:
    """What a trial measured below its last step, such as `psnr@300`."""
    return {f"{name}@{rung.step}": float(value) for rung in rungs for name, value in rung.metrics.items()}


def _note(trial: TrialRecord, rungs: Sequence[RungRecord], pictures: Sequence[str]) -> str:
    """Markdown of a trial: its pictures first, then its figures."""
    parts = [f"## Trial {trial.number}: {trial.state}"]
    if trial.failure_reason:
        parts.append(f"**{trial.failure_reason}**: {trial.failure_message}")
    parts += [f"![truth, render, depth, features]({address})" for address in pictures]
    if len(rungs) > 1 or trial.state == "pruned":
        lines = [f"| {rung.step} | {rung.decision} | {rung.reason or ''} |" for rung in rungs]
        parts.append("\n".join(["| step | decision | why |", "|---|---|---|", *lines]))
    if trial.metrics:
        rows = [f"| {name} | {value:.5g} |" for name, value in trial.metrics.items()]
        parts.append("\n".join(["| metric | value |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def _agrees(row: Any, trial: TrialRecord) -> bool:
    """Whether a finished row of the study says of a finished trial what our tables say."""
    return bool((row.state == TrialState.COMPLETE) == (trial.state == "completed"))
