"""The front as a picture: the first objective against the second, cost as colour, the winner marked."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from f3rm_core import METRICS, Metric, UsageError, write_whole
from sweeps.analysis.labels import Box, place_labels
from sweeps.analysis.pareto import front_of, table
from sweeps.errors import NoResults

_INK = "#22313f"
_FAINT = "#c9d1d9"
_WINNER = "#d1495b"
_COST = "train_seconds"
_MAX_LABELS = 12
_LABEL_GAP = 7.5
"""From the middle of a point to its label, points (1/72 inch)."""
_LABEL_MARGIN = 2.0
"""Left and right of a label, points: two numbers side by side must not read as one."""
_AREA, _FRONT_AREA, _STAR_AREA = 46, 110, 420
"""Of the marks of points, points squared."""


def plot_front(
    path: Path,
    *,
    title: str,
    objectives: Sequence[Metric],
    results: Mapping[int, Mapping[str, float]],
    winner: int | None = None,
    scenario: str = "balanced",
) -> None:
    """Draw the front to a file, PNG, SVG or PDF by its suffix.

    Args:
        path: the file.
        title: above the picture.
        objectives: with one, it is drawn over the trials' numbers; a third one is the colour instead of the cost.
        results: trial number -> metric -> value, of completed trials.
        winner: the trial to mark, with the scenario that chose it.

    Raises:
        NoResults: there is nothing to draw.
        UsageError: the file can't be written, or its suffix is not known.
    """
    numbers, values = table(objectives, results)
    if not numbers:
        raise NoResults("no trial has completed, so there is no front to draw")
    front = front_of(objectives, results)
    figure = Figure(figsize=(8.0, 5.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    x = [float(number) for number in numbers] if len(objectives) == 1 else list(values[:, 0])
    y = list(values[:, 0] if len(objectives) == 1 else values[:, 1])
    place = {number: (x[index], y[index]) for index, number in enumerate(numbers)}

    if len(objectives) == 2 and len(front) > 1:
        _draw_staircase(axes, objectives, [place[number] for number in front])
    colour = _colour_metric(objectives, results, numbers)
    _draw_points(axes, place, front, colour=colour, results=results)
    if winner is not None and winner in place:
        axes.scatter(
            *place[winner], marker="*", s=_STAR_AREA, color=_WINNER, edgecolor="white", linewidth=1.2, zorder=5
        )
    _dress(axes, title, objectives)
    _settle(axes)
    _label_front(axes, place, front, winner, scenario)
    save_figure(figure, path)


def _dress(axes: Any, title: str, objectives: Sequence[Metric]) -> None:
    """Title, axes and grid."""
    axes.set_title(title, color=_INK, fontsize=13, loc="left", pad=12)
    axes.set_xlabel("trial" if len(objectives) == 1 else _axis_label(objectives[0]), color=_INK)
    axes.set_ylabel(_axis_label(objectives[0] if len(objectives) == 1 else objectives[1]), color=_INK)
    if len(objectives) == 1:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.margins(0.09)
    axes.grid(color="#e8ecef", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.tick_params(colors=_INK)


def _settle(axes: Any) -> None:
    """Give everything its final place, so that labels can be put between and move nothing."""
    axes.figure.draw_without_rendering()
    axes.figure.set_layout_engine("none")
    axes.autoscale(False)
    legend = axes.get_legend()
    corner = (legend.get_window_extent().x0, legend.get_window_extent().y0)
    legend.set_loc(tuple(axes.transAxes.inverted().transform(corner)))


def _draw_staircase(axes: Any, objectives: Sequence[Metric], points: Sequence[tuple[float, float]]) -> None:
    """The boundary of what is dominated: between two neighbours nothing better was found than their worse values."""
    ordered = sorted(points)
    axes.step(
        [point[0] for point in ordered],
        [point[1] for point in ordered],
        where="pre" if objectives[0].direction == "maximize" else "post",
        color=_INK,
        linewidth=1.2,
        alpha=0.35,
        zorder=1,
    )


def _draw_points(
    axes: Any,
    place: Mapping[int, tuple[float, float]],
    front: Sequence[int],
    *,
    colour: Metric | None,
    results: Mapping[int, Mapping[str, float]],
) -> None:
    rest = [number for number in place if number not in front]
    shades: dict[str, Any] = {"color": "#4c78a8"}
    if colour is not None:
        shown = [results[number][colour.name] for number in place]
        shades = {"cmap": "viridis_r", "vmin": min(shown), "vmax": max(shown)}
    drawn = None
    for group, look in (
        (rest, {"s": _AREA, "alpha": 0.75, "linewidth": 0.0, "zorder": 2}),
        (front, {"s": _FRONT_AREA, "edgecolor": _INK, "linewidth": 1.4, "zorder": 3}),
    ):
        if not group:
            continue
        own = {"c": [results[number][colour.name] for number in group]} if colour is not None else {}
        drawn = axes.scatter(
            [place[number][0] for number in group], [place[number][1] for number in group], **own, **shades, **look
        )
    if colour is not None and drawn is not None:
        bar = axes.figure.colorbar(drawn, ax=axes, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label(_name_and_unit(colour), color=_INK)
        bar.ax.tick_params(colors=_INK)
    handles = [
        axes.scatter([], [], s=_FRONT_AREA, facecolor="white", edgecolor=_INK, linewidth=1.4, label="on the front"),
        axes.scatter([], [], s=_AREA, color="#9aa5b1", label="beaten by another trial"),
    ]
    axes.legend(handles=handles[: 2 if rest else 1], frameon=False, loc="best", fontsize=9, labelcolor=_INK)


def _label_front(
    axes: Any, place: Mapping[int, tuple[float, float]], front: Sequence[int], winner: int | None, scenario: str
) -> None:
    # A long front gets few labels: neighbours' would cover each other.
    labelled = front if len(front) <= _MAX_LABELS else front[:: -(-len(front) // _MAX_LABELS)]
    marked = [winner] if winner is not None and winner in place else []
    labels = {
        number: axes.annotate(
            f"trial {number}: {scenario} winner" if number == winner else f"{number}",
            place[number],
            xytext=(0, 0),
            textcoords="offset points",
            verticalalignment="bottom",
            fontsize=9,
            color=_WINNER if number == winner else _INK,
            fontweight="bold" if number == winner else "normal",
            zorder=6,
        )
        for number in dict.fromkeys([*marked, *labelled])  # the winner's is the longest: it chooses first
    }
    _spread(axes, {number: place[number] for number in labels}, labels, _marks(axes, place, front, marked))


def _spread(
    axes: Any, place: Mapping[int, tuple[float, float]], labels: Mapping[int, Any], marks: Sequence[Box]
) -> None:
    """Move labels to where they cover nothing; a line leads from a point to a label that is not beside it."""
    pixels = axes.figure.dpi / 72  # of a point, in which the offset of a label is given
    points = {number: tuple(axes.transData.transform(place[number])) for number in labels}
    margin = _LABEL_MARGIN * pixels
    extents = [label.get_window_extent() for label in labels.values()]
    sizes = [(extent.width + 2 * margin, extent.height) for extent in extents]
    boxes = place_labels(list(points.values()), sizes, obstacles=marks, within=_box(axes.bbox), gap=_LABEL_GAP * pixels)
    for (number, label), box in zip(labels.items(), boxes, strict=True):
        x, y = points[number]
        label.set_position(((box.left + margin - x) / pixels, (box.bottom - y) / pixels))
        if box.distance(x, y) > 1.5 * _LABEL_GAP * pixels:
            nearest = (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top))
            end = axes.transData.inverted().transform(nearest)
            axes.plot(*zip(place[number], end, strict=True), color=_INK, linewidth=0.6, alpha=0.5, zorder=2.5)


def _marks(
    axes: Any, place: Mapping[int, tuple[float, float]], front: Sequence[int], marked: Sequence[int]
) -> list[Box]:
    """What is drawn already: the legend, and a square in each point, whose corners would be empty."""
    pixels = axes.figure.dpi / 72
    boxes = [_box(axes.get_legend().get_window_extent())]
    for number, point in place.items():
        area = _STAR_AREA if number in marked else _FRONT_AREA if number in front else _AREA
        half = pixels * math.sqrt(area / 2) / 2
        x, y = axes.transData.transform(point)
        boxes.append(Box(x - half, y - half, x + half, y + half))
    return boxes


def _box(extent: Any) -> Box:
    return Box(*extent.extents)


def _colour_metric(
    objectives: Sequence[Metric], results: Mapping[int, Mapping[str, float]], numbers: Sequence[int]
) -> Metric | None:
    """The third objective, or the cost; None where trials lack it or all have the same."""
    metric = objectives[2] if len(objectives) > 2 else METRICS[_COST]
    if metric in objectives[:2] or any(metric.name not in results[number] for number in numbers):
        return None
    return metric if len({results[number][metric.name] for number in numbers}) > 1 else None


def _name_and_unit(metric: Metric) -> str:
    return metric.name if metric.unit == "1" else f"{metric.name} [{metric.unit}]"


def _axis_label(metric: Metric) -> str:
    return f"{_name_and_unit(metric)}, {'higher' if metric.direction == 'maximize' else 'lower'} is better"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure to a file, PNG, SVG or PDF by its suffix; whole or not at all.

    Raises:
        UsageError: the suffix is not known, or the file can't be written.
    """
    picture = io.BytesIO()
    try:
        figure.savefig(picture, format=path.suffix.removeprefix("."))
    except ValueError as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}; give a file that ends in .png, .svg or .pdf") from None
    write_whole(path, picture.getvalue())
