"""What a check finds wrong with a configuration or a part of a space."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from f3rm_core import value_text

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class Finding:
    """What one rule found.

    Args:
        rule: its id.
        severity: "error" or "warning".
        share: of the space that breaks it; 1 for a configuration.
        parameters: the values of (the first) configuration that breaks it.
        message: what will happen.
        remedy: what to do.
        allowed: whether the sweep allows it.
    """

    rule: str
    severity: Severity
    share: float
    parameters: Mapping[str, Any]
    message: str
    remedy: str
    allowed: bool = False

    @property
    def refuses(self) -> bool:
        """Whether it stops a sweep."""
        return self.severity == "error" and not self.allowed

    def __str__(self) -> str:
        values = ", ".join(f"{name}={value_text(value)}" for name, value in self.parameters.items())
        return f"{values}: {self.message}; {self.remedy}"
