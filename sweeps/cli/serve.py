"""serve: the service in the foreground."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; loopback only. [F3RM_HOST, 127.0.0.1]")
    ] = None,
    port: Annotated[int | None, typer.Option(help="Port; 0 takes a free one. [F3RM_PORT, 8765]")] = None,
) -> None:
    """Run the service: REST under /api/v1, the Optuna dashboard at /.

    Interrupted sweeps are resumed at the start; one whose driver is killed at work goes on by itself.
    Ctrl-C ends the service; sweeps that run go on without it.

    Example: f3rm-sweeps serve --port 9000
    """
    # By name: the service imports the sweeps, and nothing imports the service.
    settings_type = importlib.import_module("service.settings").ServiceSettings
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    settings = settings_type.from_environment(overrides=given)
    importlib.import_module("service.server").serve(settings)
