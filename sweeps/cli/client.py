"""Talking to the running service: what needs a process that goes on after the command (submit, resume)."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import urlsplit

from f3rm_core import F3RMError, UsageError
from sweeps.address import read_address
from sweeps.cli.exits import CommandFailed
from sweeps.settings import Settings

TIMEOUT_SECONDS = 30.0


class NoService(F3RMError):
    """No service answers."""


class Client:
    """The service at one address.

    Args:
        url: its address, without /api/v1.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    @classmethod
    def find(cls, settings: Settings, server: str | None) -> Client:
        """The service at `server`; without it, at F3RM_SERVER; without that, the one of this data folder.

        Raises:
            UsageError: the address is none.
            NoService: nothing answers there.
        """
        url = server or os.environ.get("F3RM_SERVER")
        if not url:
            return cls.of_data_folder(settings)
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise UsageError(f"server {url!r}: give an address such as http://127.0.0.1:8765")
        client = cls(url)
        if not client.answers():
            raise NoService(f"no service answers at {url}: is it running there?")
        return client

    @classmethod
    def of_data_folder(cls, settings: Settings) -> Client:
        """The service that runs for this data folder.

        Raises:
            NoService: none does.
        """
        url = read_address(settings.data_dir)
        if url is None or not (client := cls(url)).answers():
            raise NoService(
                f"no service is running for {settings.data_dir}: start one with `f3rm-sweeps serve`, "
                "or give --server URL"
            )
        return client

    def answers(self) -> bool:
        """Whether the service answers."""
        try:
            self._request("GET", "/healthz", timeout=5.0)
        except (NoService, CommandFailed, UsageError):
            return False
        return True

    def submit(self, spec: str, *, content_type: str, idempotency_key: str | None = None) -> dict[str, Any]:
        """POST a spec; return the sweep.

        Raises:
            UsageError: the service refused it; the message is the service's.
        """
        headers = {"Content-Type": content_type}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        return self._request("POST", "/api/v1/sweeps", content=spec.encode(), headers=headers)

    def resume(self, sweep_id: str) -> dict[str, Any]:
        """Resume a sweep; return it.

        Raises:
            UsageError: there is no such sweep, or its state does not allow it.
        """
        return self._request("POST", f"/api/v1/sweeps/{sweep_id}/resume")

    def _request(self, method: str, path: str, *, timeout: float = TIMEOUT_SECONDS, **arguments: Any) -> dict[str, Any]:
        import httpx

        # A proxy that the environment names is for other machines than this one.
        local = urlsplit(self.url).hostname in ("127.0.0.1", "localhost", "::1")
        try:
            with httpx.Client(trust_env=not local, timeout=timeout) as session:
                answer = session.request(method, self.url + path, **arguments)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoService(f"no answer from {self.url}: {error or type(error).__name__}") from None
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise CommandFailed(f"{self.url} does not answer as this service does (status {answer.status_code})")
        if answer.is_success:
            return body
        detail = str(body.get("detail") or f"status {answer.status_code}")
        raise UsageError(detail) if answer.status_code < 500 else CommandFailed(f"{self.url}: {detail}")
