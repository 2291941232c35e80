"""What may reach a service that has no authentication: requests of this machine's own programs and pages.

The service listens on loopback, but a web page open in a browser on this machine can send requests there too. Two
checks stop that: the Host header must name this machine (against DNS rebinding), and a request that changes
something must not come from a page of another origin (against forged requests, which need no answer to do harm).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.errors import ProblemError, problem_response

READING_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES = frozenset({"127.0.0.1", "localhost", "::1"})


class LoopbackGuard:
    """ASGI middleware: refuses requests that name another host or come from a page of another origin."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            refusal = _refusal(scope["method"], Headers(scope=scope))
            if refusal is not None:
                await problem_response(refusal)(scope, receive, send)
                return
        await self.app(scope, receive, send)


def _refusal(method: str, headers: Headers) -> ProblemError | None:
    host = headers.get("host", "")
    if _hostname(f"//{host}") not in LOOPBACK_NAMES:
        return ProblemError(
            421, "wrong-host", f"Host {host!r}: this service answers on loopback only; use http://127.0.0.1"
        )
    origin = headers.get("origin")
    if method not in READING_METHODS and origin is not None and urlsplit(origin).netloc != host:
        return ProblemError(403, "foreign-origin", f"Origin {origin!r} is not this service ({host}): refused")
    return None


def _hostname(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:  # an unclosed bracket
        return None
