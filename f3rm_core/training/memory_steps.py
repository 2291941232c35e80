"""A training step and an evaluation, replayed on a heap: the tensors that `model.f3rm`, `training.optimization` and
`evaluation.evaluate` make, in their order, with the moments at which they are given back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from f3rm_core.encodings.spec import GridSpec
from f3rm_core.training.memory_heap import Heap
from f3rm_core.training.memory_networks import (
    POSITION,
    NetworkBytes,
    Style,
    color_network,
    grid_network,
    positioning,
    weighing,
)

FLOAT = 4
RAW = 16
"""Numbers that the geometry MLP gives: density, and what the colour MLP reads."""
_RAY = 100
"""Bytes of a ray: pose, direction, pixel, camera, near and far."""
_POSED_RAY = 400
"""Bytes of a ray's corrected pose with what its backward pass needs."""
_BLOCK = 16
"""Channels to which oneDNN pads an image for a convolution on the CPU."""


@dataclass(frozen=True)
class Work:
    """What a configuration does on a scene, in numbers.

    Args:
        style: who computes grids and networks in training; an evaluation is in full precision always.
        half: whether PyTorch's networks train in half precision.
        cuda: whether on a GPU.
        poses: whether camera poses are refined.
        accumulates: whether gradients of several steps are added.
        rays, chunk: of a training step, and rendered at once.
        counts: samples of each proposal stage.
        samples: of the fields.
        radiance, features, proposals: hash grids.
        proposal_widths, geometry_widths, color_widths, feature_widths: of each MLP's layers after its input.
        frequencies: bands of the positional encoding.
        channels: of a feature.
        pixels: of an image.
        patches: of a feature map.
        held_out: views that are scored.
    """

    style: Style
    half: bool
    cuda: bool
    poses: bool
    accumulates: bool
    rays: int
    chunk: int
    counts: tuple[int, ...]
    samples: int
    radiance: GridSpec
    features: GridSpec
    proposals: tuple[GridSpec, ...]
    proposal_widths: tuple[tuple[int, ...], ...]
    geometry_widths: tuple[int, ...]
    color_widths: tuple[int, ...]
    feature_widths: tuple[int, ...]
    frequencies: int
    channels: int
    pixels: int
    patches: int
    held_out: int

    def network(self, grid: GridSpec, widths: Sequence[int], *, training: bool, frequencies: int = 0) -> NetworkBytes:
        """One of the networks behind a grid."""
        style = self.style
        if style == "tcnn-half" and (not training or any(width % 16 for width in widths[:-1])):
            style = "tcnn"  # tiny-cuda-nn has no such network: its grid, and layers of PyTorch
        half, poses = self.half and training, self.poses and training
        return grid_network(style, grid, widths, frequencies=frequencies, poses=poses, half=half)

    def color(self, *, training: bool) -> NetworkBytes:
        style: Style = "tcnn" if self.style == "tcnn-half" and not training else self.style
        return color_network(style, RAW, self.color_widths, half=self.half and training)


def training_step(heap: Heap, work: Work) -> None:
    """Forward, losses, backward; nothing is held at its end. The optimizer's step takes no memory: it is fused."""
    rays, samples = work.rays, work.samples
    batch = [heap.take("batch", rays * size) for size in (_RAY, 24, 3 * FLOAT, work.channels * FLOAT)]
    if work.poses:
        batch.append(heap.take("batch", rays * _POSED_RAY))
    stages = _stages(heap, work)
    points = rays * samples
    positions = _positions(heap, "radiance samples", work, points, training=True)
    geometry = work.network(work.radiance, work.geometry_widths, training=True)
    raw, radiance = _call(heap, "radiance samples", geometry, points)
    weights = _weigh(heap, "radiance samples", work, points)
    color = work.color(training=True)
    raw_colors, colors = _call(heap, "radiance samples", color, points)
    shown = _render_colors(heap, work, points)
    if not work.cuda or not work.half:
        heap.give(raw_colors)
        raw_colors = heap.take("radiance samples", 0)
    network = work.network(work.features, work.feature_widths, training=True, frequencies=work.frequencies)
    hidden, features = _call(heap, "feature samples", network, points)
    rectified = []
    if work.style != "numba":  # plain rendering saves what it rectified, and the weights in the product's precision
        number = 2 if work.half else FLOAT
        rectified = [heap.take("feature samples", points * number * (work.feature_widths[-1] + work.half))]
        if work.style != "tcnn-half":
            heap.give(hidden)
            hidden = heap.take("feature samples", 0)
    rendered = [heap.take("feature head", rays * width * FLOAT) for width in (work.feature_widths[-1], work.channels)]
    losses = _losses(heap, work)
    # Backward, the last first.
    upstream = heap.take("feature head", rays * work.channels * FLOAT)
    to_weights = heap.take("feature samples", points * FLOAT)
    to_hidden = heap.take("feature samples", points * network.output)
    heap.give(upstream, *rendered, *rectified, hidden)
    _back(heap, "feature samples", network, points, features, to_hidden, work.features, work)
    heap.give(shown)
    to_colors = heap.take("radiance samples", points * color.output)
    heap.give(raw_colors)
    to_raw = _back(heap, "radiance samples", color, points, colors, to_colors, None, work)
    to_raw.append(heap.take("radiance samples", points * geometry.output))
    heap.give(*weights, to_weights, raw)
    upstream = to_raw.pop()
    heap.give(*to_raw)
    _back(heap, "radiance samples", geometry, points, radiance, upstream, work.radiance, work)
    heap.give(*positions, *losses, *stages, *batch)


