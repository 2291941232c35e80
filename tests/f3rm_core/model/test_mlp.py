"""The chunked network against the plain one, values and gradients together, and the plain one against torch.nn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from f3rm_core.model import mlp as module
from f3rm_core.model.mlp import chunked_mlp, mlp


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_NUMBERS", 8 * 6)


def random(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_plain_mlp_is_a_sequence_of_layers() -> None:
    layers = nn.Sequential(
        nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 8, bias=False), nn.ReLU(), nn.Linear(8, 3, bias=False)
    )
    whole = random(20, 5, seed=0)
    first, *later = (layers[number].weight for number in (0, 2, 4))
    found = mlp([whole[:, :2], whole[:, 2:]], [first[:, :2], first[:, 2:]], later)
    torch.testing.assert_close(found, layers(whole))


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("rays", [0, 10])
@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("depth", [0, 1, 2])
def test_chunks_change_nothing(rays: int, parts: int, depth: int) -> None:
    samples = 3
    points = rays * samples or 31
    tensors = [random(points, 4 + part, seed=part) for part in range(parts)]
    tensors += [random(8, 4 + part, seed=5 + part) for part in range(parts)]
    tensors += [random(2 if layer == depth - 1 else 8, 8, seed=9 + layer) for layer in range(depth)]
    tensors += [random(rays, 8, seed=20)] if rays else []

    results = []
    for network in (mlp, chunked_mlp):
        leaves = [one.clone().requires_grad_() for one in tensors]
        later = leaves[2 * parts : 2 * parts + depth]
        out = network(leaves[:parts], leaves[parts : 2 * parts], later, leaves[-1] if rays else None)
        gradients = torch.autograd.grad((out * random(*out.shape, seed=30)).sum(), leaves)
        results.append((out.detach(), *gradients))
    for plain, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.usefixtures("small_chunks")
def test_without_gradients_the_values_are_the_same() -> None:
    inputs, first, last = random(31, 4, seed=0), random(8, 4, seed=1).requires_grad_(), random(2, 8, seed=2)
    recorded = chunked_mlp([inputs], [first], [last])
    with torch.no_grad():
        unrecorded = chunked_mlp([inputs], [first], [last])
    assert recorded.requires_grad
    assert not unrecorded.requires_grad
    assert torch.equal(recorded, unrecorded)


def test_no_points() -> None:
    first = random(8, 4, seed=1).requires_grad_()
    out = chunked_mlp([torch.zeros(0, 4)], [first], [random(2, 8, seed=2)])
    assert out.shape == (0, 2)
    (gradient,) = torch.autograd.grad(out.sum(), first)
    assert torch.equal(gradient, torch.zeros(8, 4))
