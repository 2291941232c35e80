"""A local Ray without the processes that one driver on one machine has no use for.

Ray starts an autoscaler, a log monitor and a dashboard, each a Python process whose imports take seconds on a small
machine, and its raylet gives up if an agent has not opened its port within 15 s. Measured on two busy cores (load 4
to 6): 36 s to start as shipped, 13 to 20 s so. Ray has no public settings for this; where its inside differs, it
starts as shipped.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import ray._private.node
import ray._private.parameter
from ray import _raylet

_FIXED = {"no_monitor": True, "include_log_monitor": False}
_PORTS = ("metrics_agent_port", "metrics_export_port", "runtime_env_agent_port", "dashboard_agent_listen_port")


@contextmanager
def lean_ray() -> Iterator[None]:
    """Within the block, `ray.init` of a new local Ray starts only what runs trials."""
    shipped = ray._private.parameter.RayParams
    node = ray._private.node.Node
    if not _is_as_known(shipped, node):
        yield
        return

    class LeanParams(shipped):  # type: ignore[misc, valid-type]
        """Ray's parameters, with what we leave out, and ports that the raylet need not wait to be told."""

        def __init__(self, **given: Any) -> None:
            super().__init__(**{**given, **_FIXED, **dict(zip(_PORTS, _free_ports(len(_PORTS)), strict=True))})

    start_raylet = node.start_raylet

    def start_raylet_at_once(self: Any, *given: Any, **named: Any) -> Any:
        # The raylet is told this port by a file alone, which its agent writes when it is up at last.
        port = self.dashboard_agent_listen_port
        name = _raylet.DASHBOARD_AGENT_LISTEN_PORT_NAME  # type: ignore[attr-defined]
        _raylet.persist_port(self._session_dir, self._node_id, name, port)  # type: ignore[attr-defined]
        return start_raylet(self, *given, **named)

    with ExitStack() as stack:
        stack.enter_context(patch.object(node, "start_raylet", start_raylet_at_once))
        stack.enter_context(patch.object(ray._private.parameter, "RayParams", LeanParams))
        stack.enter_context(patch.object(node, "start_api_server", lambda self, **_given: None))
        yield


def _is_as_known(shipped: type, node: type) -> bool:
    """Whether this Ray's inside has what is changed here."""
    known = shipped.__init__.__code__.co_varnames  # type: ignore[misc]
    places = [(node, "start_api_server"), (node, "start_raylet"), (_raylet, "persist_port")]
    places.append((_raylet, "DASHBOARD_AGENT_LISTEN_PORT_NAME"))
    return all(name in known for name in (*_FIXED, *_PORTS)) and all(hasattr(owner, name) for owner, name in places)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
