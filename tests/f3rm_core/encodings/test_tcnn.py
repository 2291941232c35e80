"""The adapter to tiny-cuda-nn: what it hands over, what it refuses, and what it does with a tinycudann that is broken.

What it computes is in the conformance suite.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from f3rm_core import check_parameters, describe_environment
from f3rm_core.encodings import tcnn
from f3rm_core.encodings.base import GridSpec, build_grid, resolve_backend
from f3rm_core.encodings.reference import encode
from f3rm_core.encodings.spec import require_tcnn_features
from f3rm_core.encodings.tcnn import TcnnGridEncoding, grid_config, obstacle
from f3rm_core.errors import InvalidParameter
from tests.f3rm_core import tinycudann_standin

RADIANCE_GRID = GridSpec(16, 16, 2048, 19, 2)
FEATURE_GRID = GridSpec(12, 16, 128, 19, 8, prefix="feat_")
SMALL = GridSpec(3, 4, 64, 10, 2)
SPECS = [
    RADIANCE_GRID,
    FEATURE_GRID,
    GridSpec(5, 16, 128, 17, 2),  # proposal networks
    GridSpec(5, 16, 256, 17, 2),
    GridSpec(8, 16, 4096, 21, 4),
    GridSpec(16, 16, 8192, 21, 2),
    GridSpec(1, 5, 5, 10, 1),
    GridSpec(2, 1, 65536, 24, 8),
    GridSpec(32, 16, 65536, 10, 1),
]


def test_the_grid_in_tiny_cuda_nns_words() -> None:
    assert grid_config(FEATURE_GRID) == {
        "otype": "HashGrid",
        "n_levels": 12,
        "n_features_per_level": 8,
        "log2_hashmap_size": 19,
        "base_resolution": 16,
        "per_level_scale": pytest.approx(8 ** (1 / 11), rel=1e-12),
        "interpolation": "Linear",
        "hash": "CoherentPrime",
    }
    assert grid_config(GridSpec(1, 16, 2048, 19, 2))["per_level_scale"] == 1.0


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_levels_have_the_sizes_that_tiny_cuda_nn_works_out(spec: GridSpec) -> None:
    config = grid_config(spec)
    table = tinycudann_standin.level_table(
        config["n_levels"], config["log2_hashmap_size"], config["base_resolution"], config["per_level_scale"]
    )
    assert [(level.scale, level.resolution, level.size) for level in spec.levels] == table


def test_sizes_worked_out_by_hand() -> None:
    # growth 2^(1/2): 4, 5.66 and 8 vertices; 64, 216 (6^3) and 512 entries. In 2^8 entries the last one is hashed.
    assert [size for _, _, size in tinycudann_standin.level_table(3, 8, 4, math.sqrt(2))] == [64, 216, 256]


@pytest.mark.usefixtures("standin")
class TestWithAStandIn:
    def test_half_precision_under_autocast_only(self) -> None:
        grid, points = grid_of_size_one(SMALL), random(100, 3)
        exact = encode(points, grid.params, SMALL)
        torch.testing.assert_close(grid(points), exact, atol=2e-6, rtol=0)
        with torch.autocast("cpu"):
            half = grid(points)
        assert half.dtype == torch.float16
        torch.testing.assert_close(half.float(), exact, atol=2e-3, rtol=0)
        half.float().sum().backward()
        assert grid.params.grad is not None
        assert grid.params.grad.dtype == torch.float32
        torch.testing.assert_close(grid.params.grad, *gradient_of_sum(grid, points), atol=0.05, rtol=2e-3)

    @pytest.mark.parametrize("standin", [torch.float32], indirect=True)
    def test_a_build_that_prefers_single_precision(self, standin: torch.dtype) -> None:
        grid, points = grid_of_size_one(SMALL), random(100, 3)
        with torch.autocast("cpu"):
            torch.testing.assert_close(grid(points), encode(points, grid.params, SMALL), atol=2e-6, rtol=0)

    def test_no_points_under_autocast(self) -> None:
        grid = build_grid(SMALL, "tcnn")
        with torch.autocast("cpu"):
            encoded = grid(torch.zeros(0, 3))
        assert encoded.shape == (0, 6)
        assert encoded.dtype == torch.float16

    @pytest.mark.parametrize("points", [1, 255, 256, 257])
    def test_gradients_of_any_layout(self, points: int) -> None:
        """256 points need no padding: then the gradient reaches tinycudann as it comes."""
        grid, positions = grid_of_size_one(SMALL), random(points, 3)
        upstream = random(6, points)
        (grid(positions).t() * upstream).sum().backward()
        (expected,) = torch.autograd.grad((encode(positions, grid.params, SMALL).t() * upstream).sum(), grid.params)
        torch.testing.assert_close(grid.params.grad, expected, atol=2e-5, rtol=2e-5)

    def test_its_only_parameters_are_ours(self) -> None:
        grid = build_grid(SMALL, "tcnn")
        with torch.autocast("cpu"):
            grid(random(1, 3))
        assert [(name, len(one)) for name, one in grid.named_parameters()] == [("params", SMALL.num_parameters)]
        assert list(grid.state_dict()) == ["params"]
        assert list(grid.children()) == []
        assert isinstance(grid, TcnnGridEncoding)
        for native in (grid._single, grid._half):  # each would hold a table as large as ours
            assert [len(one) for one in native._module.parameters()] == [0]

    @pytest.mark.parametrize(("features", "prefix"), [(3, ""), (5, "feat_"), (6, "feat_"), (7, "")])
    def test_features_that_tiny_cuda_nn_does_not_have(self, features: int, prefix: str) -> None:
        with pytest.raises(InvalidParameter) as caught:
            build_grid(GridSpec(2, 4, 8, 10, features, prefix=prefix), "tcnn")
        assert str(caught.value) == (
            f"{prefix}features_per_level={features}: tiny-cuda-nn has 1, 2, 4 and 8: "
            "take one of these, or encoding_backend reference"
        )

    def test_tables_of_other_sizes_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tinycudann_standin, "level_table", lambda *_: [(3.0, 4, 64)])
        with pytest.raises(InvalidParameter) as caught:
            build_grid(GridSpec(1, 5, 5, 10, 2, prefix="feat_"), "tcnn")
        assert str(caught.value) == (
            "encoding_backend='tcnn': this tinycudann has 128 parameters for a grid of 256 (feat_max_res=5); "
            "use encoding_backend reference"
        )

    @pytest.mark.parametrize("level", [0, 1])
    def test_tables_that_are_read_in_another_way_are_refused(self, level: int, monkeypatch: pytest.MonkeyPatch) -> None:
        """A dense level's resolution is one too high: what a scale that is off by its last bit does."""
        real = tinycudann_standin.level_table

        def one_more_vertex(*arguments: Any) -> list[tuple[float, int, int]]:
            levels = real(*arguments)
            scale, resolution, size = levels[level]
            levels[level] = (scale, resolution + 1, size)
            return levels

        spec = GridSpec(3, 4, 16, 16, 2)
        build_grid(spec, "tcnn")(random(1, 3))
        monkeypatch.setattr(tinycudann_standin, "level_table", one_more_vertex)
        with pytest.raises(InvalidParameter, match=f"reads the tables of levels {level} in another way"):
            build_grid(spec, "tcnn")(random(1, 3))

    @pytest.mark.parametrize("spec", [RADIANCE_GRID, FEATURE_GRID], ids=str)
    def test_documented_grids_pass_the_check(self, spec: GridSpec) -> None:
        grid = build_grid(spec, "tcnn")
        assert isinstance(grid, TcnnGridEncoding)
        grid.check_tables()

    def test_what_tinycudann_refuses_is_one_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tinycudann_standin, "Encoding", failing(RuntimeError("no half\nprecision")))
        with pytest.raises(InvalidParameter, match="can't do this \\(no half precision\\); use encoding_backend ref"):
            build_grid(SMALL, "tcnn")

    def test_doctor_says_that_it_is_there(self) -> None:
        assert describe_environment()["tinycudann"] == "installed"

    @pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate it")])
    def test_lack_of_memory_stays_lack_of_memory(self, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tinycudann_standin, "Encoding", failing(error))
        with pytest.raises(type(error), match=r"memory|allocate"):
            build_grid(SMALL, "tcnn")

    def test_tensors_elsewhere_are_refused(self) -> None:
        grid = build_grid(SMALL, "tcnn").to("meta")
        with pytest.raises(InvalidParameter) as caught:
            grid(torch.zeros(1, 3))
        assert str(caught.value) == "encoding_backend='tcnn': runs on cpu only, not on meta; use encoding_backend auto"


