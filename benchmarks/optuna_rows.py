"""What a trial's row in Optuna's study costs: through Optuna's public calls, and as sweeps/search/study_rows.py does.

    python -m benchmarks.optuna_rows [--trials 200]

A trial with six parameters, twelve attributes, a constraint and a note, in SQLite. Medians over the last ten trials.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
from optuna.distributions import FloatDistribution
from optuna.storages import RDBStorage
from optuna.trial import TrialState, create_trial
from optuna_dashboard._note import save_note
from rich.console import Console
from rich.table import Table
from sqlalchemy import event
from sqlalchemy.engine import Engine

from sweeps.search.study import open_storage
from sweeps.search.study_rows import End, end_row, enter_row

PARAMETERS = {f"parameter_{index}": 0.5 for index in range(6)}
DISTRIBUTIONS = {name: FloatDistribution(0.0, 1.0) for name in PARAMETERS}
SHOWN = {f"attribute_{index}": 1.5 * index for index in range(12)}
Way = Callable[[optuna.Study, RDBStorage], Iterator[None]]
NOTE = "## Trial 0: completed\n" + "x" * 800


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    table = Table("", "statements", "transactions", f"CPU ms after {arguments.trials} trials")
    for name, way in (("Optuna's calls", _by_optuna), ("study_rows.py", _by_us)):
        for step, costs in zip(("entered", "ended"), _measure(way, arguments.trials), strict=True):
            table.add_row(f"{name}: {step}", *(f"{cost:.3g}" for cost in costs))
    Console().print(table)


def _by_optuna(study: optuna.Study, storage: RDBStorage) -> Iterator[None]:
    trial = study.ask(DISTRIBUTIONS)
    trial.set_user_attr("number", 0)
    yield
    for name, value in SHOWN.items():
        trial.set_user_attr(name, value)
    trial.set_constraint("out_of_memory", -1.0)
    save_note(trial, NOTE)
    study.tell(trial, [1.0, 2.0])
    yield


def _by_us(study: optuna.Study, storage: RDBStorage) -> Iterator[None]:
    row = create_trial(
        state=TrialState.RUNNING, params=PARAMETERS, distributions=DISTRIBUTIONS, user_attrs={"number": 0}
    )
    _, trial_id = enter_row(storage, study._study_id, row)
    yield
    system_attrs = create_trial(state=TrialState.PRUNED, constraints={"out_of_memory": -1.0}).system_attrs
    end_row(storage, study._study_id, trial_id, End(TrialState.COMPLETE, [1.0, 2.0], SHOWN, system_attrs, NOTE))
    yield


def _measure(way: Way, trials: int) -> list[list[float]]:
    """Statements, transactions and CPU milliseconds of each step."""
    counted = {"statements": 0, "transactions": 0}

    def statement(*_: object) -> None:
        counted["statements"] += 1

    def transaction(*_: object) -> None:
        counted["transactions"] += 1

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", transaction)
    costs: list[list[list[float]]] = [[], []]
    try:
        with tempfile.TemporaryDirectory() as folder:
            storage = open_storage(f"sqlite:///{Path(folder) / 'study.db'}")
            sampler = optuna.samplers.RandomSampler(seed=0)
            study = optuna.create_study(storage=storage, directions=["maximize"] * 2, sampler=sampler)
            for _ in range(trials):
                steps = way(study, storage)
                for cost in costs:
                    before, cpu = dict(counted), time.process_time()
                    next(steps)
                    milliseconds = 1e3 * (time.process_time() - cpu)
                    cost.append([*(counted[name] - before[name] for name in counted), milliseconds])
    finally:
        event.remove(Engine, "before_cursor_execute", statement)
        event.remove(Engine, "commit", transaction)
    return [[statistics.median(column) for column in zip(*cost[-10:], strict=True)] for cost in costs]


if __name__ == "__main__":
    main()
