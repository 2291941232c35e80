from __future__ import annotations

import pytest
import torch

from tools.tabletop.muon import Muon, orthogonalized


@pytest.mark.parametrize("shape", [(4, 12, 30), (4, 30, 12), (1, 16, 16)])
def test_orthogonalized_keeps_directions_and_levels_sizes(shape: tuple[int, int, int]) -> None:
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    result = orthogonalized(matrices)
    u, _, v = torch.linalg.svd(matrices, full_matrices=False)
    core = u.mT @ result @ v.mT  # diagonal when the singular vectors are the same
    diagonal = torch.diagonal(core, dim1=1, dim2=2)
    assert (core - torch.diag_embed(diagonal)).abs().max() < 1e-3
    assert diagonal.max() < 1.3
    assert diagonal.median() > 0.6


def test_a_step_does_not_depend_on_the_gradients_size() -> None:
    def moved(size: float) -> torch.Tensor:
        weight = torch.nn.Parameter(torch.zeros(6, 10))
        weight.grad = size * torch.randn(6, 10, generator=torch.Generator().manual_seed(1))
        Muon([weight], lr=0.1).step()
        return weight.detach()

    assert torch.allclose(moved(1.0), moved(1e-3), atol=1e-5)
    assert moved(1.0).square().mean().sqrt() == pytest.approx(0.1 * 0.2, rel=0.3)


def test_it_solves_a_linear_problem_and_leaves_the_untouched_alone() -> None:
    generator = torch.Generator().manual_seed(2)
    goal, inputs = torch.randn(8, 8, generator=generator), torch.randn(64, 8, generator=generator)
    weight, idle = (torch.nn.Parameter(torch.zeros(8, 8)) for _ in range(2))
    optimizer = Muon([weight, idle], lr=0.1)
    for step in range(120):
        optimizer.param_groups[0]["lr"] = 0.2 * (1 - step / 120)
        optimizer.zero_grad()
        loss = (inputs @ (weight - goal).T).square().mean()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05 * (inputs @ goal.T).square().mean().item()
    assert (idle == 0).all()
