"""The front as a picture: the first objective against the second, cost as colour, the winner marked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from f3rm_core import METRICS, Metric, UsageError
from sweeps.analysis.pareto import front_of, table
from sweeps.errors import NoResults

_INK = "#22313f"
_FAINT = "#c9d1d9"
_WINNER = "#d1495b"
_COST = "train_seconds"
_MAX_LABELS = 12


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
        axes.scatter(*place[winner], marker="*", s=420, color=_WINNER, edgecolor="white", linewidth=1.2, zorder=5)
    _label_front(axes, place, front, winner, scenario)

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
    _save(figure, path)


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
        (rest, {"s": 46, "alpha": 0.75, "linewidth": 0.0, "zorder": 2}),
        (front, {"s": 110, "edgecolor": _INK, "linewidth": 1.4, "zorder": 3}),
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
        axes.scatter([], [], s=110, facecolor="white", edgecolor=_INK, linewidth=1.4, label="on the front"),
        axes.scatter([], [], s=46, color="#9aa5b1", label="beaten by another trial"),
    ]
    axes.legend(handles=handles[: 2 if rest else 1], frameon=False, loc="best", fontsize=9, labelcolor=_INK)


def _label_front(
    axes: Any, place: Mapping[int, tuple[float, float]], front: Sequence[int], winner: int | None, scenario: str
) -> None:
    # A long front gets few labels: neighbours' would cover each other.
    labelled = front if len(front) <= _MAX_LABELS else front[:: -(-len(front) // _MAX_LABELS)]
    across = [x for x, _ in place.values()]
    middle = (min(across) + max(across)) / 2
    marked = [winner] if winner is not None and winner in place else []
    for number in dict.fromkeys([*labelled, *marked]):
        text = f"trial {number}: {scenario} winner" if number == winner else f"{number}"
        to_the_left = place[number][0] > middle
        axes.annotate(
            text,
            place[number],
            xytext=(-9 if to_the_left else 9, 8),
            textcoords="offset points",
            horizontalalignment="right" if to_the_left else "left",
            fontsize=9,
            color=_WINNER if number == winner else _INK,
            fontweight="bold" if number == winner else "normal",
            zorder=6,
        )


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


def _save(figure: Figure, path: Path) -> None:
    """Write the picture whole or not at all."""
    part = path.with_name(f".{path.stem}-{os.getpid()}{path.suffix}")
    try:
        figure.savefig(part)
        os.replace(part, path)
    except ValueError as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}; give a file that ends in .png, .svg or .pdf") from None
    except OSError as error:
        raise UsageError(f"{path}: can't be written ({error.strerror}); choose another place") from None
    finally:
        part.unlink(missing_ok=True)
