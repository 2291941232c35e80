"""One F3RM training step of this project's trainer, on the work of `benchmarks.baseline_step`.

    python -m benchmarks.step --config default --rays 1024 --threads 2 --steps 20

The model and the optimization are those of `f3rm_core.train`; rays and targets are random. Prints one JSON line.
"""

from __future__ import annotations

import torch
from nerfstudio.data.scene_box import SceneBox

from benchmarks.step_work import AFTER_WARM_UP, IMAGES, WORK, Batch, Work, arguments_of, count, measure
from f3rm_core import build_config
from f3rm_core.model.f3rm import warm_up
from f3rm_core.training.allocator import reuse_memory
from f3rm_core.training.optimization import Optimization


class Step:
    """The project's model and optimization, without a scene."""

    def __init__(self, work: Work, *, updates: str) -> None:
        config = build_config({**work.parameters, "camera_opt_mode": "off"})
        config.pipeline.model.enable_collider = False  # nears and fars come with the rays
        config.pipeline.model.use_proposal_weight_anneal = False  # as in the baseline
        box = SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))
        self.model = config.pipeline.model.setup(
            scene_box=box, num_train_data=IMAGES, metadata={"feature_dim": work.channels}, grad_scaler=None
        )
        self.model.train()
        self.optimization = Optimization(self.model, config)
        warm_up(config.pipeline.model, "cpu")
        self.number = 0 if updates == "always" else AFTER_WARM_UP
        self.goes_on = updates == "scheduled"

    def step(self, batch: Batch) -> None:
        """Proposal sampling, fields, rendering, losses, backward, Adam."""
        self.optimization.step(self.number, batch.rays(), {"image": batch.colors, "feature": batch.features})
        self.number += self.goes_on  # the schedule of updates trains the proposals at every one of the first steps

    def counts(self) -> dict[str, int]:
        """Parameters, by part."""
        feature = self.model.feature_field
        return {
            "radiance": count(self.model.field),
            "proposals": count(self.model.proposal_networks),
            "feature_grid": count(feature.grid),
            "feature_head": count(feature.hidden) + count(feature.head),
        }


def main() -> None:
    arguments = arguments_of(__doc__.splitlines()[0])
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with reuse_memory():
        step = Step(WORK[arguments.config], updates=arguments.proposal_updates)
        measure(arguments, step.step, step.counts())


if __name__ == "__main__":
    main()
