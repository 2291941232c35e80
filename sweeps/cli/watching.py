"""Watching a sweep: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from sweeps.cli.output import assignments, console, duration, is_narrow, number, plain, styled_state, table
from sweeps.store.records import SweepRecord, TrialRecord
from sweeps.store.states import FINISHED_SWEEP, FINISHED_TRIAL, SweepState

if TYPE_CHECKING:
    from rich.console import RenderableType

    from sweeps.store.repository import Repository

POLL_SECONDS = 0.5
LINE_SECONDS = 10.0
ENDED_TRIALS_SHOWN = 12
BAR_CELLS = 20
_BEFORE: tuple[SweepState, ...] = ("running", "queued")


class _Display(Protocol):
    def update(self, sweep: SweepRecord, trials: list[TrialRecord], waits: str) -> None: ...


def watch_sweep(
    store: Repository,
    sweep_id: str,
    *,
    quiet: bool = False,
    driver_ended: Callable[[], bool] | None = None,
    service_answers: Callable[[], bool] | None = None,
    patience_seconds: float = 0.0,
) -> SweepRecord:
    """Show a sweep's progress until it ends, and return it.

    Args:
        store: the store to look at, twice a second.
        sweep_id: the sweep.
        quiet: show nothing.
        driver_ended: whether the driver that the caller started has ended; watching then ends too, in whatever
            state the sweep is.
        service_answers: whether there is a service, which would start a queued sweep; None: there is a driver.
        patience_seconds: how long to wait for someone to resume a sweep whose driver died.
    """
    interrupted_at: float | None = None
    queue = Queue(store, service_answers)
    with _display(quiet) as display:
        while True:
            ended = driver_ended is not None and driver_ended()
            sweep = store.get_sweep(sweep_id)
            display.update(sweep, store.all_trials(sweep_id), "" if quiet else queue.waits(sweep))
            if sweep.state != "interrupted":
                interrupted_at = None
            elif interrupted_at is None:
                interrupted_at = time.monotonic()
            impatient = interrupted_at is not None and time.monotonic() - interrupted_at >= patience_seconds
            if sweep.state in FINISHED_SWEEP or impatient or ended:
                return sweep
            time.sleep(POLL_SECONDS)


@contextmanager
def _display(quiet: bool) -> Iterator[_Display]:
    if quiet:
        yield _Quiet()
    elif console().is_terminal:
        from rich.live import Live

        with Live(console=console(), refresh_per_second=4, transient=False) as live:
            yield _Table(live.update)
    else:
        yield _Lines()


class Queue:
    """What a queued sweep waits for, looked up every ten seconds."""

    def __init__(self, store: Repository, service_answers: Callable[[], bool] | None) -> None:
        self._store, self._service_answers = store, service_answers
        self._looked_at = -LINE_SECONDS
        self._words = ""

    def waits(self, sweep: SweepRecord) -> str:
        """One line of rich markup; empty where nothing is known to be in the way."""
        if sweep.state != "queued" or self._service_answers is None:
            return ""
        if time.monotonic() - self._looked_at >= LINE_SECONDS:
            answers = self._service_answers()
            remedy = f"no service answers: f3rm-sweeps serve starts it, or f3rm-sweeps resume {sweep.id}"
            self._words = "  ".join(filter(None, [self._before(sweep), "" if answers else f"[yellow]{remedy}[/]"]))
            self._looked_at = time.monotonic()
        return self._words

    def _before(self, sweep: SweepRecord) -> str:
        running, queued = (self._store.list_sweeps(state=state, limit=500).items for state in _BEFORE)
        before = sum((other.created_at, other.id) < (sweep.created_at, sweep.id) for other in queued)
        words = [", ".join(f"{other.id} ({other.name})" for other in running)]
        words += [f"{before} queued before it"] if before else []
        return f"waits for {' and '.join(filter(None, words))}" if any(words) else ""


class _Quiet:
    def update(self, sweep: SweepRecord, trials: list[TrialRecord], waits: str) -> None:
        pass


class _Table:
    """The live display: what runs with its progress, and the trials that ended last."""

    def __init__(self, show: Callable[[RenderableType], None]) -> None:
        self._show = show

    def update(self, sweep: SweepRecord, trials: list[TrialRecord], waits: str) -> None:
        from rich.console import Group

        parts: list[RenderableType] = [f"[bold]{sweep.name}[/] {sweep.id}  {headline(sweep, trials, waits)}"]
        running = _running(sweep, trials)
        more = [] if is_narrow() else ["parameters"]
        if running:
            shown = table(None, ["trial", "progress", "steps", "loss", "parameters"], right=["trial", "steps", "loss"])
            for trial in running:
                shown.add_row(
                    str(trial.number),
                    _bar(trial),
                    f"{trial.step}/{trial.total_steps}",
                    number(trial.loss),
                    assignments(trial.parameters),
                )
            parts.append(shown)
        ended = _by_end(trial for trial in trials if trial.state in FINISHED_TRIAL)
        if ended:
            objectives = list(sweep.spec["objectives"])
            columns = ["trial", "state", *objectives, "took", *more]
            shown = table(None, columns, right=["trial", *objectives, "took"])
            for trial in ended[: -ENDED_TRIALS_SHOWN - 1 : -1]:  # the newest first: a low screen cuts the last lines
                shown.add_row(
                    str(trial.number),
                    styled_state(trial.state) + (f" ({trial.failure_reason})" if trial.failure_reason else ""),
                    *[number(trial.metrics.get(name)) for name in objectives],
                    duration(trial.seconds),
                    *([assignments(trial.parameters)] if more else []),
                )
            parts.append(shown)
        self._show(Group(*parts))


class _Lines:
    """For logs and pipes: a line when a trial ends, when the state changes, and every ten seconds."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._state = ""
        self._last = 0.0

    def update(self, sweep: SweepRecord, trials: list[TrialRecord], waits: str) -> None:
        lines = []
        for trial in _by_end(trial for trial in trials if trial.state in FINISHED_TRIAL):
            if trial.number not in self._seen:
                self._seen.add(trial.number)
                lines.append(_trial_line(sweep, trial))
        now = time.monotonic()
        if sweep.state != self._state or now - self._last >= LINE_SECONDS:
            self._state = sweep.state
            running = [
                f"trial {trial.number} {trial.step}/{trial.total_steps} loss {number(trial.loss)}"
                if trial.step
                else f"trial {trial.number} is being prepared"
                for trial in _running(sweep, trials)
            ]
            lines.append("; ".join([headline(sweep, trials, waits), *running]))
        if lines:
            self._last = now
        for line in lines:
            console().print(f"{datetime.now():%H:%M:%S}  {line}", style=None)


