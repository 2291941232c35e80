"""A step's random numbers depend on seed and step only."""

from __future__ import annotations

import torch

from f3rm_core.training.seeding import seed_step


def drawn(seed: int, step: int) -> list[float]:
    seed_step(seed, step)
    return torch.rand(4).tolist()


def test_a_step_draws_the_same_whatever_came_before() -> None:
    first = drawn(3, 7)
    torch.rand(1000)
    assert drawn(3, 7) == first


def test_steps_and_seeds_differ() -> None:
    draws = {tuple(drawn(seed, step)) for seed in range(4) for step in range(50)}
    assert len(draws) == 200