def evaluation(heap: Heap, work: Work) -> None:
    """One held-out view: its picture in chunks, SSIM, its features; then the scores of all views' features."""
    part = "evaluation"
    view = [heap.take(part, work.pixels * size) for size in (12, 8, 12, 12)]  # truth; camera, origins, directions
    image = heap.take(part, work.pixels * 3 * FLOAT)
    for rays in (min(work.chunk, work.pixels), work.pixels % work.chunk):  # all full chunks are alike
        _render_chunk(heap, work, rays, features=False)
        heap.give_back()
    _ssim(heap, work)
    heap.give(*view, image)
    _render_chunk(heap, work, min(work.chunk, work.patches), features=True)
    heap.give_back()
    # Rendered and extracted features of all views, one after the other and in one piece; then in float64: both, the
    # extracted ones' directions, the rendered ones', and their product.
    values = work.held_out * work.patches * work.channels
    kept = [heap.take(part, values * size) for size in (4, 4)]
    pieces = [heap.take(part, values * size) for size in (4, 4)]
    doubles = [heap.take(part, values * 8) for _ in range(2)]
    heap.give(*pieces)
    doubles += [heap.take(part, values * 8) for _ in range(3)]
    heap.give(*doubles, *kept)


def _stages(heap: Heap, work: Work) -> list[int]:
    """The proposal stages of a training step, with what waits for their backward pass."""
    part, held = "proposal samples", []
    for number, (grid, widths, count) in enumerate(zip(work.proposals, work.proposal_widths, work.counts, strict=True)):
        held += _intervals(heap, part, work.rays, count, first=number == 0)
        points = work.rays * count
        held += _positions(heap, part, work, points, training=True)
        output, more = _call(heap, part, work.network(grid, widths, training=True), points)
        held += [output, *more, *_weigh(heap, part, work, points)]
    held += _intervals(heap, part, work.rays, work.samples, first=not work.counts)
    return held


def _intervals(heap: Heap, part: str, rays: int, count: int, *, first: bool) -> list[int]:
    """Bins and edges; the first ones are worked out by a chain of operations, the others by one."""
    row = rays * (count + 1) * FLOAT
    passing = [heap.take(part, row) for _ in range(4)] if first else []
    held = [heap.take(part, row) for _ in range(2)]
    heap.give(*passing)
    return held


def _positions(heap: Heap, part: str, work: Work, points: int, *, training: bool) -> list[int]:
    beside, passing = positioning(work.style, poses=work.poses and training)
    passed = heap.take(part, points * passing)
    held = [heap.take(part, points * beside), heap.take(part, points * POSITION)]
    heap.give(passed)
    return held


def _call(heap: Heap, part: str, network: NetworkBytes, points: int) -> tuple[int, list[int]]:
    """A network's forward pass: its output, and what waits for the backward pass."""
    held = [heap.take(part, points * size) for size in network.held]
    held.append(heap.take("workspace", points * network.workspace[0]))
    passed = heap.take(part, points * network.passing)
    output = heap.take(part, points * network.output)
    heap.give(passed)
    return output, held


