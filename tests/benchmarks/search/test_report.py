"""Figures of reports, worked out by hand."""

from __future__ import annotations

import math
from typing import Any

from benchmarks.search.report import comparison, cost_to, median_cost_to, share_at, table


def run(curve: list[list[float]], budget: float = 60.0, until: float = 1.0) -> dict[str, Any]:
    counts = {"failed_after_20": [1, 10], "cpu_seconds": 3.0, "decisions": 30}
    return {"curve": curve, "budget": budget, "until": until, **counts}


def test_the_share_at_a_cost_is_the_last_reached() -> None:
    played = run([[1.0, 0.2], [4.0, 0.6]], budget=10.0)
    assert [share_at(played, cost) for cost in (0.5, 1, 3.9, 4, 10)] == [0.0, 0.2, 0.2, 0.6, 0.6]


def test_beyond_its_budget_nothing_is_known_of_a_run_unless_it_had_enough() -> None:
    assert math.isnan(share_at(run([[1.0, 0.2]], budget=10.0), 11))
    assert share_at(run([[1.0, 0.96]], budget=10.0, until=0.95), 11) == 0.96


def test_the_cost_to_a_share_is_that_of_the_first_result_beyond() -> None:
    played = run([[1.0, 0.2], [4.0, 0.6]])
    assert cost_to(played, 0.5) == 4.0
    assert cost_to(played, 0.7) == math.inf


def test_a_table_has_medians() -> None:
    rows = table({"model": {0: run([[2.0, 0.8]]), 1: run([[4.0, 0.9]]), 2: run([[3.0, 0.85]])}})
    assert rows[2].startswith(
        "| model | 3 | 0.850 | 0.850 | 0.850 | 0.850 | 3.0 | not reached | not reached | 10.0% | 0.10"
    )


def test_ratios_are_of_paired_seeds_and_a_peer_that_never_came_there_spent_its_budget() -> None:
    ours = {seed: run([[6.0 + seed, 0.96]]) for seed in range(3)}
    peers = {seed: run([[20.0, 0.85]], budget=60.0) for seed in (1, 2, 5)}
    (line,) = comparison({"model": ours, "tpe": peers})
    assert "2 paired seeds: 80% at 0.38 times its cost" in line  # 7 / 20 and 8 / 20
    assert "90% at no more than 0.12 times its cost" in line  # 7 / 60 and 8 / 60: 0.125
    assert "nowhere significantly below" in line


def test_being_below_is_said() -> None:
    ours = {seed: run([[5.0, 0.5 + 0.01 * seed]], budget=8.0) for seed in range(6)}
    peers = {seed: run([[3.0, 0.7]], budget=8.0) for seed in range(6)}
    (line,) = comparison({"model": ours, "tpe": peers})
    assert line.endswith("significantly below it at 3, 4, 5, 6, 7, 8")


def test_runs_that_were_ended_count_as_equal_beyond_their_end() -> None:
    ours = {seed: run([[5.0, 0.95 + 0.001 * seed]], until=0.95) for seed in range(6)}
    peers = {seed: run([[30.0, 0.98]]) for seed in range(6)}
    (line,) = comparison({"model": ours, "gp": peers})
    assert line.endswith("nowhere significantly below it")


def test_a_peer_that_was_ended_has_spent_no_more_than_until_then() -> None:
    ours = {seed: run([[45.0, 0.96]]) for seed in range(3)}
    peers = {seed: run([[30.0, 0.905]], until=0.9) for seed in range(3)}
    (line,) = comparison({"model": ours, "gp": peers})
    assert "95% at no more than 1.50 times its cost" in line  # 45 / 30


def test_a_median_that_hangs_on_runs_which_were_ended_is_not_known() -> None:
    reached, ended = run([[40.0, 0.96]]), run([[30.0, 0.91]], until=0.9)
    assert median_cost_to([reached, reached, ended], 0.9) == 40.0
    assert math.isnan(median_cost_to([reached, ended, ended], 0.95))  # any cost above 30 may be theirs
    assert median_cost_to([run([[5.0, 0.96]]), run([[5.0, 0.96]]), ended], 0.95) == 5.0
    assert median_cost_to([run([[5.0, 0.5]])], 0.9) == math.inf
