"""The least time that a training step can take on this machine, part by part, beside what it takes.

    python -m benchmarks.lower_bound [--config default] [--rays 1024] [--threads 1] [--steps 10]

Work is counted from the sizes: products of the networks, table entries that the grids read and add to, bytes that
Adam moves. Rates are measured here, on the simplest code for each: a large matrix product, reading and writing
memory (for the grids, as much as a level's table, as each entry at a random place costs a line of the cache). What lies
between the parts (activations, sampling, rendering, losses) counts as nothing, as it could stay in the caches: the sum
is a bound, not a goal.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.profiler import ProfilerActivity, profile

from benchmarks.step import Step
from benchmarks.step_work import WARM_UP_STEPS, WORK, random_batch
from f3rm_core.model.f3rm import grid_specs
from f3rm_core.training.allocator import reuse_memory

LINE_BYTES = 64
OPERATIONS = {
    "hash grids": ("_Encode", "_EncodeBackward"),
    "networks": ("_ChunkedMLP", "_ChunkedMLPBackward", "aten::mm", "aten::addmm_", "aten::addmm"),
    "Adam": ("Optimizer.step#Adam.step",),
}
"""Part -> names of what the profiler times for it."""


@dataclass(frozen=True)
class Part:
    """One part of a step.

    Args:
        name: of the part.
        work: in words, with unit.
        rate: what this machine can, with unit.
        bound_ms: work over rate.
        measured_ms: what the part takes.
    """

    name: str
    work: str
    rate: str
    bound_ms: float
    measured_ms: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", choices=WORK, default="default")
    parser.add_argument("--rays", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with reuse_memory():
        step = Step(WORK[arguments.config], updates="always")
        measured, total_ms = _profile(step, arguments.config, arguments.rays, arguments.steps)
    parts = [
        _grids(step, arguments.rays, measured["hash grids"]),
        _networks(step, arguments.rays, measured["networks"]),
        _adam(step, measured["Adam"]),
    ]
    parts.append(Part("the rest", "-", "-", 0.0, total_ms - sum(part.measured_ms for part in parts)))
    Console(width=120).print(_table(parts, total_ms))


def _profile(step: Step, config: str, rays: int, steps: int) -> tuple[dict[str, float], float]:
    """Milliseconds a step of each part, and of the whole without the profiler."""
    channels = WORK[config].channels
    for _ in range(WARM_UP_STEPS):
        step.step(random_batch(rays, channels))
    seconds = []
    for _ in range(steps):
        batch = random_batch(rays, channels)
        start = time.perf_counter()
        step.step(batch)
        seconds.append(time.perf_counter() - start)
    total_ms = 1e3 * statistics.median(seconds)
    batches = [random_batch(rays, channels) for _ in range(steps)]
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for batch in batches:
            step.step(batch)
    events = {event.key: event for event in profiler.key_averages()}
    profiled_us = sum(event.self_cpu_time_total for event in events.values())
    shares = {}
    for part, names in OPERATIONS.items():
        # Outermost operations hold their children's time: products within a network's own function count once.
        outer = [events[name].cpu_time_total for name in names if name in events and not name.startswith("aten")]
        shares[part] = sum(outer) / profiled_us
    return {part: share * total_ms for part, share in shares.items()}, total_ms


def _grids(step: Step, rays: int, measured_ms: float) -> Part:
    config = step.model.config
    stages = [config.num_nerf_samples_per_ray] * 2 + list(config.num_proposal_samples_per_ray)
    bound, entries = 0.0, 0
    for spec, samples in zip(grid_specs(config), stages, strict=True):
        corners = 8 * rays * samples * spec.num_levels
        table_bytes = 4 * spec.features_per_level * spec.levels[-1].size
        # Forward reads an entry; backward reads one, adds, and writes it: at a random place, a line of the cache each.
        bound += 3 * corners * LINE_BYTES / _moved_bytes_a_second(table_bytes)
        entries += corners
    moved = 3 * entries * LINE_BYTES
    work = f"{entries / 1e6:.1f}M entries read and added to: {moved / 1e9:.1f} GB of lines"
    return Part("hash grids", work, f"{moved / bound / 1e9:.0f} GB/s in cache", 1e3 * bound, measured_ms)


def _moved_bytes_a_second(size_bytes: int) -> float:
    """Read and written in place: a copy would also have to fetch the lines that it writes."""
    memory = torch.rand(size_bytes // 4)
    turns = max(1, (1 << 24) // size_bytes)

    def change() -> None:
        for _ in range(turns):
            memory.neg_()

    return 2 * turns * size_bytes / _fastest(change)


def _networks(step: Step, rays: int, measured_ms: float) -> Part:
    config, model = step.model.config, step.model
    per_sample = rays * config.num_nerf_samples_per_ray
    counts = [(_products(network), per_sample) for network in (model.field, model.feature_field.hidden)]
    counts.append((_products(model.feature_field.head), rays))
    for network, samples in zip(model.proposal_networks, config.num_proposal_samples_per_ray, strict=True):
        counts.append((_products(network), rays * samples))
    # A product and a sum each; forward once, backward for weights and for inputs.
    operations = sum(2 * 3 * products * points for products, points in counts)
    size = 1024
    one, other, out = torch.rand(size, size), torch.rand(size, size), torch.empty(size, size)
    rate = 2 * size**3 / _fastest(lambda: torch.mm(one, other, out=out))
    work = f"{operations / 1e9:.1f} G operations"
    return Part("networks", work, f"{rate / 1e9:.0f} G operations/s", 1e3 * operations / rate, measured_ms)


def _products(module: nn.Module) -> int:
    return sum(layer.weight.numel() for layer in module.modules() if isinstance(layer, nn.Linear))


def _adam(step: Step, measured_ms: float) -> Part:
    numbers = sum(parameter.numel() for parameter in step.model.parameters())
    moved = 4 * 7 * numbers  # value, gradient and two moments read; value and moments written
    rate = _moved_bytes_a_second(1 << 29)
    work = f"{moved / 1e9:.2f} GB"
    return Part("Adam", work, f"{rate / 1e9:.1f} GB/s", 1e3 * moved / rate, measured_ms)


def _fastest(work: Callable[[], object], repeats: int = 7) -> float:
    return min(_times(work, repeats))


def _times(work: Callable[[], object], repeats: int) -> Iterator[float]:
    work()
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        yield time.perf_counter() - start


def _table(parts: list[Part], total_ms: float) -> Table:
    table = Table("part of a step", "work", "this machine", "bound ms", "measured ms", box=None)
    for column in table.columns[3:]:
        column.justify = "right"
    for part in parts:
        table.add_row(part.name, part.work, part.rate, f"{part.bound_ms:.0f}", f"{part.measured_ms:.0f}")
    table.add_row("all", "", "", f"{sum(part.bound_ms for part in parts):.0f}", f"{total_ms:.0f}")
    return table


if __name__ == "__main__":
    main()
