"""The oracle's gradients, against finite differences in double precision."""

from __future__ import annotations

import pytest
import torch

from f3rm_core.encodings.reference import encode
from f3rm_core.encodings.spec import GridSpec


@pytest.mark.parametrize(
    "spec", [GridSpec(2, 3, 6, 10, 2), GridSpec(1, 12, 12, 10, 1), GridSpec(1, 2, 2, 10, 8)], ids=str
)
def test_gradients_against_finite_differences(spec: GridSpec) -> None:
    generator = torch.Generator().manual_seed(0)
    params = torch.rand(spec.num_parameters, generator=generator, dtype=torch.float64, requires_grad=True)
    # Away from cell borders, where the slope jumps: 0.05 to 0.95 of a cell of the finest level.
    scale = spec.levels[-1].scale
    cells = torch.randint(0, int(scale), (4, 3), generator=generator)
    fractions = torch.rand(4, 3, generator=generator, dtype=torch.float64) * 0.9 + 0.05
    positions = ((cells + fractions + 0.5) / scale).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, p: encode(x, p, spec), (positions, params), eps=1e-7, atol=1e-5)
