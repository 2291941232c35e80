"""Our parameters in tiny-cuda-nn's layout: by hand, and through a stand-in that computes from that layout."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from f3rm_core import Report, TrainResult, build_config, load_scene, train
from f3rm_core.encodings.base import GridSpec, build_grid
from f3rm_core.errors import InvalidParameter
from f3rm_core.model.fields import DensityField, FeatureField, RadianceField
from f3rm_core.model.operations import PLAIN, operations_for
from f3rm_core.model.tcnn_network import NetworkShape, network, pack
from f3rm_core.training.checkpoint import load_checkpoint
from tests.f3rm_core import tinycudann_standin

GRID = GridSpec(3, 4, 64, 10, 2)  # 6 features of a point, 4224 parameters
SHAPES = {
    "a proposal network": NetworkShape(GRID, 0, (16, 1)),
    "a geometry MLP": NetworkShape(GridSpec(8, 4, 64, 10, 2), 0, (64, 16)),
    "three layers": NetworkShape(GRID, 0, (32, 32, 16)),
    "a feature MLP": NetworkShape(GRID, 6, (64, 64)),
    "a feature MLP without positional encoding": NetworkShape(GRID, 0, (64, 64)),
    "a deep feature MLP": NetworkShape(GRID, 1, (128, 128, 128, 128)),
    "one layer": NetworkShape(GRID, 0, (20,)),
    "one layer with a positional encoding": NetworkShape(GRID, 2, (16,)),
    "an odd number of waves": NetworkShape(GridSpec(4, 4, 64, 10, 1), 3, (16, 5)),
    "a width for CUTLASS": NetworkShape(GRID, 2, (48, 48, 7)),
    "an input that needs no padding": NetworkShape(GridSpec(8, 4, 64, 10, 2), 0, (16, 16)),
}
shapes = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
in_single_precision = pytest.mark.parametrize("standin", [torch.float32], indirect=True)


def test_a_tiny_network_by_hand() -> None:
    """One level of one entry and two features, one band, one unit: every number has its place."""
    grid = GridSpec(1, 1, 1, 10, 2)
    assert grid.num_parameters == 16  # an entry, rounded up to eight
    # Columns of ours: 2 features, sines of x y z, cosines of x y z.
    weights = [torch.tensor([[1.0, 2, 11, 12, 13, 21, 22, 23]]), torch.tensor([[5.0], [6.0]])]
    packed = pack(NetworkShape(grid, 1, (1, 2)), weights, torch.arange(100.0, 116.0), torch.float32)
    expected = torch.zeros(16 + 16 + 16)
    expected[:8] = torch.tensor([1.0, 2, 11, 21, 12, 22, 13, 23])  # sine and cosine of x, of y, of z; then padding
    expected[16:18] = torch.tensor([5.0, 6.0])  # [16, 1], of which 14 rows are padding
    expected[32:] = torch.arange(100.0, 116.0)
    assert torch.equal(packed, expected)


def test_two_bands_by_hand() -> None:
    """Ours: sines of (x, 1), (x, 2), (y, 1) ..., then cosines. There: x first, with sine and cosine of each band."""
    grid = GridSpec(1, 1, 1, 10, 1)
    weight = torch.arange(13.0)[None]
    packed = pack(NetworkShape(grid, 2, (1,)), [weight], torch.zeros(8), torch.float32)
    assert packed[:16].tolist() == [0, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11, 6, 12, 0, 0, 0]
    assert not packed[16:].any()


def test_rows_and_columns_are_padded_apart() -> None:
    weights = [torch.ones(32, 6), 2 * torch.ones(32, 32), 3 * torch.ones(3, 32)]
    shape = NetworkShape(GRID, 0, (32, 32, 3))
    packed = pack(shape, weights, torch.full((GRID.num_parameters,), 4.0), torch.float16)
    assert packed.dtype == torch.float16
    assert len(packed) == shape.num_parameters == 32 * 16 + 32 * 32 + 16 * 32 + 4224
    first, second, last, table = packed.split([32 * 16, 32 * 32, 16 * 32, 4224])
    assert torch.equal(first.view(32, 16), torch.tensor([1.0] * 6 + [0.0] * 10).expand(32, 16).half())
    assert (second == 2).all()
    assert last.view(16, 32)[:, 0].tolist() == [3.0] * 3 + [0.0] * 13
    assert (table == 4).all()


@shapes
def test_gradients_come_back_to_their_places(shape: NetworkShape) -> None:
    """Each number's gradient is taken out of the packed vector by position: packing copies, and changes nothing."""
    weights, table = parameters(shape)
    packed = pack(shape, weights, table, torch.float32)
    gradient = random(len(packed), seed=3)
    places = pack(shape, [torch.ones_like(one) for one in weights], torch.ones_like(table), torch.float32).bool()
    found = torch.autograd.grad((packed * gradient).sum(), [*weights, table])
    assert sorted(torch.cat([one.flatten() for one in found]).tolist()) == sorted(gradient[places].tolist())
    assert torch.equal(pack(shape, found[:-1], found[-1], torch.float32), gradient * places)


