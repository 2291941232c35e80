"""What the resource /presets gives out."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field


class PresetSummary(BaseModel):
    """A preset in a list."""

    name: str
    base: str | None = Field(description="The preset that it starts from; null only for f3rm_default.")
    summary: str


class PresetList(BaseModel):
    """All presets."""

    items: list[PresetSummary]


class PresetDetail(PresetSummary):
    """A preset with its values."""

    parameters: dict[str, Any] = Field(description="What it sets itself.")
    resolved: dict[str, Any] = Field(description="Every parameter, after following the bases.")
