"""Short forms for rows of the table: a row's place is its folder in the config tree and its own name."""

from __future__ import annotations

from typing import Any

from f3rm_core.parameter import Parameter, SweepRange

MODEL = "pipeline.model"
DATA = "pipeline.datamanager"
TRAINER = ""
"""The root of the tree."""

OTHER_METRIC = "metrics of different feature models can't be compared"
OTHER_VIEWS = "metrics on different held-out pixels can't be compared"
REPEAT = "a seed is no hyperparameter: repeat a configuration instead"
NO_NORMALS = "this model predicts no normals, so it would change nothing"


def integer(
    name: str, default: int, folder: str, part: str, bounds: tuple[float, float], summary: str, **more: Any
) -> Parameter:
    """A whole number between two inclusive bounds."""
    low, high = bounds
    return Parameter(name, "int", default, places(folder, name), part, summary, low, high, **more)


def real(name: str, default: float, folder: str, part: str, summary: str, **more: Any) -> Parameter:
    """A number of at least 0."""
    return Parameter(name, "float", default, places(folder, name), part, summary, **{"low": 0.0, **more})


def switch(name: str, default: bool, folder: str, part: str, summary: str, **more: Any) -> Parameter:
    """On or off. One that may be swept is swept over both."""
    if not more.get("not_sweepable"):
        more["sweep"] = choices(False, True)
    return Parameter(name, "bool", default, places(folder, name), part, summary, **more)


def text(name: str, default: str, folder: str, part: str, summary: str, **more: Any) -> Parameter:
    """A name."""
    return Parameter(name, "str", default, places(folder, name), part, summary, **more)


def places(folder: str, name: str) -> tuple[str, ...]:
    """The one place of a parameter that is called in the tree what it is called here."""
    return (f"{folder}.{name}" if folder else name,)


def linear(low: float, high: float) -> SweepRange:
    """Swept evenly."""
    return SweepRange("linear", low, high)


def log(low: float, high: float) -> SweepRange:
    """Swept evenly in its logarithm."""
    return SweepRange("log", low, high)


def choices(*values: Any) -> SweepRange:
    """Swept over these values."""
    return SweepRange("choices", choices=values)
