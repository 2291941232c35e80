"""Why a sweep has ended without a single result, in one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from sweeps.spec.objectives import excess
from sweeps.store.records import RungRecord, TrialRecord

_STATES = {"pruned": "stopped at a rung", "paused": "waiting at a rung", "queued": "not trained"}


def why_nothing_completed(
    trials: Sequence[TrialRecord], rungs: Sequence[RungRecord], constraints: Mapping[str, float]
) -> str:
    """What became of the trials, and what stood in their way: the first failure, or the constraint that none kept and
    how near one came, or else the budget of hours.

    Args:
        trials: all of the sweep, none completed.
        rungs: what they measured, by trial and step.
        constraints: metric -> limit.
    """
    if not trials:
        return "no trial was started within its budget of hours; give it more"
    counts = Counter(trial.failure_reason or _STATES.get(trial.state, trial.state) for trial in trials)
    line = f"no trial completed ({', '.join(f'{count} {what}' for what, count in counts.most_common())})"
    failed = next((trial for trial in trials if trial.state == "failed"), None)
    if failed is not None:
        return f"{line}; trial {failed.number}: {failed.failure_message}"
    last = {rung.trial: rung for rung in rungs}.values()
    # Of each trial the limit that it breaks most; of these the least.
    worst = [
        max((excess(name, limit, rung.metrics), name, rung.trial) for name, limit in constraints.items())
        for rung in last
        if constraints
    ]
    if not worst or min(worst)[0] <= 0:
        return f"{line} within its budget of hours; give it more"
    _, name, number = min(worst)
    measured = next(rung.metrics.get(name) for rung in last if rung.trial == number)
    shown = "did not measure it" if measured is None else f"measured {measured:.4g}"
    return f"{line}; none keeps constraints.{name}={constraints[name]:g}: the nearest, trial {number}, {shown}"
