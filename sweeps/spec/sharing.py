"""How many trials share a GPU: from its memory, and the predicted memory of the sweep's configurations."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sweeps.spec.sweep import Plan

CONTEXT_GB = 0.7
"""What a process takes of a GPU beside its tensors: CUDA's context and the loaded kernels. Not measured here. PyTorch
names 0.29 GB where kernels are loaded as they are used, its default, and 0.67 GB where all are
(github.com/pytorch/pytorch/pull/86509)."""
RESERVE = 0.1
"""Part of a GPU's memory that is left free: for what PyTorch's allocator keeps beside what is in use, and for the
prediction's own error (docs/memory.md)."""
MOST_TOGETHER = 4
"""Trials on one GPU, at most: they take turns on its processors, and more of them only wait for each other."""

_USUAL = 0.9
_TIMES = ("train_seconds", "render_seconds")


@dataclass(frozen=True)
class Sharing:
    """How many trials one GPU takes at once.

    Args:
        together: trials on one GPU, at most.
        gpu_memory_gb: memory of the GPU, GB (1e9); infinite: it is not watched.
        reason: why so many, one line.
    """

    together: int
    gpu_memory_gb: float
    reason: str

    @property
    def room_gb(self) -> float:
        """What the tensors of the trials on one GPU may take together, GB."""
        return (1 - RESERVE) * self.gpu_memory_gb - self.together * CONTEXT_GB


def share_gpus(
    plan: Plan, peaks_gb: Sequence[float], gpu_memory_gb: float, *, gpus: int = 1, most: int = MOST_TOGETHER
) -> Sharing:
    """How many trials of a sweep are to share a GPU.

    On one GPU, so many that nine in ten configurations fit in that number: the trials of the rest wait until there is
    room. On several nobody knows which trials will share one, so that a trial that needs a GPU for itself would wait
    for all of them: there the largest configuration decides.

    Args:
        plan: the sweep's.
        peaks_gb: predicted peaks of configurations drawn from its space, GB; empty: they can't be predicted.
        gpu_memory_gb: memory of a GPU, GB.
        gpus: how many there are.
        most: what CPUs, trials and max_concurrent leave to a GPU.
    """
    spec = plan.spec
    times = [name for name in _TIMES if name in spec.objectives or name in spec.constraints]
    if times:
        reason = f"{times[0]} is asked for, and trials that share a GPU slow each other"
        return Sharing(1, gpu_memory_gb, f"1 trial a GPU: {reason}")
    limit_gb = spec.constraints.get("peak_memory_gb", math.inf)
    started = sorted(peak for peak in peaks_gb if peak <= limit_gb)
    if not started:
        return Sharing(1, gpu_memory_gb, "1 trial a GPU: the memory of its configurations can't be predicted")
    part = _USUAL if gpus == 1 else 1.0
    peak_gb = started[math.ceil(part * len(started)) - 1]
    fit = int((1 - RESERVE) * gpu_memory_gb / (peak_gb + CONTEXT_GB))
    together = max(1, min(fit, most, MOST_TOGETHER))
    which = f"{part:.0%} of the configurations take" if part < 1 else "the largest configuration takes"
    why = f"{which} {peak_gb:.2g} GB or less, predicted, and each process {CONTEXT_GB:g} GB more"
    shared = f"{together} trials share a GPU" if together > 1 else "1 trial a GPU"
    could = f", which would hold {fit}" if fit > together else ""
    return Sharing(together, gpu_memory_gb, f"{shared} of {gpu_memory_gb:.3g} GB{could}: {why}")
