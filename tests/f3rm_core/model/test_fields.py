"""The feature field against the way F3RM writes it: features at every sample, then rendered."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from f3rm_core.encodings.base import GridSpec
from f3rm_core.model.fields import FeatureField
from f3rm_core.model.operations import operations_for
from f3rm_core.model.position_encoding import positional_encoding

RAYS, SAMPLES, CHANNELS = 5, 7, 11


def build(backend: str, frequencies: int) -> FeatureField:
    torch.manual_seed(3)
    field = FeatureField(
        GridSpec(3, 4, 16, 10, 2, prefix="feat_"),
        channels=CHANNELS,
        hidden_dim=16,
        num_layers=2,
        frequencies=frequencies,
        backend=backend,
        operations=operations_for(backend),
    )
    with torch.no_grad():
        field.grid.params.uniform_(-1.0, 1.0)
    return field


def project_every_sample(field: FeatureField, positions: Tensor, weights: Tensor) -> Tensor:  # [rays, channels]
    points = positions.reshape(-1, 3)
    encoded = field.grid(points)
    if field.frequencies:
        encoded = torch.cat([encoded, positional_encoding(points, field.frequencies)], -1)
    hidden = encoded
    for weight in field.hidden.weights:
        hidden = torch.relu(hidden @ weight.T)
    features = (hidden @ field.head.weights[0].T).view(*weights.shape, CHANNELS)  # [rays, samples, channels]
    return (weights[..., None] * features).sum(1)


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("frequencies", [0, 2])
def test_projecting_after_rendering_equals_projecting_every_sample(backend: str, frequencies: int) -> None:
    field = build(backend, frequencies)
    positions = torch.rand(RAYS, SAMPLES, 3)
    weights = torch.rand(RAYS, SAMPLES, requires_grad=True)
    upstream = torch.randn(RAYS, CHANNELS)
    trained = [weights, *field.parameters()]

    rendered, expected = field(positions, weights), project_every_sample(field, positions, weights)
    gradients = torch.autograd.grad(rendered, trained, upstream)
    expected_gradients = torch.autograd.grad(expected, trained, upstream)

    torch.testing.assert_close(rendered, expected, rtol=1e-5, atol=1e-6)
    assert expected.abs().max() > 0.1
    for one, other in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * float(other.abs().max()))
