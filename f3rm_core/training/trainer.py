"""One training run: steps, reports, checkpoints, and the scores at the end."""

from __future__ import annotations

import copy
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from f3rm_core.errors import CheckpointError, InvalidParameter, OutOfMemory
from f3rm_core.evaluation.cost import PeakMemory, Stopwatch
from f3rm_core.evaluation.evaluate import View, evaluate
from f3rm_core.evaluation.pictures import save_panel
from f3rm_core.evaluation.rgb import ssim
from f3rm_core.features import import_library
from f3rm_core.model.f3rm import FeatureFieldModel, warm_up
from f3rm_core.parameters import PARAMETERS
from f3rm_core.scenes.datamanager import FeatureDataManager
from f3rm_core.scenes.load import Scene, scene_digest
from f3rm_core.scenes.prepare import SceneData, open_scene
from f3rm_core.training.allocator import return_memory, reuse_memory
from f3rm_core.training.checkpoint import load_checkpoint, save_checkpoint
from f3rm_core.training.optimization import Optimization
from f3rm_core.training.quiet import quiet_nerfstudio
from f3rm_core.training.result import Report, TrainResult
from f3rm_core.training.seeding import seed_everything, seed_step

if TYPE_CHECKING:
    from f3rm_core.config import F3RMTrainerConfig

_PROGRESS_SECONDS = 1.0
_SMALLEST_IMAGE = 11  # pixels: the window of SSIM
_OUT_OF_MEMORY = ("allocate memory", "out of memory", "out_of_memory", "alloc_failed")
"""How torch on the CPU, CUDA, its driver, and cuBLAS or cuDNN say it."""


def train(
    config: F3RMTrainerConfig,
    scene: Scene,
    *,
    budget_steps: int,
    on_report: Callable[[Report], None] | None = None,
    report_steps: Sequence[int] = (),
    checkpoint_dir: Path | None = None,
    resume_from: Path | None = None,
    threads: int | None = None,
    pictures_dir: Path | None = None,
) -> TrainResult:
    """Train one configuration on one scene and score it on the held-out views.

    On the CPU the result is a function of configuration, scene, seed, backend and thread count: the same five give
    the same bits, and a run resumed at step k ends as an unbroken one.

    Args:
        config: from `build_config`; not changed.
        scene: from `load_scene`.
        budget_steps: steps to have done at the end, those of `resume_from` counted.
        on_report: called about once a second, and with metrics at each of `report_steps` and at the end. What it
            raises stops the run and passes through.
        report_steps: where to score on the way.
        checkpoint_dir: folder for checkpoints, of which the newest is kept; None writes none.
        resume_from: a checkpoint, or a folder of them, of the same configuration and scene.
        threads: CPU threads; None takes the configuration's, and 0 there all cores.
        pictures_dir: folder for panel.png, a held-out view beside its render.

    Raises:
        InvalidParameter, SceneError, WeightsUnavailable, CheckpointError: what was asked for can't work.
        Diverged: the loss is not finite.
        OutOfMemory: memory ran out; the process can train again.
    """
    if budget_steps < 1:
        raise InvalidParameter("max_num_iterations", budget_steps, "must be at least 1")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    count = threads or config.threads or os.cpu_count() or 1
    with (
        _threads(count),
        quiet_nerfstudio(),
        _out_of_memory(),
        _warm(config, scene, device) as arrays,
        PeakMemory(device, held_bytes=arrays.private_bytes) as memory,
    ):
        run = _Run(config, scene, arrays, device)
        if resume_from is not None:
            run.restore(load_checkpoint(resume_from), resume_from)
        wanted = {step for step in report_steps if run.step < step < budget_steps}
        tell = on_report or (lambda report: None)
        checkpoint = None
        last_told = 0.0
        while run.step < budget_steps:
            run.train_step()
            at_report = run.step in wanted
            metrics = run.evaluate()[0] if at_report else {}
            if checkpoint_dir and (at_report or run.step % config.steps_per_save == 0 or run.step == budget_steps):
                checkpoint = run.save(checkpoint_dir)
            if at_report or time.monotonic() - last_told >= _PROGRESS_SECONDS:
                run.pause()
                tell(Report(run.step, budget_steps, float(run.loss), metrics, run.watch.seconds))
                last_told = time.monotonic()
        if checkpoint_dir and checkpoint is None:  # resumed at its last step: the run before ended while it was scored
            checkpoint = run.save(checkpoint_dir)
        metrics, view = run.evaluate(picture_of=0 if pictures_dir else None)
        metrics |= {"train_seconds": run.watch.seconds, "peak_memory_gb": memory.bytes / 1e9}
        pictures = {}
        if pictures_dir is not None and view is not None:
            pictures["panel"] = pictures_dir / "panel.png"
            save_panel(view, pictures["panel"])
        tell(Report(run.step, budget_steps, float(run.loss), metrics, run.watch.seconds))
        return TrainResult(
            metrics=metrics,
            backend=run.model.backend,
            device=device,
            threads=count,
            steps=run.step,
            seconds=run.watch.seconds,
            peak_memory_bytes=memory.bytes,
            seed=config.machine.seed,
            checkpoint=checkpoint,
            pictures=pictures,
        )


