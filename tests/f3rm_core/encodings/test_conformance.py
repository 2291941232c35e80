"""What every backend must do. The oracle is `reference`; `reference` itself is held against plain Python.

tcnn runs twice: everywhere with a stand-in for tinycudann, and with tinycudann where there is a GPU.
"""

from __future__ import annotations

import copy
import itertools
import math
import pickle
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from f3rm_core.encodings.base import BACKENDS, GridEncoding, GridSpec, build_grid
from f3rm_core.encodings.reference import encode
from f3rm_core.encodings.spec import TCNN_FEATURES_PER_LEVEL
from tests.f3rm_core import tinycudann_standin

TOLERANCE = 2e-6  # of values of size 1: sums of eight products in float32

EDGES = torch.tensor(
    [
        [0.0, 0.0, 0.0],
        [1.0, 1.0, 1.0],
        [0.0, 1.0, 0.5],
        [1.0, 0.0, 0.0],
        [-1.0, -0.25, 2.0],
        [-1e-7, 1.0 + 1e-6, 0.5],
        [37.0, -1e4, 3e5],
    ]
)
SPECS = {
    "dense and hashed levels": GridSpec(6, 4, 64, 12, 2),
    "radiance grid, fewer levels": GridSpec(5, 16, 2048, 15, 2),
    "feature grid, fewer levels": GridSpec(3, 16, 128, 13, 8),
    "one level": GridSpec(1, 16, 2048, 19, 2),
    "one level, three features": GridSpec(1, 6, 6, 10, 3),
    "one vertex": GridSpec(2, 1, 1, 10, 1),
    "all levels alike": GridSpec(3, 9, 9, 10, 2),
    "dense to the last entry": GridSpec(1, 16, 16, 12, 2),
    "hashed by one entry": GridSpec(1, 17, 17, 12, 2),
}


@pytest.fixture(params=["numba", "reference", "tcnn (stand-in)", pytest.param("tcnn", marks=pytest.mark.gpu)])
def backend(request: pytest.FixtureRequest) -> str:
    if request.param.startswith("tcnn"):
        request.getfixturevalue("real_tcnn" if request.param == "tcnn" else "standin")
    return str(request.param).split()[0]


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_every_backend_is_in_this_suite() -> None:
    assert sorted(BACKENDS) == ["numba", "reference", "tcnn"]


def test_dense_level_interpolates_a_linear_function_exactly(backend: str) -> None:
    # scale 3, four vertices an axis: position 0.5, 0.25, 1/6 lies at 2, 1.25 and 1 vertices.
    grid = _build(GridSpec(1, 4, 4, 10, 1), backend)
    x, y, z = torch.arange(64) % 4, torch.arange(64) // 4 % 4, torch.arange(64) // 16
    _set(grid, (x + 10 * y + 100 * z).float())
    position = torch.tensor([[0.5, 0.25, 1 / 6]], requires_grad=True)
    encoded = grid(position)
    encoded.sum().backward()
    assert encoded.item() == pytest.approx(2 + 10 * 1.25 + 100 * 1, rel=1e-6)
    assert position.grad is not None
    torch.testing.assert_close(position.grad, torch.tensor([[3.0, 30.0, 300.0]]))


def test_dense_level_wraps_at_the_far_faces(backend: str) -> None:
    # Position 1 lies at 3.5 vertices: between the last one and the entry after it, modulo 64. Corner (3 or 4, 3 or 4,
    # 3 or 4) has entry x + 4 y + 16 z: 63, 0, 3, 4, 15, 16, 19, 20, all with weight 1/8.
    grid = _build(GridSpec(1, 4, 4, 10, 1), backend)
    _set(grid, torch.arange(64.0))
    assert grid(torch.ones(1, 3)).item() == pytest.approx(140 / 8)


def test_hashed_level_by_hand(backend: str) -> None:
    # scale 15 in 2^10 entries: position k / 15 is the middle of cell k. 2 * 2654435761 and 3 * 805459861 are 1013904226
    # and 2416379583 modulo 2^32; with 1 they xor to 2892625372, entry 476 of 1024. The other corners in the same way.
    grid = _build(GridSpec(1, 16, 16, 10, 1), backend)
    _set(grid, torch.arange(1024.0))
    entries = [476, 479, 941, 942, 311, 308, 838, 837]
    assert grid(torch.tensor([[1, 2, 3]]) / 15).item() == pytest.approx(sum(entries) / 8, rel=1e-5)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_values_against_plain_python(backend: str, spec: GridSpec) -> None:
    grid = _grid_of_size_one(spec, backend)
    positions = torch.cat([EDGES, torch.rand(20, 3, generator=_seeded(1))])
    params = grid.params.detach().cpu()
    expected = torch.tensor([_by_hand(params, spec, point) for point in positions.tolist()])
    # Rounding moves a position by its own precision, times the scale: far outside the cube that is much of a cell.
    near = positions.abs().amax(dim=1) <= 2
    tolerance = _tolerance(grid) + 2e-7 * spec.levels[-1].scale
    torch.testing.assert_close(grid(positions)[near], expected[near], atol=tolerance, rtol=0)
    assert grid(positions).abs().amax() <= 1 + 1e-6


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS.keys())
def test_values_and_gradients_against_the_oracle(backend: str, spec: GridSpec) -> None:
    _compare_with_oracle(spec, backend, torch.cat([EDGES, torch.rand(1500, 3, generator=_seeded(2)) * 1.4 - 0.2]))


