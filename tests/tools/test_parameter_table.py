"""The parameters' tables in the documentation are those of the registry."""

from __future__ import annotations

import pytest

from f3rm_core import PARAMETERS
from tools import parameter_table


def test_the_files_are_up_to_date() -> None:
    """Where this fails: python tools/parameter_table.py"""
    readme = (parameter_table.ROOT / "README.md").read_text()
    assert (parameter_table.ROOT / "docs" / "rules.md").read_text() == parameter_table.rules_page()
    assert (parameter_table.ROOT / "docs" / "parameters.md").read_text() == parameter_table.page()
    assert readme == parameter_table.with_overview(readme)


def test_every_parameter_has_a_row_with_all_cells() -> None:
    rows = [line for line in parameter_table.page().splitlines() if line.startswith("| `")]
    assert [row.split("`")[1] for row in rows] == list(PARAMETERS)
    assert {row.replace("\\|", "").count("|") for row in rows} == {9}


def test_only_what_is_between_the_markers_changes() -> None:
    text = f"before\n{parameter_table.START}old\n{parameter_table.END}\nafter\n"
    assert parameter_table.with_overview(text) == text.replace("old\n", parameter_table.overview())
    with pytest.raises(ValueError, match="needs the lines"):
        parameter_table.with_overview("no markers")
