"""What nerfstudio's commands read of ours: the same configuration, the same model, the same held-out views."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from nerfstudio.engine.optimizers import Optimizers
from nerfstudio.utils.eval_utils import eval_setup

from f3rm_core import (
    PARAMETERS,
    CheckpointError,
    TrainResult,
    UsageError,
    build_config,
    check_parameters,
    load_scene,
    nerfstudio_yaml,
    train,
    write_nerfstudio_run,
)
from f3rm_core.config import read_place
from f3rm_core.training.checkpoint import load_checkpoint
from tests.full_disk import no_room_beyond

STEPS = 30
CHANGES = {"lr": 0.02, "lr_fields": 0.005, "lr_max_steps": 100, "camera_opt_mode": "SO3xR3", "seed": 5}


@pytest.fixture(scope="module")
def parameters() -> dict[str, Any]:
    from tests.conftest import TINY_PARAMETERS

    return {**TINY_PARAMETERS, **CHANGES, "max_num_iterations": STEPS}


@pytest.fixture(scope="module")
def trained(parameters: dict[str, Any], tiny_scene: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    folder = tmp_path_factory.mktemp("trained")
    return train(
        build_config(parameters), load_scene(str(tiny_scene)), budget_steps=STEPS, checkpoint_dir=folder / "checkpoints"
    )


@pytest.fixture
def run(trained: TrainResult, parameters: dict[str, Any], tiny_scene: Path, tmp_path: Path) -> Path:
    """config.yml of the run folder."""
    assert trained.checkpoint is not None
    return write_nerfstudio_run(
        parameters,
        load_scene(str(tiny_scene)),
        trained.checkpoint,
        tmp_path,
        experiment="tiny",
        run="trial-3",
        device="cpu",
        header="# where it comes from\n",
    )


class TestConfig:
    def test_loading_it_gives_the_same_configuration(self, parameters: dict[str, Any], tiny_scene: Path) -> None:
        text = nerfstudio_yaml(parameters, load_scene(str(tiny_scene)), device="cpu", header="# said before\n")
        assert text.startswith("# said before\n!!python/object:f3rm_core.config.F3RMTrainerConfig")
        loaded = yaml.load(text, Loader=yaml.Loader)
        expected = build_config(parameters)
        expected.data = expected.pipeline.datamanager.data = tiny_scene
        expected.vis, expected.machine.device_type = "tensorboard", "cpu"
        assert loaded == expected

    def test_every_parameter_is_in_it(self, parameters: dict[str, Any], tiny_scene: Path) -> None:
        loaded = yaml.load(nerfstudio_yaml(parameters, load_scene(str(tiny_scene)), device="cuda"), Loader=yaml.Loader)
        checked = check_parameters(parameters)
        assert loaded.optimizers["fields"]["optimizer"].lr == 0.005
        for name in checked.keys() - {"lr"}:
            places = PARAMETERS[name].places
            assert [read_place(loaded, place) for place in places] == [checked[name]] * len(places), name
        assert loaded.machine.device_type == "cuda"


class TestRun:
    def test_it_is_where_nerfstudio_would_have_left_it(self, run: Path, tmp_path: Path) -> None:
        assert run == tmp_path / "tiny" / "f3rm" / "trial-3" / "config.yml"
        assert run.read_text().startswith("# where it comes from\n")
        config = yaml.load(run.read_text(), Loader=yaml.Loader)
        assert config.get_base_dir() == run.parent
        files = sorted(file.relative_to(run.parent).as_posix() for file in run.parent.rglob("*") if file.is_file())
        assert files == ["config.yml", "dataparser_transforms.json", "nerfstudio_models/step-000000029.ckpt"]
        transforms = json.loads((run.parent / "dataparser_transforms.json").read_text())
        assert len(transforms["transform"]) == 3
        assert transforms["scale"] > 0

    def test_ns_evals_way_scores_it_as_the_training_did(self, run: Path, trained: TrainResult) -> None:
        _, pipeline, _, step = eval_setup(run)
        assert step == STEPS - 1
        scores = pipeline.get_average_eval_image_metrics()
        assert scores["psnr"] == pytest.approx(trained.metrics["psnr"], abs=1e-3)
        assert scores["ssim"] == pytest.approx(trained.metrics["ssim"], abs=1e-3)

    def test_nerfstudios_trainer_can_go_on_from_it(self, run: Path, trained: TrainResult) -> None:
        config, pipeline, file, _ = eval_setup(run, test_mode="val")
        state = torch.load(file)
        optimizers = Optimizers(config.optimizers.copy(), pipeline.get_param_groups())
        optimizers.load_optimizers(state["optimizers"])
        optimizers.load_schedulers(state["schedulers"])
        torch.amp.GradScaler("cpu").load_state_dict(state["scalers"])
        assert set(state["schedulers"]) == {"fields", "feature_field", "proposal_networks"}
        # From 0.005 to lr_final's 1e-4 in 100 steps: after 30 of them, 0.3 of the way in the logarithm.
        rate = optimizers.optimizers["fields"].param_groups[0]["lr"]
        assert rate == pytest.approx(0.005**0.7 * 1e-4**0.3)
        assert optimizers.optimizers["camera_opt"].param_groups[0]["lr"] == 6e-4
        assert trained.checkpoint is not None
        ours = load_checkpoint(trained.checkpoint)["optimizers"]["fields"]["state"][0]
        theirs = optimizers.optimizers["fields"].state_dict()["state"][0]
        assert float(theirs["step"]) == STEPS
        assert torch.equal(ours["exp_avg"], theirs["exp_avg"])

    def test_its_schedulers_are_as_after_so_many_steps(self, run: Path) -> None:
        state = torch.load(next((run.parent / "nerfstudio_models").iterdir()))
        config = yaml.load(run.read_text(), Loader=yaml.Loader)
        for group, saved in state["schedulers"].items():
            entry = config.optimizers[group]
            stepped = torch.optim.Adam([torch.zeros(())], lr=entry["optimizer"].lr)
            scheduler = entry["scheduler"].setup().get_scheduler(stepped, entry["optimizer"].lr)
            for _ in range(STEPS):
                stepped.step()
                scheduler.step()
            expected = scheduler.state_dict()
            assert saved.keys() == expected.keys()
            assert saved["_last_lr"] == pytest.approx(expected["_last_lr"])
            assert {key: saved[key] for key in ("last_epoch", "_step_count", "base_lrs")} == {
                key: expected[key] for key in ("last_epoch", "_step_count", "base_lrs")
            }

    def test_views_held_out_for_us_are_those_that_ns_eval_scores(self, tiny_scene: Path, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(tiny_scene, tmp_path / "room"))
        transforms = json.loads((folder / "transforms.json").read_text())
        del transforms["test_filenames"]  # our metrics are of val_filenames, whatever "test" is
        (folder / "transforms.json").write_text(json.dumps(transforms))
        from tests.conftest import TINY_PARAMETERS

        config = build_config(TINY_PARAMETERS).pipeline.datamanager
        config.data = folder
        scored = config.setup(device="cpu", test_mode="test").eval_dataset.image_filenames
        assert [file.relative_to(folder).as_posix() for file in scored] == transforms["val_filenames"]


class TestFailure:
    def write(self, checkpoint: Path, parameters: dict[str, Any], scene: Path, output: Path) -> None:
        write_nerfstudio_run(
            parameters, load_scene(str(scene)), checkpoint, output, experiment="e", run="r", device="cpu"
        )

    def test_a_run_that_is_there_is_kept(
        self, trained: TrainResult, parameters: dict[str, Any], tiny_scene: Path, tmp_path: Path
    ) -> None:
        assert trained.checkpoint is not None
        (tmp_path / "e" / "f3rm" / "r").mkdir(parents=True)
        with pytest.raises(UsageError, match="is there already; remove it or choose another place"):
            self.write(trained.checkpoint, parameters, tiny_scene, tmp_path)

    def test_a_checkpoint_that_is_none(self, parameters: dict[str, Any], tiny_scene: Path, tmp_path: Path) -> None:
        (tmp_path / "step-000000001.ckpt").write_text("half")
        with pytest.raises(CheckpointError, match="can't be read"):
            self.write(tmp_path / "step-000000001.ckpt", parameters, tiny_scene, tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_full_disk_leaves_no_half_run(
        self, trained: TrainResult, parameters: dict[str, Any], tiny_scene: Path, tmp_path: Path
    ) -> None:
        assert trained.checkpoint is not None
        with no_room_beyond(4096), pytest.raises(UsageError, match="can't be written") as caught:
            self.write(trained.checkpoint, parameters, tiny_scene, tmp_path)
        assert "\n" not in str(caught.value)
        assert [file for file in tmp_path.rglob("*") if file.is_file()] == []
        assert not (tmp_path / "e" / "f3rm" / "r").exists()
