"""A store that is away for a moment, as while its server restarts: what is asked of it is asked again."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy.exc import IntegrityError

from sweeps.errors import StoreUnavailable, WrongState

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("sweeps.driver")


@dataclass(frozen=True)
class Patience:
    """Repeats a call while the store is away.

    Args:
        seconds: for how long, from the first call that failed.
    """

    seconds: float

    def __call__(self, call: Callable[[], T]) -> T:
        """What the call returns, once the store answers.

        Args:
            call: one transaction.

        Raises:
            StoreUnavailable: the store stayed away. Or it came back, and refuses what it was asked before: then the
                first answer was lost on its way, and only the store knows what is true now.
        """
        deadline = None
        while True:
            try:
                return call()
            except StoreUnavailable as error:
                now = time.monotonic()
                if deadline is None:
                    deadline = now + self.seconds
                    log.warning("%s (asking again for %g s)", error, self.seconds)
                if now >= deadline:
                    raise
            except (WrongState, IntegrityError) as error:
                if deadline is None:
                    raise
                raise StoreUnavailable(
                    f"the database was away, and may have done what it was asked: {error}"
                ) from error
            time.sleep(min(1.0, self.seconds / 10))


class _Patient(Protocol):
    patience: Patience


Self = TypeVar("Self", bound=_Patient)


def patiently(method: Callable[Concatenate[Self, P], T]) -> Callable[Concatenate[Self, P], T]:
    """A method of one transaction that is repeated while the store is away, with the object's own `patience`."""

    @wraps(method)
    def repeated(self: Self, *args: P.args, **more: P.kwargs) -> T:
        return self.patience(lambda: method(self, *args, **more))

    return repeated