@pytest.mark.parametrize("features", [1, 2, 3, 8])
def test_features_per_level(backend: str, features: int) -> None:
    _compare_with_oracle(GridSpec(3, 8, 40, 12, features), backend, torch.rand(600, 3, generator=_seeded(3)))


@pytest.mark.slow
@pytest.mark.parametrize("features", [4, 5, 6, 7])
def test_other_features_per_level(backend: str, features: int) -> None:
    _compare_with_oracle(GridSpec(3, 8, 40, 12, features), backend, torch.rand(600, 3, generator=_seeded(3)))


@pytest.mark.parametrize("log2_hashmap_size", [10, 13, 17, 21])
def test_table_sizes(backend: str, log2_hashmap_size: int) -> None:
    spec = GridSpec(4, 16, 1024, log2_hashmap_size, 2)
    _compare_with_oracle(spec, backend, torch.rand(1000, 3, generator=_seeded(4)))


@pytest.mark.parametrize("points", [1, 511, 512, 513])
def test_point_counts_around_a_block(backend: str, points: int) -> None:
    _compare_with_oracle(GridSpec(2, 8, 32, 12, 2), backend, torch.rand(points, 3, generator=_seeded(5)))


def test_no_points(backend: str) -> None:
    grid = _build(GridSpec(4, 4, 64, 10, 2), backend)
    positions = torch.zeros(0, 3, requires_grad=True)
    encoded = grid(positions)
    encoded.sum().backward()
    assert encoded.shape == (0, 8)
    assert positions.grad is not None
    assert positions.grad.shape == (0, 3)
    assert not _take_grad(grid).any()


def test_layouts_of_positions_and_gradient_do_not_matter(backend: str) -> None:
    grid = _grid_of_size_one(GridSpec(3, 4, 64, 10, 2), backend)
    positions = torch.rand(3, 100, generator=_seeded(6)).t()
    weights = torch.rand(6, 100, generator=_seeded(7))
    assert not positions.is_contiguous()
    (grid(positions).t() * weights).sum().backward()  # upstream gradient is transposed, too
    grad = _take_grad(grid)
    (grid(positions.contiguous()) * weights.t().contiguous()).sum().backward()
    _assert_same(grad, _take_grad(grid), grid)


def test_positions_of_double_precision(backend: str) -> None:
    grid = _grid_of_size_one(GridSpec(3, 4, 64, 10, 2), backend)
    positions = torch.rand(50, 3, generator=_seeded(8), dtype=torch.float64, requires_grad=True)
    encoded = grid(positions)
    encoded.sum().backward()
    assert encoded.dtype == torch.float32
    assert positions.grad is not None
    assert positions.grad.dtype == torch.float64
    torch.testing.assert_close(encoded, grid(positions.float()))


@pytest.mark.parametrize("poison", [math.nan, math.inf, -math.inf, 3e38])
def test_positions_that_are_no_numbers_stay_visible_and_harmless(backend: str, poison: float) -> None:
    grid = _grid_of_size_one(GridSpec(4, 4, 64, 10, 2), backend)
    encoded = grid(torch.tensor([[0.5, poison, 0.5], [0.25, 0.5, 0.75]]))
    encoded[1].sum().backward()
    if not math.isfinite(poison):
        assert encoded[0].isnan().all()
    assert encoded[1].isfinite().all()


def test_gradient_is_zero_where_no_position_is(backend: str) -> None:
    grid = _build(GridSpec(1, 16, 16, 12, 2), backend)
    grid(torch.full((1, 3), 8 / 15)).sum().backward()  # the middle of a cell
    rows = _take_grad(grid).view(-1, 2)
    assert rows.any(dim=1).sum() == 8
    assert rows.sum().item() == pytest.approx(2.0)  # weights add up to 1, for each feature