@pytest.mark.parametrize(
    ("shape", "otype", "neurons", "hidden_layers"),
    [
        (NetworkShape(GRID, 0, (16, 1)), "FullyFusedMLP", 16, 1),
        (NetworkShape(GRID, 6, (128, 128, 64)), "FullyFusedMLP", 128, 2),
        (NetworkShape(GRID, 0, (48, 1)), "CutlassMLP", 48, 1),
        (NetworkShape(GRID, 0, (256, 1)), "CutlassMLP", 256, 1),
        (NetworkShape(GRID, 0, (16,)), "CutlassMLP", 16, 0),
        # 32 levels of 8: 2 * (128 + 16) * (256 + 8) bytes are more than 64 KiB
        (NetworkShape(GridSpec(32, 4, 64, 10, 8), 0, (128, 1)), "CutlassMLP", 128, 1),
    ],
    ids=str,
)
def test_the_network_in_tiny_cuda_nns_words(shape: NetworkShape, otype: str, neurons: int, hidden_layers: int) -> None:
    assert shape.config == {
        "otype": otype,
        "activation": "ReLU",
        "output_activation": "None",
        "n_neurons": neurons,
        "n_hidden_layers": hidden_layers,
    }


@pytest.mark.parametrize("widths", [(20, 1), (16, 32, 1), (1, 1)])
def test_widths_that_tiny_cuda_nn_has_no_network_for(widths: tuple[int, ...]) -> None:
    assert NetworkShape(GRID, 0, widths).config is None


def test_the_encoding_in_tiny_cuda_nns_words() -> None:
    config = NetworkShape(GRID, 6, (64, 64)).encoding_config
    assert config["otype"] == "Composite"
    assert config["nested"][0]["otype"] == "HashGrid"
    assert config["nested"][1] == {"n_dims_to_encode": 3, "otype": "Frequency", "n_frequencies": 6}
    assert NetworkShape(GRID, 0, (64, 64)).encoding_config["otype"] == "HashGrid"


@in_single_precision
@shapes
def test_one_call_gives_what_grid_and_network_give(shape: NetworkShape, standin: torch.dtype) -> None:
    compare(shape, "cpu", torch.float32, value_error=1e-6, gradient_error=1e-5)


@shapes
def test_one_call_in_half_precision(shape: NetworkShape, standin: torch.dtype) -> None:
    compare(shape, "cpu", torch.float16, value_error=2e-3, gradient_error=0.06)


