"""The hypervolume of a sweep over its cost, as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sweeps.analysis.drawing import INK, dress, new_figure, save
from sweeps.analysis.hypervolume import Growth
from sweeps.errors import NoResults

_LABELS = 6
_LINE, _GAIN = "#4c78a8", "#d1495b"
_UNITS = ((3600.0, "h"), (60.0, "min"), (1.0, "s"))


def plot_growth(path: Path, *, title: str, history: Sequence[Growth]) -> None:
    """Draw it as a staircase to a file, PNG, SVG or PDF by its suffix; a mark where a trial added something.

    Args:
        path: the file.
        title: above the picture.
        history: from `sweeps.analysis.hypervolume.growth`.

    Raises:
        NoResults: no trial has trained.
        UsageError: the file can't be written, or its suffix is not known.
    """
    if not history:
        raise NoResults("no trial has trained, so there is no hypervolume to draw")
    length, unit = next((pair for pair in _UNITS if history[-1].seconds >= 2 * pair[0]), _UNITS[-1])
    figure, axes = new_figure()
    gains = [point for point in history if point.gained > 0]
    # From the first result on: the way up from nothing to it would leave no room for what the search adds.
    shown = history[history.index(gains[0]) :] if gains else history
    axes.step(
        [point.seconds / length for point in shown],
        [point.hypervolume for point in shown],
        where="post",
        color=_LINE,
        linewidth=1.8,
    )
    axes.scatter(
        [point.seconds / length for point in gains],
        [point.hypervolume for point in gains],
        s=34,
        color=_GAIN,
        zorder=3,
        label=f"{len(gains)} of {len({point.trial for point in history})} trials added to it",
    )
    for point in sorted(gains, key=lambda point: -point.gained)[:_LABELS]:
        place = (point.seconds / length, point.hypervolume)
        axes.annotate(f"trial {point.trial}", place, xytext=(4, -12), textcoords="offset points", fontsize=8, color=INK)
    dress(
        axes,
        f"{title}: hypervolume",
        x=f"training time of all trials, failed and stopped ones too [{unit}]",
        y="hypervolume (1: the ideal in every objective)",
    )
    axes.set_xlim(left=0)
    axes.margins(y=0.12)
    axes.legend(frameon=False, loc="lower right", fontsize=9, labelcolor=INK)
    save(figure, path)
