"""What may start: asked a hundred times for each decision, and told once with its remedy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from podium import Podium

from sweeps.search.refusal import may_start, refusal_of
from sweeps.settings import Settings
from sweeps.spec.memory import predicted_memory_gb
from sweeps.spec.sweep import SweepSpec, check_spec
from sweeps.store.records import Completed
from sweeps.store.repository import Repository

RAYS = {"train_num_rays_per_batch": {"type": "int", "low": 256, "high": 65536, "log": True}}
PARTS: dict[str, Any] = {"base": "demo_cpu", "space": RAYS, "objectives": ["psnr"]}


@pytest.mark.parametrize("allow", [[], ["memory-limit"]])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_may_start_says_whether_there_is_a_refusal(
    spec_of: Callable[..., SweepSpec], device: str, allow: list[str]
) -> None:
    plan = check_spec(spec_of(**PARTS, constraints={"peak_memory_gb": 1.0}, allow=allow))
    said = []
    for max_res in (256, 1):  # the second is below base_res
        for rays in (256, 65536):
            configuration = plan.configuration({"train_num_rays_per_batch": rays, "max_res": max_res}, 0)
            said.append(may_start(plan, configuration, device=device))
            assert said[-1] == (refusal_of(plan, configuration, device=device) is None)
    assert said == [True, bool(allow), False, False]


def test_the_trials_device_counts(spec_of: Callable[..., SweepSpec]) -> None:
    plan = check_spec(spec_of(**PARTS))
    configuration = plan.configuration({"train_num_rays_per_batch": 4096}, 0)
    taken = {device: predicted_memory_gb(configuration, plan.scene, device=device) for device in ("cpu", "cuda")}
    least = min(taken, key=taken.__getitem__)
    plan = check_spec(spec_of(**PARTS, constraints={"peak_memory_gb": sum(taken.values()) / 2}))
    assert [device for device in taken if may_start(plan, configuration, device=device)] == [least]


def test_no_remedy_is_worked_out_where_nobody_reads_it(
    spec_of: Callable[..., SweepSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = check_spec(spec_of(**PARTS, constraints={"peak_memory_gb": 0.1}))
    monkeypatch.delattr("sweeps.spec.memory._best_change")
    assert not may_start(plan, plan.configuration({"train_num_rays_per_batch": 65536}, 0), device="cpu")


def test_the_model_proposes_what_the_trials_own_device_bears(
    repository: Repository, settings: Settings, spec_of: Callable[..., SweepSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Podium, "device", "cuda")  # whatever the machine of the driver has
    parts = {"budget": {"trials": 6}, "search": {"sampler": "model"}, "constraints": {"peak_memory_gb": 1.0}}
    desk = Podium(repository, settings, spec_of(**PARTS, **parts))
    while (job := desk.conductor.next_job()) is not None:
        taken = predicted_memory_gb(job.configuration, desk.plan.scene, device="cuda")
        assert taken <= 1.0
        metrics = {"psnr": 20.0 + taken, "peak_memory_gb": taken}  # the best are near the limit
        desk.work(job, Completed(metrics, "numba", "cuda", 1, 10, 1.0))
    assert {trial.failure_reason for trial in desk.trials()} == {None}
