"""Which sweep a user means."""

from __future__ import annotations

import difflib

from sqlalchemy import select
from sqlalchemy.orm import Session

from sweeps.errors import UnknownSweep
from sweeps.store.models import SweepRow

_SHOWN = 5


def id_of(session: Session, words: str) -> str:
    """The id of the sweep that has these words as its id, else as its name, else as the beginning of its id.

    Raises:
        UnknownSweep: none fits, or several do.
    """
    if not words:
        raise UnknownSweep("sweep '': give its id, its name, or how its id begins")
    newest_first = select(SweepRow.id, SweepRow.state).order_by(SweepRow.created_at.desc(), SweepRow.id.desc())
    fits = (SweepRow.id == words, SweepRow.name == words, SweepRow.id.startswith(words, autoescape=True))
    found = next(filter(None, (session.execute(newest_first.where(fit)).all() for fit in fits)), [])
    if len(found) == 1:
        return str(found[0].id)
    if found:
        shown = ", ".join(f"{row.id} ({row.state})" for row in found[:_SHOWN])
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        raise UnknownSweep(f"sweep {words!r}: {len(found)} sweeps fit, the newest first: {shown}{more}; give an id")
    near = difflib.get_close_matches(words, session.scalars(select(SweepRow.name).distinct()).all(), n=1)
    meant = f"did you mean {near[0]}?" if near else "`f3rm-sweeps list` shows them"
    raise UnknownSweep(f"sweep {words!r}: no such sweep; {meant}")
