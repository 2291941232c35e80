"""Options that do nothing as a sweep stands."""

from __future__ import annotations

from typing import Any

import pytest

from sweeps.spec.sweep import parse_spec
from sweeps.spec.without_effect import without_effect

SPEC = {"name": "s", "space": {"max_res": {"type": "int", "low": 512, "high": 1024}}}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"fidelity": {"eta": 5}}, "fidelity.eta=5: there are no rungs"),
        ({"fidelity": {"eta": 5, "rungs": [10]}}, "fidelity.eta=5: there is one rung"),
        (
            {"budget": {"trials": 5, "convergence": {"units": 30}}},
            "budget.convergence.units=30.0: 5 trials cost no more than so many full trainings",
        ),
        ({"budget": {"trials": 20, "convergence": {}}}, "budget.convergence.units=20.0: 20 trials"),
        ({"budget": {"trials": 3}, "search": {"repeats": {"top": 30}}}, "search.repeats.top=30: at most 3"),
        (
            {"parameters": {"threads": 4}, "resources": {"cpus_per_trial": 2}},
            "parameters.threads=4: a trial is given 2 of the CPUs (resources.cpus_per_trial) and trains with 4 threads",
        ),
        ({"parameters": {"threads": 0}}, "parameters.threads=0: a trial is given 1 of the CPUs"),
        ({"budget": {"hours": 1e300}}, "budget.hours=1e+300: more than a century"),
        ({"budget": {"trial_hours": 1e9}}, "budget.trial_hours=1000000000.0: more than a century"),
        (
            {"budget": {"gpu_hours": 1}, "resources": {"gpus_per_trial": 0}},
            "budget.gpu_hours=1.0: resources.gpus_per_trial is 0, so it ends nothing",
        ),
    ],
)
def test_each_is_told_once(parts: dict[str, Any], said: str) -> None:
    (issue,) = without_effect(parse_spec({**SPEC, **parts}))
    assert str(issue).startswith(said)


@pytest.mark.parametrize(
    "parts",
    [
        {},
        {"fidelity": {"eta": 3}},  # the default, as a form may send it
        {"fidelity": {"eta": 5, "rungs": [10, 20]}},
        {"budget": {"trials": 21, "convergence": {}}},
        {"budget": {"trials": 3}, "search": {"repeats": {"top": 3}}},
        {"parameters": {"threads": 2}, "resources": {"cpus_per_trial": 2}},
        {"budget": {"hours": 1e4, "gpu_hours": 1}},
    ],
)
def test_what_has_its_effect_is_not_told(parts: dict[str, Any]) -> None:
    assert without_effect(parse_spec({**SPEC, **parts})) == []


def test_gpu_hours_on_a_machine_without_a_gpu() -> None:
    spec = parse_spec({**SPEC, "budget": {"gpu_hours": 1}})
    assert without_effect(spec, gpus=1) == []
    (issue,) = without_effect(spec, gpus=0)
    assert str(issue) == "budget.gpu_hours=1.0: this machine has no GPU, so it ends nothing; give hours"
