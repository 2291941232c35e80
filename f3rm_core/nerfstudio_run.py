"""A configuration, or a trained model, in the form that nerfstudio's own commands read."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import yaml

from f3rm_core.config import F3RMTrainerConfig, build_config
from f3rm_core.errors import UsageError
from f3rm_core.scenes.load import Scene
from f3rm_core.training.checkpoint import load_checkpoint
from f3rm_core.training.quiet import quiet_nerfstudio


def nerfstudio_yaml(parameters: Mapping[str, Any], scene: Scene, *, device: str, header: str = "") -> str:
    """The file that `ns-train f3rm --load-config FILE` trains from.

    Args:
        parameters: flat name -> value, as for `build_config`; the seed is one of them.
        scene: what to train on; its folder stands in the file.
        device: "cpu" or "cuda": what to train on.
        header: comment lines that go before.

    Raises:
        InvalidParameter: an unknown name, or a value that can't work.
    """
    return header + yaml.dump(_run_config(parameters, scene, device))


def write_nerfstudio_run(
    parameters: Mapping[str, Any],
    scene: Scene,
    checkpoint: Path,
    output_dir: Path,
    *,
    experiment: str,
    run: str,
    device: str,
    header: str = "",
) -> Path:
    """Write a trained model as `ns-train f3rm --output-dir output_dir` leaves it.

    The folder is output_dir/experiment/f3rm/run; it holds config.yml, dataparser_transforms.json and
    nerfstudio_models/step-*.ckpt, optimizers included, and appears whole or not at all. nerfstudio looks for the
    checkpoint in the folder that config.yml names, so it can't be moved.

    Args:
        parameters, scene, device, header: as for `nerfstudio_yaml`.
        checkpoint: of `train`, with these parameters and this scene.
        output_dir, experiment, run: where to.

    Returns:
        The run's config.yml, for `ns-eval --load-config` and `ns-viewer --load-config`.

    Raises:
        CheckpointError: the checkpoint can't be read.
        UsageError: the folder is there already, or can't be written.
    """
    config = _run_config(parameters, scene, device)
    config.output_dir, config.experiment_name, config.timestamp = output_dir.absolute(), experiment, run
    folder = config.get_base_dir()
    if folder.exists():
        raise UsageError(f"{folder}: is there already; remove it or choose another place")
    state = _nerfstudio_state(load_checkpoint(checkpoint), config)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        models = part / config.relative_model_dir
        models.mkdir(parents=True)
        torch.save(state, models / f"step-{state['step']:09d}.ckpt")
        _save_dataparser_transforms(config, part / "dataparser_transforms.json")
        (part / "config.yml").write_text(header + yaml.dump(config), encoding="utf-8")
        part.replace(folder)
    except (OSError, RuntimeError) as error:  # torch's zip writer turns a full disk into a RuntimeError
        reason = str(error).splitlines()[0]
        raise UsageError(f"{folder}: can't be written ({reason}); free space or choose another place") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder / "config.yml"


def _nerfstudio_state(content: Mapping[str, Any], config: F3RMTrainerConfig) -> dict[str, Any]:
    """What nerfstudio's trainer saves, from what ours does.

    Args:
        content: of a checkpoint, from `load_checkpoint`.
        config: of the run that wrote it.
    """
    steps = content["step"]
    optimizers, schedulers = {}, {}
    for group, state in content["optimizers"].items():
        optimizers[group] = copy.copy(state)
        if config.optimizers[group]["scheduler"] is not None:
            schedulers[group], rate = _schedule_state(config.optimizers[group], steps)
            # Ours sets a step's rate before it, nerfstudio's trainer after the step before.
            optimizers[group]["param_groups"] = [{**one, "lr": rate} for one in state["param_groups"]]
    return {
        "step": steps - 1,  # nerfstudio counts from 0 and names the last step that was done
        "pipeline": {f"_model.{name}": value for name, value in content["model"].items()},
        "optimizers": optimizers,
        "schedulers": schedulers,
        # Ours scales nothing on the CPU; a trainer on CUDA takes no empty state, but one that is fresh.
        "scalers": content["scaler"] or torch.amp.GradScaler("cpu").state_dict(),
    }


def _run_config(parameters: Mapping[str, Any], scene: Scene, device: str) -> F3RMTrainerConfig:
    config = build_config(parameters)
    config.data = config.pipeline.datamanager.data = scene.folder
    config.vis = "tensorboard"  # a viewer would keep the process alive when the training has ended
    config.machine.device_type = device
    return config


def _schedule_state(entry: Mapping[str, Any], steps: int) -> tuple[dict[str, Any], float]:
    """The state of nerfstudio's scheduler after so many steps, and the learning rate that it has set."""
    base = entry["optimizer"].lr
    scheduler = entry["scheduler"].setup().get_scheduler(torch.optim.Adam([torch.zeros(())], lr=base), base)
    rate = float(base * scheduler.lr_lambdas[0](steps))
    return {**scheduler.state_dict(), "last_epoch": steps, "_step_count": steps + 1, "_last_lr": [rate]}, rate


def _save_dataparser_transforms(config: F3RMTrainerConfig, file: Path) -> None:
    """From the scene's own poses to those that were trained on."""
    parser = copy.copy(config.pipeline.datamanager.dataparser)
    parser.data = config.data
    with quiet_nerfstudio():
        parser.setup().get_dataparser_outputs(split="train").save_dataparser_transform(file)