def headline(sweep: SweepRecord, trials: list[TrialRecord], waits: str = "") -> str:
    """One line: state, how many trials have ended, how long it took, what it waits for. Rich markup."""
    ended = sum(trial.state in FINISHED_TRIAL for trial in trials)
    failed = sum(trial.state == "failed" for trial in trials)
    words = [styled_state(sweep.state), f"{ended}/{sweep.trials_planned} trials"]
    waiting = sum(trial.state == "paused" for trial in trials)
    if waiting:
        words.append(f"{waiting} waiting at a rung")
    if failed:
        words.append(f"[red]{failed} failed[/]")
    if sweep.started_at is not None:
        words.append(duration(((sweep.finished_at or datetime.now(UTC)) - sweep.started_at).total_seconds()))
    if sweep.state == "running" and not trials:
        words.append("starting Ray, reading the scene and its features")
    if waits:
        words.append(waits)
    if sweep.state == "interrupted":
        words.append(f"its driver died; f3rm-sweeps resume {sweep.id} goes on with it")
    if sweep.cancel_requested and sweep.state not in FINISHED_SWEEP:
        words.append("cancelling")
    return "  ".join(words)


def _trial_line(sweep: SweepRecord, trial: TrialRecord) -> str:
    words = [f"trial {trial.number} {styled_state(trial.state)}"]
    if trial.failure_reason:
        words.append(plain(f"({trial.failure_reason}: {trial.failure_message})"))
    words += [f"{name}={number(trial.metrics[name])}" for name in sweep.spec["objectives"] if name in trial.metrics]
    if trial.state == "pruned":
        words.append(f"at step {trial.step} of {trial.total_steps}")
    if trial.seconds is not None:
        words.append(f"in {duration(trial.seconds)}")
    return f"{' '.join(words)}   {assignments(trial.parameters)}"


def _running(sweep: SweepRecord, trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    """Trials that run: none where the driver died, though the store says so until the next one."""
    return [trial for trial in trials if trial.state == sweep.state == "running"]


def _by_end(trials: Iterable[TrialRecord]) -> list[TrialRecord]:
    return sorted(trials, key=lambda trial: (trial.finished_at or trial.created_at, trial.number))


def _bar(trial: TrialRecord) -> str:
    done = round(BAR_CELLS * min(1.0, trial.step / trial.total_steps)) if trial.total_steps else 0
    return f"[cyan]{'━' * done}[/][dim]{'╌' * (BAR_CELLS - done)}[/]"
