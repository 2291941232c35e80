"""Settings of the service: the sweeps' settings, and where it listens."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from sweeps.errors import InvalidSetting
from sweeps.settings import Settings, whole_number

DEFAULT_PORT = 8765
LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class ServiceSettings:
    """What the service needs to know.

    Args:
        sweeps: where the store, the folders and the scenes are.
        host: address to listen on; loopback only, as there is no authentication.
        port: TCP port; 0 takes a free one.
        max_drivers: sweeps that run at once. One by default: two sweeps on one machine would spoil each other's
            train_seconds. Sweeps beyond it stay queued, the oldest first.
    """

    sweeps: Settings
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    max_drivers: int = 1

    def __post_init__(self) -> None:
        if self.host not in LOOPBACK_HOSTS:
            raise InvalidSetting(
                f"host={self.host!r}: the service has no authentication and listens on loopback only; "
                "give 127.0.0.1 and reach it from elsewhere by an SSH tunnel"
            )
        if not 0 <= self.port <= 65535:
            raise InvalidSetting(f"port={self.port}: give a port from 0 (any free one) to 65535")
        if self.max_drivers < 1:
            raise InvalidSetting(f"max_drivers={self.max_drivers}: give at least 1")

    @classmethod
    def from_environment(
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        overrides: Mapping[str, Any] = MappingProxyType({}),
    ) -> ServiceSettings:
        """Read F3RM_HOST, F3RM_PORT and F3RM_MAX_DRIVERS beside the sweeps' own settings.

        Args:
            environment: None takes the process's.
            overrides: field -> value, before the environment.

        Raises:
            InvalidSetting: a value that can't work.
        """
        env = os.environ if environment is None else environment
        read = {
            "sweeps": Settings.from_environment(env),
            "host": env.get("F3RM_HOST") or "127.0.0.1",
            "port": whole_number(env, "F3RM_PORT", default=DEFAULT_PORT, low=0),
            "max_drivers": whole_number(env, "F3RM_MAX_DRIVERS", default=1, low=1),
        }
        return cls(**{**read, **overrides})
