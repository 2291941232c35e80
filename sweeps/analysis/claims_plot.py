"""The claims as a picture: a row a claim, the measured interval against the region that the guide claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from f3rm_core import METRICS
from sweeps.analysis.claims import ClaimsReport, Judged, Verdict
from sweeps.analysis.drawing import save
from sweeps.errors import NoResults

_INK, _FAINT, _REGION, _SIZE = "#22313f", "#c9d1d9", "#d9e8d4", "#8fbf7f"
_COLOURS: dict[Verdict, str] = {"confirmed": "#2e7d32", "contradicted": "#d1495b", "inconclusive": "#8a6d00"}
_ROW, _HEAD = 0.23, 1.0
"""Inches of a row, and above a panel."""
_PANELS = (
    ("psnr", "difference"),
    ("feature_gain", "difference"),
    ("feature_gain", "ratio"),
    ("train_seconds", "ratio"),
    ("render_seconds", "ratio"),
    ("peak_memory_gb", "ratio"),
)


def plot_claims(path: Path, report: ClaimsReport) -> None:
    """Draw the measured claims to a file, PNG, SVG or PDF by its suffix: a panel for each metric and measure.

    Args:
        path: the file.
        report: of an ablation.

    Raises:
        NoResults: nothing was measured yet.
        UsageError: the file can't be written, or its suffix is not known.
    """
    measured = [one for one in report.judged if one.effect is not None]
    groups = [[one for one in measured if (one.claim.metric, one.claim.measure) == panel] for panel in _PANELS]
    groups = [group for group in groups if group]
    if not groups:
        raise NoResults("no claim has two seeds to compare yet, so there is nothing to draw; wait for more trials")
    heights = [len(group) + 1.6 for group in groups]
    layout = ConstrainedLayoutEngine(h_pad=0.06, hspace=0.01)
    figure = Figure(figsize=(11.0, _ROW * sum(heights) + _HEAD), dpi=150, layout=layout)
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(groups), 1, height_ratios=heights, squeeze=False)[:, 0]
    for axes, group in zip(panels, groups, strict=True):
        _draw(axes, group)
    counts = ", ".join(f"{count} {verdict}" for verdict, count in report.counts.items() if count)
    figure.suptitle(
        f"{report.sweep.name} ({report.sweep.id}): {counts}\n"
        "shaded: what the guide says (darker: the size that it states); line: 95% interval",
        color=_INK,
        fontsize=10,
        ha="left",
        x=0.01,
    )
    save(figure, path)


def _draw(axes: Any, group: Sequence[Judged]) -> None:
    claim = group[0].claim
    ratio = claim.measure == "ratio"
    neutral = 1.0 if ratio else 0.0
    left, right = _limits(group, neutral)
    for row, judged in enumerate(group):
        effect = judged.effect
        assert effect is not None
        _shade(axes, row, judged.claim.region.low, judged.claim.region.high, (left, right), _REGION)
        if judged.claim.size is not None:
            fits = judged.claim.size.fits
            _shade(axes, row, fits.low, fits.high, (left, right), _SIZE)
        colour = _COLOURS[judged.verdict]
        axes.plot([max(effect.low, left), min(effect.high, right)], [row, row], color=colour, linewidth=2.0, zorder=3)
        axes.plot(min(max(effect.value, left), right), row, "o", color=colour, markersize=5, zorder=4)
        word = judged.verdict + (f", size {judged.fit}" if judged.fit else "")
        axes.annotate(
            word,
            (1.0, row),
            xycoords=("axes fraction", "data"),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=colour,
        )
    axes.axvline(neutral, color=_INK, linewidth=0.8, zorder=2)
    if ratio:
        axes.set_xscale("log")
        _plain_ticks(axes, left, right)
    axes.set_xlim(left, right)
    axes.set_ylim(len(group) - 0.5, -0.5)
    axes.set_yticks(range(len(group)), [one.claim.id for one in group], fontsize=8, color=_INK)
    axes.set_title(_title(claim.metric, ratio), loc="left", fontsize=9, color=_INK, pad=3)
    axes.tick_params(axis="x", labelsize=8, colors=_INK, pad=1)
    axes.tick_params(axis="y", length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(_FAINT)


def _shade(axes: Any, row: int, low: float, high: float, limits: tuple[float, float], colour: str) -> None:
    """The part of a region that the panel shows."""
    start, end = max(low, limits[0]), min(high, limits[1])
    if start < end:
        axes.fill_betweenx([row - 0.4, row + 0.4], start, end, color=colour, linewidth=0, zorder=1)


def _limits(group: Sequence[Judged], neutral: float) -> tuple[float, float]:
    """What a panel shows: its intervals, its regions' finite ends, and some room."""
    ends = [neutral]
    for judged in group:
        assert judged.effect is not None
        ends += [judged.effect.low, judged.effect.high]
        regions = [judged.claim.region, *([judged.claim.size.fits] if judged.claim.size else [])]
        ends += [end for region in regions for end in (region.low, region.high) if math.isfinite(end)]
    if neutral == 1.0:
        positive = [math.log(end) for end in ends if end > 0]
        room = 0.12 * (max(positive) - min(positive))
        return math.exp(min(positive) - room), math.exp(max(positive) + room)
    room = 0.12 * (max(ends) - min(ends))
    return min(ends) - room, max(ends) + room


def _plain_ticks(axes: Any, left: float, right: float) -> None:
    steps = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0)
    shown = [step for step in steps if left <= step <= right]
    far = [step for step in shown if right / left < 6 or step in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)]
    axes.xaxis.set_major_locator(FixedLocator(far))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _title(metric: str, ratio: bool) -> str:
    known = METRICS[metric]
    better = "right is better" if known.direction == "maximize" else "left is better"
    unit = "" if known.unit == "1" or ratio else f" [{known.unit}]"
    return f"{metric}, arm {'over' if ratio else 'minus'} base{unit}; {better}"
