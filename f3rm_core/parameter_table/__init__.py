"""The table of all documented parameters, one module for each group of parts. Plain data, no torch."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from f3rm_core.parameter import Parameter
from f3rm_core.parameter_table import features, fields, losses, run, sampling, schedule

_ALL: tuple[Parameter, ...] = (
    *fields.ROWS,
    *losses.ROWS,
    *sampling.ROWS,
    *schedule.ROWS,
    *run.MEMORY,
    *features.ROWS,
    *run.ROWS,
)

PARAMETERS: Mapping[str, Parameter] = MappingProxyType({parameter.name: parameter for parameter in _ALL})

PARTS: tuple[str, ...] = tuple(dict.fromkeys(parameter.part for parameter in _ALL))
"""The parts of the system that parameters belong to, in the table's order."""
