"""What one trial asks for against what there is."""

from __future__ import annotations

import pytest

from sweeps.spec import capacity
from sweeps.spec.capacity import check_capacity, check_here, gpus_here
from sweeps.spec.sweep import Resources


@pytest.mark.parametrize(
    ("asked", "gpus", "said"),
    [
        ({"cpus_per_trial": 4, "gpus_per_trial": 2.0}, 2, []),
        ({"gpus_per_trial": 0.0}, 0, []),
        ({"gpus_per_trial": 0.5}, 1, []),
        ({"gpus_per_trial": 8.0}, None, []),
        ({"cpus_per_trial": 5}, 0, ["resources.cpus_per_trial=5: here has 4 CPUs; give at most so many"]),
        ({"gpus_per_trial": 2.0}, 1, ["resources.gpus_per_trial=2.0: here has 1 GPU; give at most so many"]),
        ({"gpus_per_trial": 0.5}, 0, ["resources.gpus_per_trial=0.5: here has no GPU; give 0, or leave it out"]),
    ],
)
def test_what_there_is_not(asked: dict[str, float], gpus: int | None, said: list[str]) -> None:
    issues = check_capacity(Resources.model_validate(asked), cpus=4, gpus=gpus, where="here")
    assert [str(issue) for issue in issues] == said


@pytest.mark.parametrize(
    ("devices", "visible", "expected"),
    [
        (["nvidia0", "nvidia1"], None, 2),
        (["nvidia0", "nvidia1"], "1", 1),
        (["nvidia0"], "0,1", 1),
        (["nvidia0"], "", 0),
        (["nvidia0"], "-1", 0),
        ([], None, 0),
        (["dxg"], None, None),
        (["kfd"], "0", None),
    ],
)
def test_the_gpus_that_a_machine_shows(
    monkeypatch: pytest.MonkeyPatch, devices: list[str], visible: str | None, expected: int | None
) -> None:
    monkeypatch.setattr(capacity.glob, "glob", lambda _: [one for one in devices if one.startswith("nvidia")])
    monkeypatch.setattr(capacity.os.path, "exists", lambda path: path.removeprefix("/dev/") in devices)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus_here() == expected


def test_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capacity.os, "cpu_count", lambda: 2)
    (issue,) = check_here(Resources(cpus_per_trial=1000))
    assert str(issue) == "resources.cpus_per_trial=1000: this machine has 2 CPUs; give at most so many"
