"""Each fused operation against its plain torch twin, values and gradients together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from f3rm_core.model.operations import PLAIN, Operations, operations_for
from f3rm_core.model.sampling import Intervals, Spacing

FUSED = operations_for("numba")
RAYS, SAMPLES = 37, 11
Operation = Callable[[Operations], Tensor]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def intervals(samples: int, seed: int = 0) -> Intervals:
    bins = random(RAYS, samples + 1, seed=seed).sort(-1).values
    return spacing().intervals(bins)


def spacing() -> Spacing:
    return Spacing(torch.full((RAYS, 1), 0.05), torch.full((RAYS, 1), 1000.0))


def weights(samples: int = SAMPLES, seed: int = 1) -> Tensor:
    return torch.softmax(4 * random(RAYS, samples, seed=seed), -1) * random(RAYS, 1, seed=seed + 1)


def agree(operation: Callable[..., Tensor], *inputs: Tensor, rtol: float = 2e-4, atol: float = 1e-6) -> None:
    """Same values, and same gradients of a random combination of them, in every input that has one."""
    results = []
    for operations in (PLAIN, FUSED):
        leaves = [one.clone().requires_grad_() for one in inputs]
        out = operation(operations, *leaves)
        gradients = torch.autograd.grad((out * random(*out.shape, seed=9)).sum(), leaves) if leaves else ()
        results.append((out.detach(), *gradients))
    for plain, fused in zip(*results, strict=True):
        torch.testing.assert_close(fused, plain, rtol=rtol, atol=atol)


@pytest.mark.parametrize("outputs", [1, 16])
def test_weights_from_raw(outputs: int) -> None:
    edges = intervals(SAMPLES).edges
    agree(lambda do, raw: do.weights_from_raw(raw, edges, 0.7), 4 * random(RAYS, SAMPLES, outputs) - 2)


def test_weights_beyond_the_exponentials_limits() -> None:
    raw = torch.tensor([[-20.0, 16.0, 0.0], [1.0, 80.0, 1.0]])[..., None]
    edges = torch.tensor([[0.0, 1e-8, 2e-8, 1.0], [0.0, 1e-3, 2e-3, 3e-3]])
    agree(lambda do, raw: do.weights_from_raw(raw, edges, 1.0), raw)


def test_an_infinite_density_without_length_holds_nothing() -> None:
    raw = torch.tensor([[[0.0], [100.0]]])
    edges = torch.tensor([[0.0, 1.0, 1.0]])
    for operations in (PLAIN, FUSED):
        found = operations.weights_from_raw(raw, edges, 1.0)
        torch.testing.assert_close(found, torch.tensor([[1 - torch.tensor(-1.0).exp().item(), 0.0]]))


def test_sample_positions() -> None:
    origins, directions = random(RAYS, 3) - 0.5, random(RAYS, 3, seed=1) - 0.5
    edges = intervals(SAMPLES).edges
    plain, fused = (do.sample_positions(origins, directions, edges) for do in (PLAIN, FUSED))
    torch.testing.assert_close(fused, plain)
    # Camera poses learn through the positions.
    origins.requires_grad_()
    (gradient,) = torch.autograd.grad(FUSED.sample_positions(origins, directions, edges).sum(), origins)
    assert gradient.abs().min() > 0


def test_positional_encoding() -> None:
    points = random(50, 3)
    plain, fused = (do.positional_encoding(points, 6) for do in (PLAIN, FUSED))
    torch.testing.assert_close(fused, plain, rtol=0, atol=2e-5)
    moving = points.clone().requires_grad_()
    assert FUSED.positional_encoding(moving, 6).requires_grad


@pytest.mark.parametrize("anneal", [1.0, 0.3, 0.0])
@pytest.mark.parametrize("samples", [5, 40])
def test_resample(anneal: float, samples: int) -> None:
    coarse = spacing().intervals(torch.linspace(0, 1, SAMPLES + 1).repeat(RAYS, 1))
    settings: dict[str, Any] = {"anneal": anneal, "shift": random(RAYS, 1, seed=5), "spacing": spacing()}
    plain, fused = (do.resample(coarse, weights(), samples, **settings) for do in (PLAIN, FUSED))
    torch.testing.assert_close(fused.bins, plain.bins, rtol=0, atol=1e-5)
    torch.testing.assert_close(fused.edges, spacing().intervals(fused.bins).edges, rtol=1e-4, atol=1e-6)
    assert (fused.bins.diff(dim=-1) >= 0).all()


def test_resample_of_empty_rays_is_even() -> None:
    coarse = spacing().intervals(torch.linspace(0, 1, 5).repeat(RAYS, 1))
    nothing, shift = torch.zeros(RAYS, 4), torch.zeros(RAYS, 1)
    found = FUSED.resample(coarse, nothing, 3, anneal=1.0, shift=shift, spacing=spacing())
    torch.testing.assert_close(found.bins, torch.tensor([0.0, 0.25, 0.5, 0.75]).repeat(RAYS, 1))


def test_render_colors() -> None:
    agree(lambda do, *inputs: do.render_colors(*inputs), weights(), 6 * random(RAYS, SAMPLES, 3) - 3)


@pytest.mark.parametrize("channels", [3, 64])
def test_render_hidden(channels: int) -> None:
    agree(lambda do, *inputs: do.render_hidden(*inputs), weights(), random(RAYS, SAMPLES, channels) - 0.5)


@pytest.mark.parametrize("samples", [SAMPLES, 30])
def test_interlevel_loss(samples: int) -> None:
    bins, target, proposal_bins = intervals(SAMPLES).bins, weights(), intervals(samples, seed=7).bins
    agree(lambda do, proposed: do.interlevel_loss(bins, target, proposal_bins, proposed), weights(samples, seed=3))


def test_interlevel_loss_by_hand() -> None:
    # The proposal gives 0.1 to each half; the one interval of weight 0.5 in the left half needs 0.4 more.
    bins, target = torch.tensor([[0.1, 0.4]]), torch.tensor([[0.5]])
    proposal_bins, proposed = torch.tensor([[0.0, 0.5, 1.0]]), torch.tensor([[0.1, 0.1]])
    for operations in (PLAIN, FUSED):
        loss = operations.interlevel_loss(bins, target, proposal_bins, proposed)
        assert float(loss) == pytest.approx(0.4**2 / 0.5, rel=1e-5)


def test_distortion_loss() -> None:
    bins = intervals(SAMPLES).bins
    agree(lambda do, one: do.distortion_loss(bins, one), weights())


def test_threads_change_no_bit() -> None:
    edges, raw = intervals(SAMPLES).edges, random(RAYS, SAMPLES, 16)
    before = torch.get_num_threads()
    try:
        results = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            leaf = raw.clone().requires_grad_()
            found = FUSED.weights_from_raw(leaf, edges, 1.0)
            rendered = FUSED.render_hidden(found, leaf)
            results.append((rendered, *torch.autograd.grad(rendered.sum(), leaf)))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))
