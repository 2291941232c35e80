"""What the command makes of a service's answers, and of addresses where none is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from f3rm_core import UsageError
from sweeps.address import write_address
from sweeps.cli.client import Client, NoService
from sweeps.cli.exits import CommandFailed
from sweeps.settings import Settings

Answers = dict[tuple[str, str], tuple[int, str]]
OK = json.dumps({"status": "ok"})


class Server:
    """A small server that answers as it is told and remembers what it was sent."""

    def __init__(self) -> None:
        self.answers: Answers = {("GET", "/healthz"): (200, OK)}
        self.headers: dict[str, str] = {}
        self.body = b""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                outer.headers = dict(self.headers.items())
                outer.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, text = outer.answers.get((self.command, self.path), (404, "<html>no</html>"))
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

            do_GET = do_POST = _answer  # noqa: N815  # names of http.server

            def log_message(self, *_: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, daemon=True).start()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.http.shutdown()
    made.http.server_close()


SWEEPS = ("POST", "/api/v1/sweeps")


def test_sends_the_spec_with_its_key(server: Server) -> None:
    server.answers[SWEEPS] = (201, '{"id": "abc"}')
    assert Client(server.url).submit("{}", content_type="application/json", idempotency_key="k") == {"id": "abc"}
    assert (server.body, server.headers["Content-Type"], server.headers["Idempotency-Key"]) == (
        b"{}",
        "application/json",
        "k",
    )


@pytest.mark.parametrize(
    ("status", "text", "error", "said"),
    [
        (422, '{"detail": "scene /x: no such folder"}', UsageError, "scene /x: no such folder"),
        (409, '{"detail": "the key was used"}', UsageError, "the key was used"),
        (500, '{"detail": "an unforeseen error"}', CommandFailed, "an unforeseen error"),
        (503, "{}", CommandFailed, "status 503"),
        (200, "<html>a router's page</html>", CommandFailed, "does not answer as this service does"),
        (200, "[]", CommandFailed, "does not answer as this service does"),
    ],
)
def test_a_refusal_is_wrong_use_and_a_failure_is_not(
    server: Server, status: int, text: str, error: type[Exception], said: str
) -> None:
    server.answers[SWEEPS] = (status, text)
    with pytest.raises(error, match=said):
        Client(server.url).submit("{}", content_type="application/json")


class TestFind:
    def test_what_is_given_comes_first(
        self, server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("F3RM_SERVER", "http://127.0.0.1:1")
        assert Client.find(settings, server.url + "/").url == server.url

    def test_then_the_environment(self, server: Server, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        write_address(settings.data_dir, "http://127.0.0.1:1")
        monkeypatch.setenv("F3RM_SERVER", server.url)
        assert Client.find(settings, None).url == server.url

    def test_then_the_service_of_the_data_folder(self, server: Server, settings: Settings) -> None:
        write_address(settings.data_dir, server.url)
        assert Client.find(settings, None).url == server.url

    def test_none_at_all(self, settings: Settings) -> None:
        with pytest.raises(NoService, match="f3rm-sweeps serve"):
            Client.find(settings, None)

    def test_one_that_was_killed(self, settings: Settings) -> None:
        write_address(settings.data_dir, "http://127.0.0.1:1")
        with pytest.raises(NoService, match="f3rm-sweeps serve"):
            Client.find(settings, None)

    def test_another_programs_port(self, server: Server, settings: Settings) -> None:
        server.answers.clear()
        with pytest.raises(NoService, match="no service answers"):
            Client.find(settings, server.url)

    @pytest.mark.parametrize("url", ["localhost:8765", "ftp://host", "http://", "nonsense"])
    def test_an_address_that_is_none(self, settings: Settings, url: str) -> None:
        with pytest.raises(UsageError, match="give an address"):
            Client.find(settings, url)