@pytest.mark.parametrize(("name", "value"), [("features_per_level", 3), ("feat_features_per_level", 6)])
def test_a_configuration_is_refused_without_tinycudann(name: str, value: int) -> None:
    check_parameters({name: value})
    check_parameters({name: 4, "encoding_backend": "tcnn"})
    with pytest.raises(InvalidParameter, match=f"{name}={value}: tiny-cuda-nn has 1, 2, 4 and 8"):
        check_parameters({name: value, "encoding_backend": "tcnn"})


def test_features_are_checked_without_tinycudann() -> None:
    require_tcnn_features(features_per_level=1, feat_features_per_level=8)
    with pytest.raises(InvalidParameter, match="feat_features_per_level=3: tiny-cuda-nn has 1, 2, 4 and 8"):
        require_tcnn_features(features_per_level=2, feat_features_per_level=3)


@pytest.mark.usefixtures("fresh_tcnn")
class TestBroken:
    @pytest.mark.parametrize(
        ("code", "found"),
        [
            (
                "raise OSError('Could not find compatible tinycudann extension for compute capability 90.')",
                "can't be imported (Could not find compatible tinycudann extension for compute capability 90.)",
            ),
            ("import of_another_package", "can't be imported (No module named 'of_another_package')"),
            ("raise ImportError('undefined\\n symbol')", "can't be imported (undefined symbol)"),
            ("_C", "can't be imported (name '_C' is not defined)"),
        ],
    )
    def test_auto_does_without_and_its_name_is_an_error(
        self, code: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        install(code, tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "tinycudann", raising=False)
        assert obstacle() == found
        assert resolve_backend("auto", "cuda") == "reference"
        assert describe_environment()["tinycudann"] == f"not usable: {found}"
        with pytest.raises(InvalidParameter) as caught:
            resolve_backend("tcnn", "cuda")
        assert str(caught.value) == f"encoding_backend='tcnn': tinycudann {found}; see docs/cuda.md, or use auto"

    def test_none_at_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "tinycudann", None)
        assert obstacle() == "is not installed"
        assert describe_environment()["tinycudann"] == "not installed"


