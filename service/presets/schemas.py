"""What the resource /presets gives out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class PresetSummary(BaseModel):
    """A preset in a list."""

    name: str
    base: str | None = Field(description="The preset that it starts from; null only for f3rm_default.")
    summary: str
    trade_off: str = Field(description="What it is expected to gain and to give up against its base.")


class PresetList(BaseModel):
    """All presets."""

    items: list[PresetSummary]


class PresetDetail(PresetSummary):
    """A preset with its values."""

    parameters: dict[str, Any] = Field(description="What it sets itself.")
    resolved: dict[str, Any] = Field(description="Every parameter, after following the bases.")


class SuggestionReason(BaseModel):
    """Why a parameter of a suggested preset has its value."""

    parameter: str
    value: Any
    rule: Literal["scene", "memory"] = Field(description="The table that gave it.")
    why: str


class SuggestedPreset(PresetDetail):
    """A preset to start from."""

    reasons: list[SuggestionReason]
