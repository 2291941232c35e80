"""One training run: repeatable, resumable, honest about failure."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from f3rm_core import (
    CheckpointError,
    Diverged,
    InvalidParameter,
    OutOfMemory,
    Report,
    TrainResult,
    build_config,
    load_scene,
    train,
)
from f3rm_core.evaluation import cost
from f3rm_core.scenes.prepare import SceneData, open_scene
from f3rm_core.training.optimization import Optimization

Runner = Callable[..., TrainResult]
QUALITY = ("psnr", "ssim", "feature_cosine", "feature_gain", "feature_mse")


@pytest.fixture
def run(tiny_scene: Path, tiny_parameters: dict[str, Any]) -> Runner:
    def runner(steps: int, *, changes: dict[str, Any] | None = None, **arguments: Any) -> TrainResult:
        config = build_config({**tiny_parameters, **(changes or {})})
        return train(config, load_scene(str(tiny_scene)), budget_steps=steps, **arguments)

    return runner


def quality(result: TrainResult) -> list[float]:
    return [result.metrics[name] for name in QUALITY]


def test_every_metric_is_there_and_learning_shows(run: Runner) -> None:
    short, long = run(2), run(200)
    assert set(short.metrics) == {*QUALITY, "train_seconds", "render_seconds", "peak_memory_gb"}
    assert long.metrics["psnr"] > short.metrics["psnr"] + 2.0
    assert long.metrics["feature_gain"] > short.metrics["feature_gain"]
    assert (long.steps, long.seed, long.threads, long.device) == (200, 0, 1, "cpu")
    assert long.backend == "numba"


@pytest.mark.parametrize("threads", [1, 2])
def test_the_same_seed_gives_the_same_bits_and_another_does_not(threads: int, run: Runner) -> None:
    first, again = run(6, threads=threads), run(6, threads=threads)
    other = run(6, threads=threads, changes={"seed": 1})
    assert quality(first) == quality(again)
    assert quality(first) != quality(other)


@pytest.mark.parametrize("enable_cache", [True, False])
def test_features_extracted_on_the_way_do_not_change_the_training(
    enable_cache: bool, run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = run(3)  # features from the cache, or extracted by an earlier test
    monkeypatch.setenv("F3RM_CACHE_DIR", str(tmp_path / "empty"))
    assert quality(run(3, changes={"enable_cache": enable_cache})) == quality(known)
    assert quality(run(3)) == quality(known)


@pytest.mark.parametrize(("threads", "accumulated"), [(1, 1), (2, 1), (1, 2), (1, 4)])
def test_a_resumed_run_ends_as_an_unbroken_one(threads: int, accumulated: int, run: Runner, tmp_path: Path) -> None:
    changes = {"gradient_accumulation_steps": accumulated}
    unbroken = run(14, threads=threads, changes=changes)
    run(5, checkpoint_dir=tmp_path, threads=threads, changes=changes)
    resumed = run(14, resume_from=tmp_path, threads=threads, changes=changes)
    assert quality(resumed) == quality(unbroken)
    assert resumed.steps == 14


def test_a_killed_run_resumes_from_its_last_checkpoint(run: Runner, tmp_path: Path) -> None:
    class Stop(Exception):
        pass

    def stop_at_six(report: Report) -> None:
        if report.step >= 6:
            raise Stop

    with pytest.raises(Stop):
        run(12, checkpoint_dir=tmp_path, report_steps=(6,), changes={"steps_per_save": 4}, on_report=stop_at_six)
    (checkpoint,) = tmp_path.iterdir()
    assert checkpoint.name == "step-000000006.ckpt"
    assert quality(run(12, resume_from=checkpoint)) == quality(run(12))


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_run_that_was_ended_while_it_was_scored_has_its_checkpoint_and_its_loss(
    elsewhere: bool, run: Runner, tmp_path: Path
) -> None:
    before: list[Report] = []
    after: list[Report] = []
    first = run(5, checkpoint_dir=tmp_path / "first", on_report=before.append)
    folder = tmp_path / "second" if elsewhere else tmp_path / "first"
    again = run(5, checkpoint_dir=folder, resume_from=tmp_path / "first", on_report=after.append)
    assert again.checkpoint == folder / "step-000000005.ckpt"
    assert again.checkpoint.is_file()
    assert after[-1].loss == before[-1].loss > 0
    assert quality(again) == quality(first)


def test_neither_checkpoints_nor_resuming_take_memory(run: Runner, tmp_path: Path) -> None:
    """Peak memory is an objective: a trial must not look dearer because it was promoted."""

    def peak(steps: int, **arguments: Any) -> float:
        changes = {"log2_hashmap_size": 18, "num_levels": 8, "max_res": 1024}  # 3 million numbers
        return run(steps, changes=changes, **arguments).metrics["peak_memory_gb"]

    run(1)  # what a process's first training pays for
    unbroken = peak(4)
    assert peak(2, checkpoint_dir=tmp_path) < 1.1 * unbroken
    assert peak(4, resume_from=tmp_path) < 1.1 * unbroken


def test_metrics_come_at_the_report_steps_and_at_the_end(run: Runner) -> None:
    reports: list[Report] = []
    result = run(8, report_steps=(3, 5, 99), on_report=reports.append)
    scored = {report.step: report.metrics for report in reports if report.metrics}
    assert list(scored) == [3, 5, 8]
    assert scored[8] == result.metrics
    assert scored[3]["psnr"] != scored[8]["psnr"]


def test_times_count_what_a_gpu_has_only_queued(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clock that moves on only while the device is waited for: an hour each time."""
    waited = 0

    def wait(device: torch.device) -> None:
        nonlocal waited
        waited += 1

    monkeypatch.setattr(cost, "wait_for", wait)
    monkeypatch.setattr(time, "perf_counter", lambda: 3600.0 * waited)
    monkeypatch.setattr(time, "monotonic", lambda: 0.0)  # no report but the one that is asked for
    result = run(4, report_steps=(2,))
    assert result.metrics["render_seconds"] == 3600.0
    assert result.metrics["train_seconds"] == 2 * 3600.0  # steps 1 and 2, then 3 and 4