@pytest.mark.slow
def test_nerfstudio_is_kept_from_a_broken_one(tmp_path: Path) -> None:
    """nerfstudio imports tinycudann itself."""
    install("raise OSError('Could not find compatible tinycudann extension for compute capability 90.')", tmp_path)
    code = "import f3rm_core; print(f3rm_core.build_config({}).method_name, f3rm_core.describe_environment())"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("f3rm ")
    assert "'tinycudann': \"not usable: can't be imported (Could not find compatible tinycudann extension" in run.stdout


@pytest.mark.gpu
@pytest.mark.usefixtures("real_tcnn")
class TestOnAGpu:
    def test_half_precision_under_autocast(self) -> None:
        grid, points = grid_of_size_one(SMALL).cuda(), random(1000, 3).cuda()
        with torch.autocast("cuda"):
            half = grid(points)
        assert half.dtype == torch.float16
        torch.testing.assert_close(half.float(), encode(points, grid.params, SMALL), atol=5e-3, rtol=0)
        half.float().sum().backward()
        assert grid.params.grad is not None
        torch.testing.assert_close(grid.params.grad, *gradient_of_sum(grid, points), atol=0.5, rtol=2e-2)

    @pytest.mark.parametrize("spec", SPECS[:-1], ids=str)
    def test_documented_grids_pass_the_check(self, spec: GridSpec) -> None:
        grid = build_grid(spec, "tcnn", "cuda")
        assert isinstance(grid, TcnnGridEncoding)
        grid.check_tables()

    def test_the_cpu_is_refused(self) -> None:
        with pytest.raises(InvalidParameter, match="runs on cuda only, not on cpu; use encoding_backend auto"):
            build_grid(SMALL, "tcnn", "cpu")(random(1, 3))


def grid_of_size_one(spec: GridSpec) -> TcnnGridEncoding:
    grid = build_grid(spec, "tcnn")
    assert isinstance(grid, TcnnGridEncoding)
    with torch.no_grad():
        grid.params.uniform_(-1, 1, generator=torch.Generator().manual_seed(1))
    return grid


def gradient_of_sum(grid: TcnnGridEncoding, points: torch.Tensor) -> tuple[torch.Tensor, ...]:
    params = grid.params.detach().clone().requires_grad_()
    return torch.autograd.grad(encode(points, params, grid.spec).sum(), params)


def random(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def install(code: str, folder: Path) -> None:
    (folder / "tinycudann").mkdir()
    (folder / "tinycudann" / "__init__.py").write_text(code)


def failing(error: Exception) -> Any:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    return fail


def test_only_one_file_imports_tinycudann() -> None:
    root = Path(tcnn.__file__).parents[2]
    users = [
        path.name
        for package in ("f3rm_core", "sweeps", "service")
        for path in (root / package).rglob("*.py")
        if "import tinycudann" in path.read_text()
    ]
    assert users == ["tcnn.py"]