@pytest.mark.parametrize("spec", [GridSpec(8, 16, 512, 13, 2), GridSpec(3, 16, 128, 13, 8)], ids=str)
def test_same_bits_for_any_number_of_threads(backend: str, spec: GridSpec) -> None:
    if backend == "tcnn":
        pytest.skip("adds gradients in no fixed order")
    grid = _grid_of_size_one(spec, backend)
    positions = torch.rand(5000, 3, generator=_seeded(9))
    upstream = torch.randn(5000, spec.output_dim, generator=_seeded(10))
    results = []
    for threads in (1, 2, 1):
        torch.set_num_threads(threads)
        at = positions.clone().requires_grad_()
        encoded = grid(at)
        encoded.backward(upstream)
        results.append((encoded.detach(), _take_grad(grid), at.grad))
    for result in results[1:]:
        for first, again in zip(results[0], result, strict=True):
            assert torch.equal(first, again)


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(["numba", "reference", "tcnn"], 2)))
def test_a_checkpoint_of_one_backend_loads_into_another(source: str, target: str, standin: torch.dtype) -> None:
    spec = GridSpec(5, 4, 200, 12, 2)
    trained, other = _grid_of_size_one(spec, source), _build(spec, target)
    other.load_state_dict(trained.state_dict())
    positions = torch.rand(300, 3, generator=_seeded(11))
    torch.testing.assert_close(other(positions), trained(positions), atol=TOLERANCE, rtol=0)
    assert list(trained.state_dict()) == ["params"]
    assert trained.params.shape == (spec.num_parameters,)


def test_initial_parameters(backend: str) -> None:
    spec = GridSpec(8, 16, 512, 14, 2)
    values = _build(spec, backend, generator=_seeded(12)).params.detach().cpu()
    assert values.min() >= -1e-4
    assert values.max() <= 1e-4
    assert values.std().item() == pytest.approx(2e-4 / math.sqrt(12), rel=0.02)  # of a uniform distribution
    assert values.mean().item() == pytest.approx(0.0, abs=2e-6)
    assert torch.equal(values, _build(spec, "reference", generator=_seeded(12)).params)
    torch.manual_seed(12)
    assert torch.equal(values, _build(spec, backend).params.cpu())


def test_copies_and_pickles_are_independent(backend: str) -> None:
    grid = _grid_of_size_one(GridSpec(3, 4, 64, 10, 2), backend)
    positions = torch.rand(10, 3, generator=_seeded(13))
    grid(positions).sum().backward()
    expected = grid(positions).detach()
    for twin in (copy.deepcopy(grid), pickle.loads(pickle.dumps(grid))):
        twin.zero_grad()
        twin(positions).sum().backward()
        _assert_same(twin(positions), expected, grid)
        _assert_same(twin.params.grad, grid.params.grad, grid)
        assert twin.params.grad.data_ptr() != grid.params.grad.data_ptr()


def test_inference_mode(backend: str) -> None:
    grid = _grid_of_size_one(GridSpec(3, 4, 64, 10, 2), backend)
    positions = torch.rand(10, 3, generator=_seeded(14))
    expected = grid(positions).detach()
    with torch.inference_mode():
        _assert_same(grid(positions), expected, grid)
    with torch.no_grad():
        assert not grid(positions.requires_grad_()).requires_grad


