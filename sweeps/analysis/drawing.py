"""The look that all pictures share, and their way into a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from f3rm_core import UsageError, write_whole

INK = "#22313f"
_FAINT = "#c9d1d9"


def new_figure() -> tuple[Figure, Any]:
    """An empty figure with one pair of axes."""
    figure = Figure(figsize=(8.0, 5.4), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def dress(axes: Any, title: str, *, x: str, y: str) -> None:
    """Title, names of the axes, grid."""
    axes.set_title(title, color=INK, fontsize=13, loc="left", pad=12)
    axes.set_xlabel(x, color=INK)
    axes.set_ylabel(y, color=INK)
    axes.grid(color="#e8ecef", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(_FAINT)
    axes.tick_params(colors=INK)


def save(figure: Figure, path: Path) -> None:
    """Write a figure, as PNG, SVG or PDF by the file's suffix.

    Raises:
        UsageError: the file can't be written, or its suffix is not known.
    """
    picture = io.BytesIO()
    try:
        figure.savefig(picture, format=path.suffix.removeprefix("."))
    except ValueError as error:
        raise UsageError(f"{path}: {str(error).splitlines()[0]}; give a file that ends in .png, .svg or .pdf") from None
    write_whole(path, picture.getvalue())
