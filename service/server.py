"""One process of the service: binds, tells where, serves, and takes its address back at the end."""

from __future__ import annotations

import errno
import signal
import socket
import sys

from f3rm_core import UsageError
from service.settings import ServiceSettings
from sweeps.address import forget_address, read_address, write_address


class AddressInUse(UsageError):
    """The port is taken, or another service already serves this data folder."""


def serve(settings: ServiceSettings) -> None:
    """Serve until a signal ends it. Drivers that it started run on and finish by themselves.

    Raises:
        AddressInUse: the port is taken, or a service of this data folder already answers.
        StoreUnavailable: the database can't be opened.
        OSError: the data folder can't be written.
    """
    _refuse_second(settings)
    listener = _bind(settings.host, settings.port)
    import uvicorn

    from service.app import create_app

    port = listener.getsockname()[1]
    url = f"http://[{settings.host}]:{port}" if ":" in settings.host else f"http://{settings.host}:{port}"
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3))
    write_address(settings.sweeps.data_dir, url)
    print(f"dashboard {url}/  API {url}/api/v1  OpenAPI {url}/docs  data {settings.sweeps.data_dir}", flush=True)
    # uvicorn ends in order at either signal and then raises it again: that must not end us before we have cleaned up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        forget_address(settings.sweeps.data_dir, url)
        listener.close()


def _refuse_second(settings: ServiceSettings) -> None:
    url = read_address(settings.sweeps.data_dir)
    if url is None:
        return
    import httpx

    try:
        httpx.get(f"{url}/healthz", timeout=2.0, trust_env=False).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL):
        return
    raise AddressInUse(
        f"a service already answers at {url} for {settings.sweeps.data_dir}: use it, stop it, or set F3RM_DATA_DIR"
    )


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    if sys.platform != "win32":  # there the option would let two programs share the port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise AddressInUse(f"port {port} on {host} is in use: give another one (--port, or F3RM_PORT)") from None
        if error.errno == errno.EACCES:
            raise AddressInUse(f"port {port} on {host} needs rights that you lack: give one above 1023") from None
        raise
    return listener