class _Run:
    """Model, data and optimizers between two steps."""

    def __init__(self, config: F3RMTrainerConfig, scene: Scene, arrays: SceneData, device: str) -> None:
        self.config = config = copy.deepcopy(config)
        config.pipeline.datamanager.data = scene.folder
        config.pipeline.datamanager._target = partial(FeatureDataManager, arrays=arrays)
        seed_everything(config)
        pipeline = config.pipeline.setup(device=device, test_mode="val", world_size=1, local_rank=0, grad_scaler=None)
        self.data: FeatureDataManager = pipeline.datamanager
        self.model: FeatureFieldModel = pipeline.model
        self.model.train()
        self.optimization = Optimization(self.model, config)
        self.scene_digest = scene_digest(scene)  # files alone: the same on another machine, at another path
        self.step = 0
        self.watch = Stopwatch(self.model.device)
        self.loss = torch.zeros(())

    def train_step(self) -> None:
        """One step of all optimizers.

        Raises:
            Diverged: the loss is not finite.
        """
        self.watch.start()
        seed_step(self.config.machine.seed, self.step)
        rays, batch = self.data.next_train(self.step)
        self.loss = self.optimization.step(self.step, rays, batch)
        self.step += 1

    def evaluate(self, picture_of: int | None = None) -> tuple[dict[str, float], View | None]:
        """See evaluation.evaluate."""
        self.watch.stop()
        with return_memory():
            return evaluate(self.model, self.data, picture_of=picture_of)

    def pause(self) -> None:
        """Stop the watch until the next step, and look at the last one.

        Raises:
            Diverged: its loss is not finite.
        """
        self.watch.stop()
        self.optimization.check_finite(self.loss, self.step - 1)

    def save(self, folder: Path) -> Path:
        """Write a checkpoint.

        Raises:
            Diverged: the loss or a parameter is not finite.
            UsageError: the folder can't be written.
        """
        self.pause()
        self.optimization.check_parameters(self.step - 1)
        own = {"run": self._identity(), "seconds": self.watch.seconds, "loss": float(self.loss)}
        return save_checkpoint(folder, self.step, {**own, **self.optimization.state(self.step)})

    def restore(self, checkpoint: dict[str, Any], path: Path) -> None:
        """Go on where a checkpoint stopped.

        Raises:
            CheckpointError: it is of another configuration or scene.
        """
        mine, theirs = self._identity(), checkpoint["run"]
        differing = sorted(name for name in mine if mine[name] != theirs.get(name))
        if differing:
            name = differing[0]
            raise CheckpointError(
                f"checkpoint {path}: {name} is {theirs.get(name)!r} there and {mine[name]!r} here; "
                "resume with the same configuration and scene"
            )
        self.optimization.restore(checkpoint)
        self.step = checkpoint["step"]
        self.watch = Stopwatch(self.model.device, checkpoint["seconds"])
        self.loss = torch.tensor(checkpoint["loss"])

    def _identity(self) -> dict[str, Any]:
        """What must agree between a checkpoint and a run that goes on from it."""
        from f3rm_core.config import read_place

        deciding = [one for one in PARAMETERS.values() if one.changes_result and one.name != "max_num_iterations"]
        values = {
            place: read_place(self.config, place) for one in deciding for place in one.places if self._used(place)
        }
        return {"content of the scene": self.scene_digest, **values}

    def _used(self, place: str) -> bool:
        """Whether the place is there: an optimizer without a scheduler has no place for its settings."""
        parts = place.split(".")
        return parts[0] != "optimizers" or self.config.optimizers[parts[1]][parts[2]] is not None


@contextmanager
def _warm(config: F3RMTrainerConfig, scene: Scene, device: str) -> Iterator[SceneData]:
    """What a process pays for once, and no trial in particular; so too what opening the scene takes in passing."""
    warm_up(config.pipeline.model, device)
    import_library(config.pipeline.datamanager.feature_type)
    blank = torch.zeros(_SMALLEST_IMAGE, _SMALLEST_IMAGE, 3)
    ssim(blank, blank)
    arrays = open_scene(scene, config.pipeline.datamanager)
    with reuse_memory():
        yield arrays


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _out_of_memory() -> Iterator[None]:
    """Name the several ways in which memory runs out."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfMemory(f"out of memory ({error}): use smaller grids, fewer rays or fewer samples") from error
    except RuntimeError as error:
        if not any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise
        raise OutOfMemory("out of memory: use smaller grids, fewer rays or fewer samples") from error
    finally:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