def test_scoring_on_the_way_does_not_change_the_training(run: Runner) -> None:
    assert quality(run(8, report_steps=(2, 4, 6))) == quality(run(8))


def test_a_checkpoint_of_another_configuration_is_refused(run: Runner, tmp_path: Path) -> None:
    run(2, checkpoint_dir=tmp_path)
    with pytest.raises(CheckpointError, match=r"hidden_dim is 16 there and 32 here"):
        run(4, resume_from=tmp_path, changes={"hidden_dim": 32})


def test_a_checkpoint_belongs_to_the_scenes_content_wherever_it_lies(
    run: Runner, tiny_scene: Path, tiny_parameters: dict[str, Any], tmp_path: Path
) -> None:
    checkpoints, config = tmp_path / "checkpoints", build_config(tiny_parameters)
    unbroken = run(4)
    run(2, checkpoint_dir=checkpoints)
    moved = Path(shutil.copytree(tiny_scene, tmp_path / "moved", copy_function=shutil.copyfile))
    resumed = train(config, load_scene(str(moved)), budget_steps=4, resume_from=checkpoints)
    assert quality(resumed) == quality(unbroken)
    transforms = json.loads((moved / "transforms.json").read_text())
    (moved / "transforms.json").write_text(json.dumps({**transforms, "fl_x": 2 * transforms["fl_x"]}))
    with pytest.raises(
        CheckpointError, match=r"content of the scene is '\w+' there and '\w+' here; resume with the same"
    ):
        train(config, load_scene(str(moved)), budget_steps=4, resume_from=checkpoints)


def test_a_checkpoint_carries_over_to_another_backend(run: Runner, tmp_path: Path) -> None:
    numba = run(5, checkpoint_dir=tmp_path)
    reference = run(5, resume_from=tmp_path, changes={"encoding_backend": "reference"})
    assert reference.backend == "reference"
    assert quality(reference) == pytest.approx(quality(numba), rel=1e-4)


def test_an_infinite_loss_stops_the_run_as_diverged(run: Runner, tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="diverged") as caught:
        run(40, checkpoint_dir=tmp_path, changes={"lr": 1e6, "steps_per_save": 1})
    assert caught.value.reason == "diverged"


def test_a_checkpoint_is_never_of_parameters_that_are_not_finite(
    run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Optimization.step

    def spoilt(self: Optimization, number: int, *inputs: Any) -> torch.Tensor:
        loss = real(self, number, *inputs)
        if number == 5:  # as a gradient that overflows does, while the loss is still finite
            with torch.no_grad():
                self.model.field.color.first[0, 0] = torch.nan
        return loss

    monkeypatch.setattr(Optimization, "step", spoilt)
    with pytest.raises(Diverged, match=r"parameters of fields are not finite after step 5"):
        run(12, checkpoint_dir=tmp_path, changes={"steps_per_save": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["step-000000004.ckpt"]


def test_out_of_memory_has_its_reason_and_the_process_trains_on(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    # 2^20 rays of 4096 samples: about 50 GB for the positions alone, which the allocator refuses at once.
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (_address_space_bytes() + 2 * 10**9, before[1]))
    try:
        with pytest.raises(OutOfMemory) as caught:
            run(1, changes={"train_num_rays_per_batch": 1 << 20, "num_nerf_samples_per_ray": 4096})
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
    assert caught.value.reason == "oom"
    assert run(1).steps == 1


@pytest.mark.parametrize("said", ["CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"])
def test_a_library_that_finds_no_memory_is_out_of_memory_and_another_error_is_not(run: Runner, said: str) -> None:
    def fail(message: str) -> Callable[[Report], None]:
        def on_report(report: Report) -> None:
            raise RuntimeError(message)

        return on_report

    with pytest.raises(OutOfMemory):
        run(1, on_report=fail(said))
    with pytest.raises(RuntimeError, match="an illegal memory access"):
        run(1, on_report=fail("CUDA error: an illegal memory access was encountered"))


def test_no_steps_is_refused(run: Runner) -> None:
    with pytest.raises(InvalidParameter, match="max_num_iterations=0"):
        run(0)


def test_what_opening_the_scene_takes_is_not_the_runs(run: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a cache the feature model runs in this process; what stays of it, images and maps, is the run's."""

    def opened(*arguments: Any) -> SceneData:
        passing = np.ones(300_000_000, np.uint8)
        assert passing.all()
        return open_scene(*arguments)

    monkeypatch.setattr("f3rm_core.training.trainer.open_scene", opened)
    assert run(1, changes={"enable_cache": False}).peak_memory_bytes < 150_000_000


def test_gradient_accumulation_changes_the_result(run: Runner) -> None:
    assert quality(run(4, changes={"gradient_accumulation_steps": 2})) != quality(run(4))


def test_the_panel_is_written(run: Runner, tmp_path: Path) -> None:
    from PIL import Image

    result = run(2, pictures_dir=tmp_path)
    with Image.open(result.pictures["panel"]) as panel:
        assert panel.width > 4 * panel.height  # five tiles in a row


def test_camera_poses_are_refined_where_asked(run: Runner) -> None:
    assert quality(run(4, changes={"camera_opt_mode": "SO3xR3"})) != quality(run(4))


def _address_space_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * 4096
