"""Numbers and times for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sweeps.cli.output import ago, assignments, duration, number


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (-1.0, "0 s"),
        (0.0, "0 s"),
        (0.42, "0.4 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (185.0, "3 min 05 s"),
        (3600.0, "1 h 00 min"),
        (7830.0, "2 h 10 min"),
        (3 * 86400.0, "3 days"),
    ],
)
def test_duration(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (3, "3"), (30000, "30000"), (0.1 + 0.2, "0.3"), (1e-5, "1e-05"), (23.456789, "23.46")],
)
def test_number(value: float | None, text: str) -> None:
    assert number(value) == text


def test_ago() -> None:
    assert ago(None) == "-"
    assert ago(datetime.now(UTC) - timedelta(seconds=3700)) == "1 h ago"


def test_a_value_with_brackets_is_not_taken_for_markup() -> None:
    assert assignments({"mode": "[red]x[/]", "samples": [64, 32]}) == "mode=\\[red]x\\[/] samples=[64, 32]"
