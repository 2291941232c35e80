"""How the command prints: tables for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

PIPE_WIDTH = 10_000
"""A table is as wide as what it holds, so that a row is one line."""
NARROW = 100
"""Columns of a terminal below which tables leave out what another command tells."""
STATE_STYLES = {
    "queued": "dim",
    "running": "cyan",
    "paused": "dim",
    "interrupted": "yellow",
    "completed": "green",
    "pruned": "yellow",
    "failed": "red",
    "cancelled": "dim",
}


@cache
def console() -> Console:
    """The console of stdout. Into a pipe it is wide, so that no column is cut."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, soft_wrap=False)


def print_json(data: Any) -> None:
    """Print a value as JSON, times in ISO 8601."""
    print(json.dumps(data, indent=2, default=_plain))


def is_narrow() -> bool:
    """Whether tables should leave out what another command tells."""
    return console().width < NARROW


def table(title: str | None, columns: Sequence[str], *, right: Sequence[str] = (), whole: Sequence[str] = ()) -> Table:
    """An empty table in the command's style.

    Args:
        title: above it.
        columns: heads.
        right: columns of numbers, to the right.
        whole: columns that are not broken into lines, and cut where nothing else helps: ids, which can't be copied in
            two pieces. A number is rather broken than cut.
    """
    from rich import box
    from rich.table import Table

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False, title_style="bold")
    for column in columns:
        justify: Literal["left", "right"] = "right" if column in right else "left"
        made.add_column(column, justify=justify, overflow="fold", no_wrap=column in whole)
    return made


def styled_state(state: str) -> str:
    """A state with its colour, as rich markup."""
    return f"[{STATE_STYLES.get(state, '')}]{state}[/]" if state in STATE_STYLES else state


def number(value: float | int | None) -> str:
    """A number with four significant digits; - where there is none."""
    if value is None:
        return "-"
    if isinstance(value, int):
        return str(value)
    return f"{value:.4g}"


def parameter(value: Any) -> str:
    """A parameter's value, short."""
    return number(value) if isinstance(value, float) else str(value)


def assignments(values: Mapping[str, Any]) -> str:
    """`name=value name=value`, safe in rich markup."""
    return plain(" ".join(f"{name}={parameter(value)}" for name, value in values.items()))


def plain(text: str) -> str:
    """A text of someone else's, so that rich takes its brackets as they are."""
    from rich.markup import escape

    return escape(text)


def ago(moment: datetime | None) -> str:
    """How long ago, in the largest unit that fits."""
    if moment is None:
        return "-"
    return f"{' '.join(duration((datetime.now(UTC) - moment).total_seconds()).split()[:2])} ago"


def duration(seconds: float | None) -> str:
    """A time span for people: 0.4 s, 42 s, 3 min 05 s, 2 h 10 min, 3 days."""
    if seconds is None:
        return "-"
    if 0 < seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} days"


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    return str(value)
