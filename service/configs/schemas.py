"""What the resource /configs gives out."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field


class RuleFinding(BaseModel):
    """What one rule found."""

    rule: str = Field(description="Its id; a sweep's `allow` may name it.")
    severity: Literal["error", "warning"]
    share: float = Field(description="Share of the space that breaks it; 1 for a configuration.")
    parameters: dict[str, Any] = Field(description="The values of the first configuration that breaks it.")
    message: str = Field(description="What will happen.")
    remedy: str = Field(description="What to do.")
    allowed: bool = Field(description="Whether the sweep allows it.")


class CheckAnswer(BaseModel):
    """What the rules say."""

    name: str
    kind: Literal["configuration", "space", "arms"]
    ok: bool = Field(description="Whether a sweep of it would start: no error that is not allowed.")
    samples: int = Field(description="Configurations looked at; those of a space are drawn, the same each time.")
    forbidden: float = Field(description="Share of them that breaks an error which is not allowed.")
    findings: list[RuleFinding] = Field(description="Errors first, then by share.")
