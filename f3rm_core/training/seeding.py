"""Seeding: one place that makes a run repeatable."""

from __future__ import annotations

import logging
import os
import random
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from f3rm_core.config import F3RMTrainerConfig

logger = logging.getLogger(__name__)


def seed_everything(config: F3RMTrainerConfig) -> None:
    """Seed Python, NumPy and torch as the configuration's switches say."""
    seed = config.machine.seed
    if config.seed_cublas_workspace:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if config.enable_comprehensive_seeding:
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
    torch.use_deterministic_algorithms(config.seed_deterministic_algorithms, warn_only=config.seed_warn_only)
    # Otherwise every torch.empty is filled with NaN first.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if config.print_seed_info:
        logger.info(
            "seed %d, deterministic algorithms %s", seed, "on" if config.seed_deterministic_algorithms else "off"
        )


def seed_step(seed: int, step: int) -> None:
    """Give a training step its own random numbers, whatever was drawn before it.

    So a step is a function of seed and step alone, and a run that is paused and resumed needs no generator state.
    """
    # SplitMix64's finaliser: consecutive inputs give unrelated seeds.
    value = (seed * 0x9E3779B97F4A7C15 + step + 1) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & 0xFFFFFFFFFFFFFFFF
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & 0xFFFFFFFFFFFFFFFF
    torch.manual_seed(value ^ (value >> 31))
