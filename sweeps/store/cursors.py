"""Cursors of listings: where the next page starts, as text that a user hands back unread."""

from __future__ import annotations

import base64
import json
from typing import Any

from sweeps.errors import InvalidCursor


def cursor_of(*parts: str) -> str:
    """Where the next page starts: the last row's sort keys."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def read_cursor(cursor: str, count: int) -> list[str]:
    """The parts of a cursor.

    Raises:
        InvalidCursor: it has not so many, or is none.
    """
    try:
        parts: Any = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        raise bad_cursor(cursor) from None
    texts = isinstance(parts, list) and all(isinstance(part, str) and "\0" not in part for part in parts)
    if not texts or len(parts) != count:
        raise bad_cursor(cursor)
    return parts


def bad_cursor(cursor: str) -> InvalidCursor:
    """The error that says so."""
    return InvalidCursor(f"cursor={cursor!r}: not a cursor of this listing; leave it out to start at the beginning")
