"""Trials that are listed beforehand: an ablation's arms under its seeds."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.search.history import Resume, Start, TrialHistory
from sweeps.spec.ablation import Ablation


class Listed:
    """Starts each trial of a list in turn and trains it to its end.

    Args:
        ablation: the list.
    """

    def __init__(self, ablation: Ablation) -> None:
        self._ablation = ablation

    def next(self, history: Sequence[TrialHistory]) -> Start | Resume | None:
        """See sweeps.search.history.Strategy."""
        number = len(history)
        if number >= self._ablation.trials:
            return None
        arm = self._ablation.arm(number)
        return Start(arm.values, f"arm {arm.name}, seed {self._ablation.seed_index(number)}", to_end=True)