@pytest.mark.usefixtures("standin")
class TestWithAStandIn:
    def test_without_autocast_no_network_is_built(self) -> None:
        shape = SHAPES["a feature MLP"]
        assert relative_error(fused(shape, random(10, 3), autocast=None), plain(shape, random(10, 3))) < 1e-6
        assert network.cache_info().currsize == 0

    def test_no_points(self) -> None:
        out = fused(SHAPES["a feature MLP"], torch.zeros(0, 3), autocast="cpu")
        assert out.shape == (0, 64)

    def test_other_widths_take_the_grid_alone(self) -> None:
        shape = NetworkShape(GRID, 2, (20, 20))
        out = fused(shape, random(10, 3), autocast="cpu")
        assert relative_error(out, plain(shape, random(10, 3))) < 0.02  # CPU's autocast is to bfloat16
        assert network.cache_info().currsize == 0

    def test_networks_of_one_shape_share_a_module_and_no_parameters(self) -> None:
        shape, points = SHAPES["a proposal network"], random(10, 3)
        first, second = fused(shape, points, autocast="cpu"), fused(shape, points, autocast="cpu", seed=7)
        assert network.cache_info().currsize == 1
        assert not torch.allclose(first, second)
        assert relative_error(second, plain(shape, points, seed=7)) < 5e-3

    def test_a_network_of_another_size_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tinycudann_standin, "_multiple", lambda value, of: -(-value // 8) * 8)
        with pytest.raises(InvalidParameter) as caught:
            network(NetworkShape(GRID, 0, (16, 1)))
        assert str(caught.value) == (
            "encoding_backend='tcnn': this tinycudann has 4480 parameters for a network of 4736; "
            "use encoding_backend reference"
        )

    def test_tables_that_are_read_in_another_way_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = tinycudann_standin.level_table
        monkeypatch.setattr(
            tinycudann_standin, "level_table", lambda *given: [(scale, 5, size) for scale, _, size in real(*given)]
        )
        with pytest.raises(InvalidParameter, match="reads the tables of levels 0, 1, 2 in another way"):
            fused(SHAPES["a proposal network"], random(1, 3), autocast="cpu")

    def test_positions_get_their_gradient(self) -> None:
        shape = SHAPES["a feature MLP"]
        at, expected_at = random(50, 3).requires_grad_(), random(50, 3).requires_grad_()
        fused(shape, at, autocast="cpu").float().sum().backward()
        plain(shape, expected_at).sum().backward()
        assert at.grad is not None
        assert expected_at.grad is not None
        assert relative_error(at.grad, expected_at.grad) < 0.02

    def test_fields_give_the_same_and_have_the_same_parameters(self) -> None:
        for field, run in fields("tcnn"):
            for other, run_other in fields("reference"):
                if type(field) is not type(other):
                    continue
                field.load_state_dict(other.state_dict())
                assert list(field.state_dict()) == list(other.state_dict())
                with torch.autocast("cpu"):
                    half = run(field)
                assert relative_error(half, run_other(other)) < 0.01
                assert relative_error(run(field), run_other(other)) < 1e-5

    def test_a_run_says_that_it_used_it(
        self, tiny_scene: Path, tiny_parameters: dict[str, Any], tmp_path: Path
    ) -> None:
        def run(backend: str) -> TrainResult:
            config = build_config({**tiny_parameters, "encoding_backend": backend})
            return train(config, load_scene(str(tiny_scene)), budget_steps=3, checkpoint_dir=tmp_path / backend)

        tcnn, reference = run("tcnn"), run("reference")
        assert (tcnn.backend, reference.backend) == ("tcnn", "reference")
        assert tcnn.metrics["psnr"] == pytest.approx(reference.metrics["psnr"], abs=1e-2)
        assert tcnn.checkpoint is not None
        assert reference.checkpoint is not None
        states = [load_checkpoint(one)["model"] for one in (tcnn.checkpoint, reference.checkpoint)]
        assert {name: one.shape for name, one in states[0].items()} == {
            name: one.shape for name, one in states[1].items()
        }


@pytest.mark.gpu
@pytest.mark.usefixtures("real_tcnn", "fresh_tcnn")
class TestOnAGpu:
    @shapes
    def test_one_call_gives_what_grid_and_network_give(self, shape: NetworkShape) -> None:
        compare(shape, "cuda", torch.float16, value_error=5e-3, gradient_error=0.1)

    def test_fields_give_what_they_give_on_the_cpu(self) -> None:
        for (field, run), (other, run_other) in zip(fields("tcnn"), fields("reference"), strict=True):
            field.load_state_dict(other.state_dict())
            field.cuda()
            with torch.autocast("cuda"):
                half = run(field)
            assert relative_error(half, run_other(other)) < 0.02
            assert relative_error(run(field), run_other(other)) < 1e-3

    @pytest.mark.parametrize("mixed_precision", [True, False])
    def test_a_training_learns(self, mixed_precision: bool, tiny_scene: Path, tiny_parameters: dict[str, Any]) -> None:
        reports: list[Report] = []
        config = build_config({**tiny_parameters, "encoding_backend": "tcnn", "mixed_precision": mixed_precision})
        first = train(config, load_scene(str(tiny_scene)), budget_steps=1, on_report=reports.append)
        last = train(config, load_scene(str(tiny_scene)), budget_steps=50, on_report=reports.append)
        assert (last.backend, last.device) == ("tcnn", "cuda")
        assert reports[-1].loss < 0.8 * reports[0].loss
        assert last.metrics["psnr"] > first.metrics["psnr"] + 1.0

    def test_a_checkpoint_of_another_backend_renders_the_same(
        self, tiny_scene: Path, tiny_parameters: dict[str, Any], tmp_path: Path
    ) -> None:
        def run(backend: str, **arguments: Any) -> TrainResult:
            config = build_config({**tiny_parameters, "encoding_backend": backend})
            return train(config, load_scene(str(tiny_scene)), budget_steps=30, **arguments)

        trained = run("reference", checkpoint_dir=tmp_path)
        rendered = run("tcnn", resume_from=tmp_path)  # nothing is left to train: it is only scored
        assert (trained.backend, rendered.backend) == ("reference", "tcnn")
        for name in ("psnr", "ssim", "feature_cosine", "feature_mse"):
            assert rendered.metrics[name] == pytest.approx(trained.metrics[name], rel=2e-3)


def compare(shape: NetworkShape, device: str, dtype: torch.dtype, *, value_error: float, gradient_error: float) -> None:
    """Values and gradients against the reference's, with points that tinycudann pads to a batch and without.

    Errors are relative and of the whole: in half precision a unit may be on the other side of its ReLU at a point.
    """
    for points in (100, 256):
        positions = random(points, 3)
        weights, table = parameters(shape)
        expected = evaluate(shape, "reference", weights, table, positions)
        upstream = random(points, shape.widths[-1], seed=5)
        gradients = torch.autograd.grad(expected, [*weights, table], upstream)
        moved = [one.detach().to(device).requires_grad_() for one in (*weights, table)]
        with torch.autocast(device):
            found = evaluate(shape, "tcnn", moved[:-1], moved[-1], positions.to(device))
        assert found.dtype == dtype
        assert relative_error(found, expected) < value_error
        found_gradients = torch.autograd.grad(found, moved, upstream.to(device, dtype))
        for gradient, one in zip(gradients, found_gradients, strict=True):
            assert relative_error(one, gradient) < gradient_error


def relative_error(found: Tensor, expected: Tensor) -> float:
    found, expected = found.detach().float().cpu(), expected.detach()
    return float((found - expected).norm() / expected.norm())


def evaluate(shape: NetworkShape, backend: str, weights: list[Tensor], table: Tensor, points: Tensor) -> Tensor:
    grid = build_grid(shape.grid, backend)
    del grid.params
    grid.params = table  # a tensor in its place, so that gradients come to it
    out: Tensor = operations_for(backend).encoded_mlp(grid, weights, points, shape.frequencies)
    return out


def parameters(shape: NetworkShape, seed: int = 0) -> tuple[list[Tensor], Tensor]:
    """Weights that keep the size of what goes through them; a table of numbers between -1 and 1."""
    weights = [
        ((2 * random(fan_out, fan_in, seed=seed + layer) - 1) * (6 / fan_in) ** 0.5).requires_grad_()
        for layer, (fan_in, fan_out) in enumerate(pairwise([shape.encoded, *shape.widths]))
    ]
    return weights, (2 * random(shape.grid.num_parameters, seed=seed + 99) - 1).requires_grad_()


def fused(shape: NetworkShape, points: Tensor, *, autocast: str | None, seed: int = 0) -> Tensor:
    weights, table = parameters(shape, seed)
    with torch.autocast(autocast or "cpu", enabled=autocast is not None):
        return evaluate(shape, "tcnn", weights, table, points)


def plain(shape: NetworkShape, points: Tensor, seed: int = 0) -> Tensor:
    weights, table = parameters(shape, seed)
    return evaluate(shape, "reference", weights, table, points)


def fields(backend: str) -> list[tuple[torch.nn.Module, Callable[[Any], Tensor]]]:
    """One of each field, and what runs it."""
    common: dict[str, Any] = {"backend": backend, "operations": operations_for(backend)}
    torch.manual_seed(0)
    density = DensityField(GridSpec(5, 4, 64, 10, 2), 16, **common)
    radiance = RadianceField(
        GridSpec(8, 4, 64, 12, 2),
        num_images=2,
        hidden_dim=64,
        num_layers=2,
        hidden_dim_color=64,
        num_layers_color=3,
        appearance_embed_dim=4,
        **common,
    )
    feature = FeatureField(GridSpec(3, 4, 32, 10, 8), channels=20, hidden_dim=64, num_layers=2, frequencies=6, **common)
    for one in (density, radiance, feature):
        with torch.no_grad():
            one.grid.params.uniform_(-1, 1)
    weights = random(6, 5, seed=8)

    def place(one: torch.nn.Module, tensor: Tensor) -> Tensor:
        return tensor.to(next(one.parameters()).device)

    positions = random(6, 5, 3)
    return [
        (density, lambda one: one(place(one, positions))),
        (radiance, lambda one: one(place(one, positions))),
        (feature, lambda one: one(place(one, positions), place(one, weights))),
    ]


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def test_the_plain_operations_stay_the_oracles() -> None:
    assert operations_for("reference") is PLAIN
