"""Values as people read them."""

from __future__ import annotations

from f3rm_core import Metric


def in_units(metric: Metric, value: float) -> str:
    """A value with its unit, such as `24.1 dB` or `86,400 s`; a plain ratio has none."""
    text = f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return text if metric.unit == "1" else f"{text} {metric.unit}"
