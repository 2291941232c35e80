"""The front as a plotly figure, for the Optuna dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from f3rm_core import Metric
from sweeps.analysis.pareto import front_of


def front_figure(title: str, objectives: Sequence[Metric], results: Mapping[int, Mapping[str, float]]) -> Any:
    """The first objective against the second; the front joined by a line.

    Args:
        title: of the figure.
        objectives: two or more.
        results: trial number -> metric -> value.
    """
    first, second = objectives[:2]
    front = front_of(objectives, results)
    rest = [number for number in results if number not in front]

    def points(numbers: Sequence[int], **look: Any) -> Any:
        return go.Scatter(
            x=[results[number][first.name] for number in numbers],
            y=[results[number][second.name] for number in numbers],
            text=[f"trial {number}" for number in numbers],
            hovertemplate=f"%{{text}}<br>{first.name} %{{x:.4g}}<br>{second.name} %{{y:.4g}}<extra></extra>",
            **look,
        )

    figure = go.Figure()
    figure.add_trace(points(rest, mode="markers", name="other trials", marker={"color": "#9aa5b1", "size": 8}))
    joined = "lines+markers" if len(objectives) == 2 else "markers"
    look = {"color": "#d1495b", "size": 11}
    figure.add_trace(points(front, mode=joined, name="front", marker=look, line={"shape": "linear", "width": 1}))
    figure.update_layout(title=f"{title}: front", xaxis_title=_axis(first), yaxis_title=_axis(second))
    return figure


def _axis(metric: Metric) -> str:
    better = "higher" if metric.direction == "maximize" else "lower"
    unit = "" if metric.unit == "1" else f" ({metric.unit})"
    return f"{metric.name}{unit}, {better} is better"
