"""Problems: every error leaves the service as application/problem+json (RFC 9457).

`type` is a URN that a program can match on, `detail` is one line for a person, `field` names what is at fault
(dotted, as in the spec: `space.max_res.low`), `errors` lists all faults where there are several.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from f3rm_core import F3RMError, InvalidParameter, SceneError, UsageError, WeightsUnavailable
from sweeps.errors import (
    IdempotencyConflict,
    InvalidSpec,
    LeaseHeld,
    NoResults,
    NotAnAblation,
    NotASearch,
    StoreUnavailable,
    UnknownPreset,
    UnknownScenario,
    UnknownSweep,
    UnknownTrial,
    WrongState,
)

PROBLEM_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:f3rm-sweeps:problem:"

# The first that fits: class, status, end of the type URN, field at fault ("" where none is).
_KINDS: tuple[tuple[type[F3RMError], int, str, str], ...] = (
    (UnknownSweep, 404, "unknown-sweep", ""),
    (UnknownTrial, 404, "unknown-trial", ""),
    (UnknownPreset, 404, "unknown-preset", ""),
    (UnknownScenario, 422, "unknown-scenario", "scenario"),
    (WrongState, 409, "wrong-state", ""),
    (LeaseHeld, 409, "wrong-state", ""),
    (NoResults, 409, "no-results", ""),
    (NotAnAblation, 409, "not-an-ablation", ""),
    (NotASearch, 409, "not-a-search", ""),
    (IdempotencyConflict, 409, "idempotency-conflict", "Idempotency-Key"),
    (SceneError, 422, "invalid-scene", "scene"),
    (WeightsUnavailable, 422, "weights-unavailable", ""),
    (StoreUnavailable, 503, "store-unavailable", ""),
    (UsageError, 422, "unusable-request", ""),
)

logger = logging.getLogger(__name__)


class Fault(BaseModel):
    """One thing at fault in a request."""

    field: str = Field(description="Where: dotted path in the body, or name of the query parameter or header.")
    detail: str = Field(description="What is wrong with it, and what would do.")


class Problem(BaseModel):
    """An error (RFC 9457)."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "type": f"{TYPE_PREFIX}invalid-request",
                "title": "Invalid request",
                "status": 422,
                "detail": "budget.trials: Input should be greater than or equal to 1",
                "field": "budget.trials",
                "errors": [{"field": "budget.trials", "detail": "Input should be greater than or equal to 1"}],
            }
        }
    )

    type: str = Field(description="URN of the kind of problem; stable, made for programs.")
    title: str = Field(description="The kind of problem in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="One line: what is wrong, with which value, and what to do.")
    field: str | None = Field(default=None, description="The (first) field at fault, if one is.")
    errors: list[Fault] = Field(
        default_factory=list,
        description="All fields at fault; what a sweep's base and scene lack is told once there are none.",
    )


class ProblemError(Exception):
    """Raised anywhere in a route to answer with a problem.

    Args:
        status: the HTTP status.
        slug: end of the type URN, in kebab case; the title is made from it.
        detail: one line for a person.
        errors: the fields at fault; the first becomes `field`.
        headers: headers of the answer.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        detail: str,
        *,
        errors: Sequence[Fault] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(
            type=TYPE_PREFIX + slug,
            title=slug.replace("-", " ").capitalize(),
            status=status,
            detail=" ".join(detail.split()),
            field=(errors[0].field or None) if errors else None,
            errors=list(errors),
        )
        self.headers = dict(headers or {})


def problem_response(error: ProblemError) -> JSONResponse:
    """The HTTP answer for a problem; also used where no route is: middleware and the dashboard's guard."""
    return JSONResponse(
        error.problem.model_dump(exclude_none=True),
        status_code=error.problem.status,
        headers=error.headers,
        media_type=PROBLEM_TYPE,
    )


def problem_of(error: Exception) -> ProblemError:
    """What the service says of an exception. Of an unforeseen one it says nothing but that it happened."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, RequestValidationError):
        return invalid_request([_fault(item) for item in error.errors()])
    if isinstance(error, HTTPException):
        slug = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        return ProblemError(error.status_code, slug, str(error.detail), headers=error.headers)
    if isinstance(error, F3RMError):
        return _problem_of_f3rm(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT):
        reason = f"the service can't write {error.filename or 'its data folder'}: {error.strerror}"
        return ProblemError(507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500, "storage-unwritable", reason)
    return ProblemError(500, "internal-error", "an unforeseen error; the service's log has the traceback")


def invalid_request(faults: Sequence[Fault]) -> ProblemError:
    """422 with the fields at fault."""
    first = faults[0]
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    where = f"{first.field}: " if first.field else ""
    return ProblemError(422, "invalid-request", f"{where}{first.detail}{more}", errors=faults)


def register(app: FastAPI) -> None:
    """Make every exception of `app` a problem."""

    async def answer(request: Request, error: Exception) -> JSONResponse:
        problem = problem_of(error)
        if problem.problem.status >= 500:
            logger.error("%s %s: %r", request.method, request.url.path, error, exc_info=error)
        return problem_response(problem)

    for kind in (ProblemError, RequestValidationError, HTTPException, F3RMError, OSError, Exception):
        app.add_exception_handler(kind, answer)


def problem_docs(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: which statuses answer with a problem."""
    return {status: {"model": Problem, "description": HTTPStatus(status).phrase} for status in statuses}


def _problem_of_f3rm(error: F3RMError) -> ProblemError:
    detail = str(error)
    if isinstance(error, InvalidSpec):
        faults = [Fault(field=issue.field, detail=issue.remedy) for issue in error.issues]
        return ProblemError(422, "invalid-spec", detail, errors=faults)
    if isinstance(error, InvalidParameter):
        return ProblemError(422, "invalid-parameter", detail, errors=[Fault(field=error.name, detail=error.remedy)])
    for kind, status, slug, field in _KINDS:
        if isinstance(error, kind):
            return ProblemError(status, slug, detail, errors=[Fault(field=field, detail=detail)] if field else ())
    return ProblemError(500, "internal-error", "an unforeseen error; the service's log has the traceback")


def _fault(item: Mapping[str, Any]) -> Fault:
    # The first part says where pydantic looked (body, query, path, header): of use only in FastAPI.
    location = [str(part) for part in item["loc"]]
    if location and location[0] in ("body", "query", "path", "header"):
        location = location[1:]
    return Fault(field=".".join(location), detail=str(item["msg"]))