@pytest.mark.gpu
def test_reference_on_cuda_gives_what_it_gives_on_the_cpu() -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    spec = GridSpec(5, 4, 200, 12, 2)
    here, there = _grid_of_size_one(spec, "reference"), build_grid(spec, "reference", "cuda")
    there.load_state_dict(here.state_dict())
    positions = torch.rand(300, 3, generator=_seeded(15))
    torch.testing.assert_close(there(positions.cuda()).cpu(), here(positions), atol=TOLERANCE, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("source", ["numba", "reference"])
def test_a_checkpoint_goes_to_the_gpu_and_back(source: str, real_tcnn: None) -> None:
    spec = GridSpec(5, 4, 200, 12, 2)
    trained, on_gpu, back = _grid_of_size_one(spec, source), _build(spec, "tcnn"), _build(spec, source)
    on_gpu.load_state_dict(trained.state_dict())
    positions = torch.rand(300, 3, generator=_seeded(11))
    torch.testing.assert_close(on_gpu(positions), trained(positions), atol=_tolerance(on_gpu), rtol=0)
    back.load_state_dict({name: value.cpu() for name, value in on_gpu.state_dict().items()})
    assert torch.equal(back(positions), trained(positions))


def _compare_with_oracle(spec: GridSpec, backend: str, positions: Tensor) -> None:
    """Values and both gradients, against the oracle in float32 (the same cells) and, for values, in float64."""
    grid = _grid_of_size_one(spec, backend)
    if _on_gpu(grid):  # a scale's last bit moves points that are far outside by much of a cell
        positions = positions[positions.abs().amax(dim=1) <= 2]
    upstream = torch.randn(len(positions), spec.output_dim, generator=_seeded(20))
    at, oracle_at = positions.clone().requires_grad_(), positions.clone().requires_grad_()
    params = grid.params.detach().cpu().clone().requires_grad_()
    encoded, oracle = grid(at), encode(oracle_at, params, spec)
    encoded.backward(upstream)
    oracle.backward(upstream)
    tolerance = _tolerance(grid)
    torch.testing.assert_close(encoded, oracle, atol=tolerance, rtol=0)
    assert at.grad is not None
    assert oracle_at.grad is not None
    assert params.grad is not None
    # A point that lies within rounding of a border may have the gradient of the other side.
    close = torch.isclose(at.grad, oracle_at.grad, atol=5 * tolerance * (spec.levels[-1].scale + 1), rtol=1e-5)
    assert close.all(dim=1).float().mean() >= (0.99 if _on_gpu(grid) else 1.0)
    # Up to a few hundred summands of size 1 in one entry, in another order.
    torch.testing.assert_close(_take_grad(grid), params.grad, atol=10 * tolerance, rtol=2e-5)
    inside = ((positions >= 0) & (positions <= 1)).all(dim=1)
    exact = encode(positions[inside].double(), params.detach().double(), spec)
    torch.testing.assert_close(encoded[inside].double(), exact, atol=tolerance + 2e-7 * spec.levels[-1].scale, rtol=0)


def _by_hand(params: Tensor, spec: GridSpec, point: list[float]) -> list[float]:
    """One point in plain Python: the definition, corner by corner."""
    features = spec.features_per_level
    encoded = []
    for level in spec.levels:
        at = [coordinate * level.scale + 0.5 for coordinate in point]
        totals = [0.0] * features
        for corner in itertools.product((0, 1), repeat=3):
            weight = 1.0
            vertex = []
            for place, upper in zip(at, corner, strict=True):
                fraction = place - math.floor(place)
                weight *= fraction if upper else 1 - fraction
                vertex.append((math.floor(place) + upper) % 2**32)
            x, y, z = vertex
            if level.resolution**3 <= 2**spec.log2_hashmap_size:
                index = (x + y * level.resolution + z * level.resolution**2) % 2**32
            else:
                index = x ^ (y * 2654435761 % 2**32) ^ (z * 805459861 % 2**32)
            first = (level.offset + index % level.size) * features
            for feature in range(features):
                totals[feature] += weight * params[first + feature].item()
        encoded += totals
    return encoded


def _build(spec: GridSpec, backend: str, *, generator: torch.Generator | None = None) -> GridEncoding:
    """A grid that takes and gives tensors on the CPU, wherever it computes."""
    if backend == "tcnn" and spec.features_per_level not in TCNN_FEATURES_PER_LEVEL:
        pytest.skip("tiny-cuda-nn has no such grid")
    grid = build_grid(spec, backend, generator=generator)
    if _on_gpu(grid):
        grid.cuda()
        grid.register_forward_pre_hook(_to_gpu)
        grid.register_forward_hook(_from_gpu)
    return grid


def _to_gpu(grid: GridEncoding, inputs: tuple[Tensor]) -> tuple[Tensor]:
    return (inputs[0].cuda(),)


def _from_gpu(grid: GridEncoding, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    return output.cpu()


def _on_gpu(grid: GridEncoding) -> bool:
    return grid.backend == "tcnn" and sys.modules["tinycudann"] is not tinycudann_standin


def _tolerance(grid: GridEncoding) -> float:
    """On the GPU the scale of a level may differ in its last bits."""
    return TOLERANCE + (1e-6 * grid.spec.levels[-1].scale if _on_gpu(grid) else 0.0)


def _assert_same(values: Tensor, expected: Tensor, grid: GridEncoding) -> None:
    """Bit for bit, but on the GPU."""
    torch.testing.assert_close(values, expected, atol=1e-5 if _on_gpu(grid) else 0, rtol=1e-5 if _on_gpu(grid) else 0)


def _grid_of_size_one(spec: GridSpec, backend: str) -> GridEncoding:
    """A grid with parameters between -1 and 1."""
    grid = _build(spec, backend)
    _set(grid, torch.rand(spec.num_parameters, generator=_seeded(0)) * 2 - 1)
    return grid


def _set(grid: GridEncoding, values: Tensor) -> None:
    with torch.no_grad():
        grid.params.copy_(values)


def _take_grad(grid: GridEncoding) -> Tensor:
    assert grid.params.grad is not None
    grad = grid.params.grad.cpu().clone()
    grid.params.grad = None
    return grad


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
