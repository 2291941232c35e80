"""What a training run tells while it runs and when it ends. Plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE_OPTIMIZER = "dense-adam"
"""How hash tables are optimized, on any device: torch's fused Adam over every row at every step."""


@dataclass(frozen=True)
class Report:
    """A word from a running training, about once a second and at every report step.

    Args:
        step: steps done.
        total_steps: steps that this run is to do.
        loss: of the last step, all terms.
        metrics: held-out metrics at a report step; empty otherwise.
        seconds: in training steps so far, earlier parts of a resumed run counted.
    """

    step: int
    total_steps: int
    loss: float
    metrics: Mapping[str, float]
    seconds: float


@dataclass(frozen=True)
class TrainResult:
    """A finished training run.

    Args:
        metrics: name -> value, on held-out views, and cost; see f3rm_core.METRICS.
        backend: encoding that was used: "tcnn", "numba" or "reference".
        device: "cpu" or "cuda".
        threads: CPU threads.
        steps: steps done in all.
        seconds: in training steps, in all.
        peak_memory_bytes: highest private memory during this run above the state before it.
        seed: of everything random.
        checkpoint: the last one written, if a folder for them was given.
        pictures: name -> file written.
        table_optimizer: how hash tables were optimized.
    """

    metrics: Mapping[str, float]
    backend: str
    device: str
    threads: int
    steps: int
    seconds: float
    peak_memory_bytes: int
    seed: int
    checkpoint: Path | None
    pictures: Mapping[str, Path]
    table_optimizer: str = TABLE_OPTIMIZER
