"""Where the service may listen."""

from __future__ import annotations

import pytest

from service.settings import ServiceSettings
from sweeps.errors import InvalidSetting


def read(**variables: str) -> ServiceSettings:
    return ServiceSettings.from_environment(variables)


def test_loopback_and_the_documented_port_by_default() -> None:
    settings = read()
    assert (settings.host, settings.port, settings.max_drivers) == ("127.0.0.1", 8765, 1)


def test_what_is_given_comes_before_the_environment() -> None:
    settings = ServiceSettings.from_environment({"F3RM_PORT": "9000", "F3RM_HOST": "::1"}, overrides={"port": 0})
    assert (settings.host, settings.port) == ("::1", 0)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.2", "::", "example.org", "127.0.0.1.example.org"])
def test_no_other_address_than_loopback(host: str) -> None:
    with pytest.raises(InvalidSetting, match="loopback"):
        read(F3RM_HOST=host)


@pytest.mark.parametrize(
    ("name", "value"), [("F3RM_PORT", "x"), ("F3RM_PORT", "65536"), ("F3RM_PORT", "-1"), ("F3RM_MAX_DRIVERS", "0")]
)
def test_numbers_that_cant_work(name: str, value: str) -> None:
    with pytest.raises(InvalidSetting, match=value):
        read(**{name: value})


def test_a_setting_is_named_as_it_was_given() -> None:
    with pytest.raises(InvalidSetting, match=r"^F3RM_MAX_DRIVERS='0': give a whole number of at least 1$"):
        read(F3RM_MAX_DRIVERS="0")
