"""What the resource /parameters gives out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class SweepRange(BaseModel):
    """Where a sweep of a parameter is worth its time."""

    scale: Literal["linear", "log", "choices"]
    low: float | None
    high: float | None
    choices: list[Any] = Field(description="Where scale is choices.")


class Effects(BaseModel):
    """What a larger value (or turning it on) does; null where it does nothing."""

    quality: str | None
    speed: str | None
    memory: str | None


class ParameterDetail(BaseModel):
    """A documented parameter."""

    name: str
    kind: Literal["int", "float", "bool", "str", "ints"]
    default: Any = Field(description="null for a suffixed name (lr_fields), which follows the flat one.")
    part: str = Field(description="The part of the system that it belongs to.")
    unit: str
    summary: str
    places: list[str] = Field(description="Where it goes in the configuration tree, dotted.")
    low: float | None = Field(description="Inclusive bound of what can work.")
    high: float | None = Field(description="Inclusive bound of what can work.")
    above: float | None = Field(description="Exclusive lower bound of what can work.")
    choices: list[str] = Field(description="The values that a text may take; empty: any.")
    sweep: SweepRange | None = Field(description="null where a sweep may not vary it.")
    effects: Effects
    not_sweepable: str = Field(description="Why a sweep may not vary it; empty: it may.")
    changes_result: bool = Field(description="Whether the trained model depends on it.")


class ParameterList(BaseModel):
    """All parameters, part by part."""

    items: list[ParameterDetail]
