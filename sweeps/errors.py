"""What goes wrong in a sweep, beside a training run's own errors (f3rm_core).

UsageError (f3rm_core)
├── InvalidSpec           a sweep or a preset that can't work; `issues` names each field at fault
├── InvalidSetting        an F3RM_* setting that can't work
├── UnknownSweep          no sweep has this id
├── UnknownTrial          the sweep has no trial of this number
├── UnknownPreset         no preset has this name
├── UnknownScenario       a scenario that is not defined
├── WrongState            the sweep's state does not allow it
├── IdempotencyConflict   the key was used with another body
├── NoResults             nothing has completed, so nothing can win
├── NotAnAblation         the sweep is a search, which compares no arms
├── NotASearch            the sweep is an ablation, whose trials no sampler spreads
├── InvalidCursor         a page cursor that this store did not give out
├── LeaseHeld             another driver runs the sweep
└── StoreUnavailable      the database can't be opened
F3RMError (f3rm_core)
├── LeaseLost             this driver no longer holds the sweep: stop writing
└── StaleAttempt          this attempt was closed: stop training
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from f3rm_core import F3RMError, UsageError

MISSING: Any = type("Missing", (), {"__repr__": lambda self: "(absent)"})()
"""The value of a field that was not given."""


@dataclass(frozen=True)
class Issue:
    """One thing wrong with a document.

    Args:
        field: dotted path of the field, such as `space.max_res.low`; "" is the document itself.
        value: what was given there, MISSING if nothing.
        remedy: what is wrong and what to do.
        line: of the document's text, from 1; None where there is no text.
    """

    field: str
    value: Any
    remedy: str
    line: int | None = None

    def __str__(self) -> str:
        place = f"line {self.line}: " if self.line is not None else ""
        if not self.field:
            return f"{place}{self.remedy}"
        if self.value is MISSING:
            return f"{place}{self.field}: {self.remedy}"
        shown = repr(self.value)
        return f"{place}{self.field}={shown if len(shown) <= 60 else shown[:57] + '...'}: {self.remedy}"


class InvalidSpec(UsageError):
    """A document that can't work. One line; `issues` has each field at fault, the first one first."""

    def __init__(self, issues: Sequence[Issue], *, where: str = "") -> None:
        self.issues = tuple(issues)
        self.where = where
        text = "; ".join(str(issue) for issue in self.issues[:3])
        if len(self.issues) > 3:
            text += f"; and {len(self.issues) - 3} more"
        super().__init__(f"{where}: {text}" if where else text)

    @property
    def field(self) -> str:
        """Path of the first field at fault."""
        return self.issues[0].field

    def __reduce__(self) -> Any:
        return _rebuild_invalid_spec, (self.issues, self.where)


def _rebuild_invalid_spec(issues: Sequence[Issue], where: str) -> InvalidSpec:
    return InvalidSpec(issues, where=where)


class InvalidSetting(UsageError):
    """An F3RM_* setting that can't work."""


class UnknownSweep(UsageError):
    """No sweep has this id."""


class UnknownTrial(UsageError):
    """The sweep has no trial of this number."""


class UnknownPreset(UsageError):
    """No preset has this name."""


class UnknownScenario(UsageError):
    """A scenario that is not defined."""


class WrongState(UsageError):
    """The sweep's state does not allow what was asked."""


class IdempotencyConflict(UsageError):
    """The idempotency key was used before with another body."""


class NoResults(UsageError):
    """No trial has completed with the objectives, so there is no front and no winner."""


class NotAnAblation(UsageError):
    """The sweep is a search: it has no arms to compare."""


class NotASearch(UsageError):
    """The sweep is an ablation: its trials do not spread over a space."""


class InvalidCursor(UsageError):
    """A page cursor that this store did not give out."""


class LeaseHeld(UsageError):
    """Another live driver runs the sweep."""


class StoreUnavailable(UsageError):
    """The database can't be opened or brought up to date."""


class LeaseLost(F3RMError):
    """This driver no longer holds the sweep's lease; it must stop and write nothing more."""


class StaleAttempt(F3RMError):
    """The attempt was closed (trial taken over, finished or cancelled); its worker must stop."""
