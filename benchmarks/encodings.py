"""Hash grids alone: forward and backward against nerfstudio's torch HashEncoding, in one run on one machine.

    python benchmarks/encodings.py [--points 49152] [--threads 2] [--repeats 7] [--backend numba] [--json]

Both get the same positions, uniform in the cube: the worst case for memory, as rays through a scene share entries.
Repeats of the two alternate, so that both see the same load; figures are medians. Compilation, which the first run on
a machine pays for once, is counted apart. nerfstudio's encoding has no dense levels, hence more parameters at the same
settings.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from f3rm_core.encodings.base import GridEncoding, GridSpec, build_grid

GRIDS = {
    "radiance": GridSpec(16, 16, 2048, 19, 2),
    "feature": GridSpec(12, 16, 128, 19, 8, prefix="feat_"),
    "proposal": GridSpec(5, 16, 128, 17, 2),
}


@dataclass(frozen=True)
class Row:
    """One grid's result; times are medians in milliseconds."""

    grid: str
    backend: str
    parameters: int
    forward_ms: float
    backward_ms: float
    total_ms: float
    warm_up_seconds: float
    nerfstudio_parameters: int
    nerfstudio_total_ms: float
    ratio: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--grid", choices=GRIDS, action="append", help="default: all")
    parser.add_argument("--points", type=int, default=49_152, help="1024 rays of 48 samples")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    rows = [
        _measure(name, GRIDS[name], arguments.backend, arguments.points, arguments.repeats)
        for name in arguments.grid or GRIDS
    ]
    if arguments.json:
        settings = {"points": arguments.points, "threads": arguments.threads, "repeats": arguments.repeats}
        print(json.dumps(settings | {"rows": [asdict(row) for row in rows]}))
    else:
        print(_table(rows))


def _measure(name: str, spec: GridSpec, backend: str, points: int, repeats: int) -> Row:
    torch.manual_seed(0)
    positions = torch.rand(points, 3)
    upstream = torch.rand(points, spec.output_dim)
    grid = build_grid(spec, backend)
    start = time.perf_counter()
    grid.warm_up()
    warm_up_seconds = time.perf_counter() - start
    baseline = _nerfstudio_encoding(spec)

    forwards, backwards, baselines = [], [], []
    for repeat in range(repeats + 1):
        forward, backward = _forward_and_backward(grid, positions, upstream)
        baseline_total = sum(_forward_and_backward(baseline, positions, upstream))
        if repeat > 0:  # the first one touches fresh memory
            forwards.append(forward)
            backwards.append(backward)
            baselines.append(baseline_total)

    totals = [forward + backward for forward, backward in zip(forwards, backwards, strict=True)]
    return Row(
        grid=name,
        backend=grid.backend,
        parameters=_parameters(grid),
        forward_ms=1e3 * statistics.median(forwards),
        backward_ms=1e3 * statistics.median(backwards),
        total_ms=1e3 * statistics.median(totals),
        warm_up_seconds=warm_up_seconds,
        nerfstudio_parameters=_parameters(baseline),
        nerfstudio_total_ms=1e3 * statistics.median(baselines),
        ratio=statistics.median(baselines) / statistics.median(totals),
    )


def _forward_and_backward(
    encoding: Callable[[Tensor], Tensor],
    positions: Tensor,  # [points, 3]
    upstream: Tensor,  # [points, levels * features]
) -> tuple[float, float]:  # seconds
    start = time.perf_counter()
    encoded = encoding(positions)
    middle = time.perf_counter()
    encoded.backward(upstream)
    end = time.perf_counter()
    assert isinstance(encoding, torch.nn.Module)
    encoding.zero_grad(set_to_none=True)
    return middle - start, end - middle


def _nerfstudio_encoding(spec: GridSpec) -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from nerfstudio.field_components.encodings import HashEncoding

    encoding: torch.nn.Module = HashEncoding(
        num_levels=spec.num_levels,
        min_res=spec.base_res,
        max_res=spec.max_res,
        log2_hashmap_size=spec.log2_hashmap_size,
        features_per_level=spec.features_per_level,
        implementation="torch",
    )
    return encoding


def _parameters(encoding: GridEncoding | torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in encoding.parameters())


def _table(rows: list[Row]) -> str:
    lines = [
        "| grid | backend | parameters | forward ms | backward ms | total ms | nerfstudio ms | parameters | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        ours = f"{row.parameters / 1e6:.1f}M | {row.forward_ms:.1f} | {row.backward_ms:.1f} | {row.total_ms:.1f}"
        theirs = f"{row.nerfstudio_total_ms:.0f} | {row.nerfstudio_parameters / 1e6:.1f}M"
        lines.append(f"| {row.grid} | {row.backend} | {ours} | {theirs} | {row.ratio:.1f} |")
    compiled = ", ".join(f"{row.grid} {row.warm_up_seconds:.1f} s" for row in rows)
    return "\n".join([*lines, "", f"Compiling the kernels, or loading them from the cache: {compiled}."])


if __name__ == "__main__":
    main()
