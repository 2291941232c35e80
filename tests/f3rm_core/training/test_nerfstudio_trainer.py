"""nerfstudio's own commands on our method: what they write must be readable to them again."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from f3rm_core import build_config


def test_checkpoints_with_numpy_scalars_load(tmp_path: Path) -> None:
    build_config({})  # what `ns-eval` does first: it loads the configuration's classes
    torch.save({"schedulers": {"_last_lr": [np.float64(0.01)]}}, tmp_path / "step.ckpt")
    loaded = torch.load(tmp_path / "step.ckpt", map_location="cpu")
    assert loaded["schedulers"]["_last_lr"] == [0.01]


@pytest.mark.filterwarnings("ignore")  # nerfstudio's own
def test_nerfstudios_loop_adds_up_scaled_gradients(
    tiny_scene: Path, tiny_parameters: dict[str, Any], tmp_path: Path
) -> None:
    config = build_config({**tiny_parameters, "gradient_accumulation_steps": 2})
    config.data = config.pipeline.datamanager.data = tiny_scene
    config.vis, config.machine.device_type, config.output_dir = "tensorboard", "cpu", tmp_path
    config.set_timestamp()
    config.use_grad_scaler = True  # as with mixed precision on CUDA
    trainer = config.setup()
    trainer.setup()
    table = trainer.pipeline.model.field.grid.params
    before = table.detach().clone()
    trainer.train_iteration(0)
    assert torch.equal(table, before)
    trainer.train_iteration(1)
    assert not torch.equal(table, before)
    assert trainer.grad_scaler.state_dict()["_growth_tracker"] == 1


@pytest.mark.slow
def test_ns_train_then_ns_eval(tiny_scene: Path, tiny_parameters: dict[str, Any], tmp_path: Path) -> None:
    config = build_config({**tiny_parameters, "max_num_iterations": 30})
    config.data = config.pipeline.datamanager.data = tiny_scene
    config.vis, config.machine.device_type = "tensorboard", "cpu"
    config.output_dir, config.experiment_name, config.timestamp = tmp_path, "room", "now"
    (tmp_path / "config.yml").write_text(yaml.dump(config))
    commands = Path(sys.executable).parent
    subprocess.run([commands / "ns-train", "f3rm", "--load-config", tmp_path / "config.yml"], check=True)
    trained, scores = config.get_base_dir() / "config.yml", tmp_path / "scores.json"
    subprocess.run([commands / "ns-eval", "--load-config", trained, "--output-path", scores], check=True)
    results = json.loads(scores.read_text())["results"]
    assert 8.0 < results["psnr"] < 40.0
    assert 0.0 < results["ssim"] < 1.0
