"""The body of a request as text, JSON or YAML: the spec's own reader understands both and names the user's fields."""

from __future__ import annotations

from fastapi import Request

from service.errors import ProblemError

MAX_BODY_BYTES = 1 << 20
YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml")
BODY_TYPES = ("application/json", *YAML_TYPES)


async def body_text(request: Request) -> str:
    """The body, at most 1 MiB of UTF-8.

    Raises:
        ProblemError: another content type (415), too long (413), empty or not UTF-8 (400).
    """
    content_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if content_type not in BODY_TYPES:
        raise ProblemError(
            415,
            "unsupported-content-type",
            f"Content-Type {content_type!r}: send application/json or application/yaml",
            headers={"Accept-Post": ", ".join(BODY_TYPES)},
        )
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise ProblemError(413, "body-too-large", f"the body is longer than {MAX_BODY_BYTES} bytes")
    if not body.strip():
        raise ProblemError(400, "empty-body", "the body is empty: send JSON or YAML")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise ProblemError(400, "not-text", "the body is not UTF-8 text") from None
