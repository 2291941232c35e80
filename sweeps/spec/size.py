"""How many configurations a space holds: fewer than its trials is worth a word before any is trained."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sweeps.errors import Issue
from sweeps.spec.space import CategoricalDimension, Dimension, IntDimension, is_active, on_grid, ordered
from sweeps.spec.sweep import Plan


def few_configurations(plan: Plan) -> list[Issue]:
    """A warning where a search's space holds fewer configurations than it has trials.

    Args:
        plan: a checked sweep.
    """
    trials = plan.spec.budget.trials
    if plan.ablation is not None or (found := count(plan.spec.space, plan.fixed, most=trials)) >= trials:
        return []
    held = f"{found} configuration{'' if found == 1 else 's'}"
    remedy = (
        f"the space holds {held}; the sampler model ends when all were tried, the others train some again under other "
        "seeds; widen the space, or give fewer trials"
    )
    return [Issue("budget.trials", trials, remedy)]


def count(space: Mapping[str, Dimension], fixed: Mapping[str, Any], *, most: int) -> int:
    """How many configurations a space holds, counted up to `most`.

    Args:
        space: parameter name -> dimension, checked.
        fixed: values of the parameters that do not vary, for conditions.
        most: where to stop.
    """
    found = _below(ordered(space), {}, space, fixed)
    return sum(1 for _ in itertools.islice(found, most))


def _below(
    names: Sequence[str], chosen: Mapping[str, Any], space: Mapping[str, Dimension], fixed: Mapping[str, Any]
) -> Iterator[None]:
    """One item for each way to choose the rest."""
    if not names:
        yield None
    elif not is_active(space[names[0]], {**fixed, **chosen}):
        yield from _below(names[1:], chosen, space, fixed)
    else:
        for value in _values(space[names[0]]):
            yield from _below(names[1:], {**chosen, names[0]: value}, space, fixed)


def _values(dimension: Dimension) -> Iterable[Any]:
    """All values, each once; of a continuous range as many as anybody asks for."""
    if isinstance(dimension, CategoricalDimension):
        return dimension.choices
    if dimension.step is not None:
        steps = round((dimension.high - dimension.low) / dimension.step)
        return (on_grid(dimension, step) for step in range(steps + 1))
    if isinstance(dimension, IntDimension):
        return range(dimension.low, dimension.high + 1)
    return itertools.repeat(dimension.low)
