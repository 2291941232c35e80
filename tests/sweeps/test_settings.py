"""Settings from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.errors import InvalidSetting
from sweeps.settings import Settings


def test_defaults_lie_in_the_users_folders() -> None:
    settings = Settings.from_environment({})
    assert settings.store_url == f"sqlite:///{settings.data_dir / 'f3rm.db'}"
    assert settings.ray_address is None
    assert settings.lease_seconds == 30.0


def test_a_childs_environment_gives_the_same_settings(tmp_path: Path) -> None:
    settings = Settings.from_environment(
        {
            "F3RM_DATA_DIR": str(tmp_path),
            "F3RM_STORE_URL": "postgresql://h/d",
            "F3RM_SCENE_ROOT": "/scenes",
            "F3RM_RAY_ADDRESS": "auto",
            "F3RM_LEASE_SECONDS": "12.5",
        }
    )
    assert Settings.from_environment(settings.to_environment()) == settings
    assert settings.trial_dir("s1", 7) == tmp_path / "sweeps" / "s1" / "trials" / "0007"


@pytest.mark.parametrize("value", ["inf", "2.7", "0", "many", "1e3"])
def test_attempts_are_a_whole_number(value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"^F3RM_MAX_ATTEMPTS='{value}': give a whole number of at least 1$"):
        Settings.from_environment({"F3RM_MAX_ATTEMPTS": value})
    assert Settings.from_environment({"F3RM_MAX_ATTEMPTS": "5"}).max_attempts == 5


@pytest.mark.parametrize("value", ["soon", "0", "-3", "nan", "inf"])
def test_a_lease_that_can_not_work_is_refused(value: str) -> None:
    with pytest.raises(InvalidSetting, match=f"F3RM_LEASE_SECONDS='{value}'"):
        Settings.from_environment({"F3RM_LEASE_SECONDS": value})
