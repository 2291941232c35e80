"""The command params."""

from __future__ import annotations

import json

import pytest

from f3rm_core import PARAMETERS, PARTS
from tests.sweeps.cli.conftest import Command


def test_lists_every_parameter_part_by_part(command: Command) -> None:
    ran = command("params")
    assert ran.code == 0
    words = [line.split()[0] for line in ran.out.splitlines() if line.startswith("  ") and line.strip()]
    assert [word for word in words if word in PARAMETERS] == list(PARAMETERS)
    assert all(part in ran.out for part in PARTS)


def test_a_part_alone(command: Command) -> None:
    wanted = [name for name, parameter in PARAMETERS.items() if parameter.part == "feature grid"]
    for spelling in ("feature grid", "feature-grid", "Feature_Grid"):
        listed = json.loads(command("params", "--part", spelling, "--json").out)
        assert [one["name"] for one in listed] == wanted


def test_one_parameter_with_all_that_is_known(command: Command) -> None:
    said = command("params", "lr_fields").out
    assert "1e-3" not in said
    assert "0.001 to 0.03, log" in said
    assert "numbers above 0" in said
    assert "optimizers.fields.optimizer.lr" in said
    one = json.loads(command("params", "max_res", "--json").out)
    assert (one["default"], one["unit"], one["places"]) == (2048, "cells along a side", ["pipeline.model.max_res"])
    assert one["sweep"] == {"scale": "choices", "low": None, "high": None, "choices": [512, 1024, 2048, 4096]}


def test_says_why_one_is_not_swept(command: Command) -> None:
    assert "no: metrics of different feature models can't be compared" in command("params", "feature_type").out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["max_rse"], "parameter 'max_rse': no such parameter; did you mean max_res?"),
        (["--part", "feature girds"], "no such part; did you mean feature grid?"),
        (["--part", "zzz"], "no such part; known: radiance grid, "),
    ],
)
def test_a_name_that_is_none_is_refused(command: Command, words: list[str], said: str) -> None:
    ran = command("params", *words)
    assert ran.code == 2
    assert said in ran.err
    assert ran.err.count("\n") == 1
