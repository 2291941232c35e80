"""What doctor finds, and when it says that sweeps can't run."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from sweeps.cli import doctor
from tests.sweeps.cli.conftest import Command

ROOT = Path(doctor.__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what loads torch and asks the network, and how full this machine's disk is."""
    found = {
        "device": "cpu",
        "tinycudann": "not installed",
        "clip_weights": {"mini": "ready", "openai": "can't be had"},
        "dino_weights": {"small": "ready", "base": "not on this machine"},
    }
    monkeypatch.setattr(doctor, "describe_environment", lambda: found)
    monkeypatch.setattr(doctor, "packages_distributions", lambda: {"sweeps": ["f3rm-sweeps"]})
    monkeypatch.setattr(doctor, "LOWEST_FREE_BYTES", 0)


def test_a_sound_machine(command: Command) -> None:
    ran = command("doctor", "--json")
    found = {finding["what"]: finding["status"] for finding in json.loads(ran.out)}
    assert ran.code == 0
    assert found["package sweeps"] == found["database"] == found["data folder"] == found["ray"] == "ok"
    assert found["tinycudann"] == found["clip weights: openai"] == "note"
    assert found["clip weights: mini"] == found["dino weights: small"] == "ok"
    assert found["dino weights: base"] == "note"


def test_packages_that_cant_be_imported_are_bad(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ImportError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setattr(doctor, "describe_environment", fail)
    ran = command("doctor")
    assert ran.code == 1
    assert "libcudart.so.13" in ran.out


def test_a_package_of_another_distribution_in_our_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "sweeps_elsewhere"
    other.mkdir()
    (other / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = doctor.check_package("sweeps_elsewhere", ROOT)
    assert finding.status == "bad"
    assert str(other) in finding.detail


def test_a_package_that_is_not_there() -> None:
    assert doctor.check_package("no_such_package_of_ours", ROOT).status == "bad"


def test_another_distribution_that_claims_our_name() -> None:
    finding = doctor.check_package("sweeps", ROOT, ["f3rm-sweeps", "wandb-sweeps"])
    assert finding.status == "bad"
    assert "wandb-sweeps" in finding.detail


def test_a_database_that_cant_be_opened(command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("this is no database, it is a text of more than sixteen bytes")
    monkeypatch.setenv("F3RM_STORE_URL", f"sqlite:///{tmp_path / 'text.db'}")
    ran = command("doctor", "--json")
    assert ran.code == 1
    bad = [finding["what"] for finding in json.loads(ran.out) if finding["status"] == "bad"]
    assert bad == ["database"]


class TestFolders:
    def test_one_that_will_be_made(self, tmp_path: Path) -> None:
        assert doctor.check_folder("data folder", tmp_path / "a" / "b").status == "ok"
        assert not (tmp_path / "a").exists()

    def test_a_file_in_the_way(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        assert doctor.check_folder("data folder", tmp_path / "file" / "data").status == "bad"

    @pytest.mark.skipif(sys.platform != "win32" and os.geteuid() == 0, reason="root may write everywhere")
    def test_one_that_cant_be_written(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        assert doctor.check_folder("data folder", tmp_path / "data").status == "bad"

    def test_a_disk_that_is_nearly_full(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(doctor, "LOWEST_FREE_BYTES", 1 << 62)
        assert doctor.check_folder("data folder", tmp_path).status == "note"

    def test_a_scene_root_that_is_not_there(self, tmp_path: Path) -> None:
        assert doctor.check_folder("scene root", tmp_path / "none", write=False).status == "bad"
