"""Trials that share GPUs: which may run beside which, by predicted memory corrected by what was measured.

Ray places the trials, so nobody here knows who shares a GPU with whom. Whatever it does, the k largest of those that
run could meet on one GPU, and no k of them need more than these: so they must fit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from f3rm_core import InvalidParameter, Scene
from sweeps.spec.memory import predicted_memory
from sweeps.spec.sharing import Sharing

NEWEST = 64
"""Measurements that correct the predictions."""
_ENOUGH = 3
"""With fewer of them predictions stand as they are."""
_SHARE_BELOW = 0.75
"""Of the measurements so many lie at or below the corrected prediction: a few that are far off decide nothing."""


@dataclass(frozen=True)
class Need:
    """Predicted memory of a configuration on a GPU, GB (1e9).

    Args:
        counted: what the metric peak_memory_gb would measure of it.
        uncounted: the rest, of which PyTorch knows nothing: tiny-cuda-nn's own.
    """

    counted: float
    uncounted: float = 0.0


class Packing:
    """What runs on the GPUs, and whether another trial still fits, wherever Ray places it.

    Args:
        sharing: how many trials share a GPU, and its memory.
        predict: a configuration's memory; infinite where nobody knows it: such a trial runs alone.
    """

    def __init__(self, sharing: Sharing, predict: Callable[[Mapping[str, Any]], Need]) -> None:
        self._sharing = sharing
        self._predict = predict
        self._ratios: deque[float] = deque(maxlen=NEWEST)
        self._running: dict[int, tuple[Need, float]] = {}  # trial -> predicted, and measured at its rungs so far
        self._accompanied: set[int] = set()
        self._alone: set[int] = set()

    @property
    def correction(self) -> float:
        """What predictions are multiplied with."""
        if len(self._ratios) < _ENOUGH:
            return 1.0
        return sorted(self._ratios)[math.ceil(_SHARE_BELOW * len(self._ratios)) - 1]

    def expected_gb(self, need: Need, measured_gb: float = 0.0) -> float:
        """Memory that a trial is expected to take: never less than it was measured to take.

        Args:
            need: predicted.
            measured_gb: the most that the trial took up to its last rung; 0 for a new one.
        """
        return max(need.counted * self.correction, measured_gb) + need.uncounted

    def has_room(self, number: int, configuration: Mapping[str, Any], measured_gb: float = 0.0) -> bool:
        """Whether a trial may start now. Where nothing runs it may.

        Args:
            number: the trial.
            configuration: every parameter.
            measured_gb: as in `expected_gb`.
        """
        if not self._running:
            return True
        if number in self._alone or self._alone & self._running.keys():
            return False
        job = self._predict(configuration), measured_gb
        expected = sorted((self.expected_gb(*each) for each in (job, *self._running.values())), reverse=True)
        return sum(expected[: self._sharing.together]) <= self._sharing.room_gb

    def start(self, number: int, configuration: Mapping[str, Any], measured_gb: float = 0.0) -> None:
        """Note that a trial was started; arguments as in `has_room`."""
        self._running[number] = self._predict(configuration), measured_gb
        self._accompanied.discard(number)
        if len(self._running) > 1:
            self._accompanied |= self._running.keys()

    def end(self, number: int) -> bool:
        """Note that a trial no longer runs. Returns whether others did while it ran."""
        self._running.pop(number, None)
        return number in self._accompanied

    def learn(self, configuration: Mapping[str, Any], measured_gb: float) -> None:
        """Take up what a trial was measured to take."""
        predicted = self._predict(configuration).counted
        if 0 < predicted < math.inf:
            self._ratios.append(measured_gb / predicted)

    def keep_alone(self, number: int) -> None:
        """From now on a trial runs only where nothing else does: it ran out of memory beside others."""
        self._alone.add(number)


def need_of(configuration: Mapping[str, Any], scene: Scene) -> Need:
    """What a configuration is predicted to take on this cluster's GPUs.

    Args:
        configuration: every parameter.
        scene: what is trained on.
    """
    try:
        predicted = predicted_memory(configuration, scene, device="cuda")
    except InvalidParameter:
        return Need(math.inf)
    return Need((predicted.total_bytes - predicted.parts.workspace) / 1e9, predicted.parts.workspace / 1e9)