def _back(
    heap: Heap,
    part: str,
    network: NetworkBytes,
    points: int,
    held: list[int],
    upstream: int,
    grid: GridSpec | None,
    work: Work,
) -> list[int]:
    """A network's backward pass. With a grid its table's gradient comes too; without, the inputs' gradient is returned,
    still held."""
    taken = [heap.take(part, points * size) for size in network.backward]
    taken.append(heap.take("workspace", points * network.workspace[1]))
    heap.give(upstream, *held)
    if grid is None:
        return taken
    tables = heap.take("gradients", _passing_gradient(grid, work))
    heap.give(tables, *taken)
    return []


def _passing_gradient(grid: GridSpec, work: Work) -> float:
    """Bytes of a table's gradient on its way, beside the one that is kept."""
    table = grid.num_parameters
    if work.style == "tcnn-half":
        return table * 2.0  # tiny-cuda-nn's own, in half precision, before it is cast
    if work.style == "reference":
        return table * 4.0  # that of one level, as large as the whole table, before it is added
    return table * 4.0 if work.accumulates else 0.0


def _weigh(heap: Heap, part: str, work: Work, points: int) -> list[int]:
    beside, weights = weighing(work.style)
    return [heap.take(part, points * weights), heap.take(part, points * beside)]


def _render_colors(heap: Heap, work: Work, points: int) -> int:
    number = 2 if work.half else FLOAT
    passed = heap.take("radiance samples", 0 if work.style == "numba" else points * 3 * FLOAT)
    shown = heap.take("radiance samples", points * 3 * number)
    heap.give(passed)
    return shown


def _losses(heap: Heap, work: Work) -> list[int]:
    """What waits for the losses' backward pass: of the bins' losses their gradients, or what those are made of."""
    points = work.rays * work.samples
    passed = heap.take("feature head", work.rays * work.channels * FLOAT)  # the squared error
    held = [heap.take("radiance samples", points * (FLOAT if work.style == "numba" else 6 * FLOAT))]
    for count in work.counts:
        size = work.rays * count * FLOAT if work.style == "numba" else points * 28
        held.append(heap.take("proposal samples", size))
    heap.give(passed)
    return held


def _render_chunk(heap: Heap, work: Work, rays: int, *, features: bool) -> None:
    """Rays through all networks without a backward pass."""
    part, held = "evaluation", []
    for number, (grid, widths, count) in enumerate(zip(work.proposals, work.proposal_widths, work.counts, strict=True)):
        held += _intervals(heap, part, rays, count, first=number == 0)
        points = rays * count
        positions = _positions(heap, part, work, points, training=False)
        network = work.network(grid, widths, training=False)
        inside = heap.take(part, points * network.inference)
        output = heap.take(part, points * network.output)
        heap.give(inside, *positions)
        weights, *beside = _weigh(heap, part, work, points)
        held.append(weights)
        heap.give(output, *beside)
    held += _intervals(heap, part, rays, work.samples, first=not work.counts)
    points = rays * work.samples
    held += _positions(heap, part, work, points, training=False)
    network = work.network(work.radiance, work.geometry_widths, training=False)
    inside = heap.take(part, points * network.inference)
    held.append(heap.take(part, points * network.output))
    heap.give(inside)
    weights, *beside = _weigh(heap, part, work, points)
    heap.give(*beside)
    held.append(weights)
    if features:
        network = work.network(work.features, work.feature_widths, training=False, frequencies=work.frequencies)
        held += [heap.take(part, points * network.inference), heap.take(part, points * network.output)]
        held.append(heap.take(part, rays * (work.feature_widths[-1] + work.channels) * FLOAT))
    else:
        color = work.color(training=False)
        held += [heap.take(part, points * color.inference), heap.take(part, points * color.output)]
        held.append(heap.take(part, points * 3 * FLOAT))
    heap.give(*held)


def _ssim(heap: Heap, work: Work) -> None:
    """torchmetrics' SSIM: five images of three channels side by side through one convolution."""
    part, images = "evaluation", work.pixels * 5 * FLOAT
    padded = heap.take(part, 2 * work.pixels * 3 * FLOAT)
    blocked = 0 if work.cuda else _BLOCK
    taken = [heap.take(part, images * channels) for channels in (3, 3, blocked, blocked)]
    heap.give(padded, *taken)
