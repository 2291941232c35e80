"""One F3RM training step from nerfstudio's own torch parts: what a user without tiny-cuda-nn runs today.

    python -m benchmarks.baseline_step --config default --rays 1024 --threads 2 --steps 20

Nerfacto with `implementation="torch"`, nerfstudio's HashEncoding again for the features, the feature head at every
sample as in F3RM's code, dense Adam. Prints one JSON line, as `benchmarks.step` does for this project's trainer.
"""

from __future__ import annotations

import itertools
import warnings
from typing import Any

warnings.filterwarnings("ignore")

import torch
import torch.nn.functional as F
import torchmetrics.image.lpip
from torch import nn

from benchmarks.step_work import AFTER_WARM_UP, IMAGES, WORK, Batch, Work, arguments_of, count, measure
from f3rm_core import PARAMETERS


class _NoLPIPS(nn.Module):
    """nerfacto builds LPIPS, which downloads its weights; a training step does not use it."""

    def __init__(self, **_: Any) -> None:
        super().__init__()


torchmetrics.image.lpip.LearnedPerceptualImagePatchSimilarity = _NoLPIPS

from nerfstudio.cameras.camera_optimizers import CameraOptimizerConfig
from nerfstudio.data.scene_box import SceneBox
from nerfstudio.field_components.encodings import HashEncoding, NeRFEncoding
from nerfstudio.field_components.field_heads import FieldHeadNames
from nerfstudio.field_components.mlp import MLP
from nerfstudio.model_components.losses import distortion_loss, interlevel_loss
from nerfstudio.models.nerfacto import NerfactoModel, NerfactoModelConfig

_RADIANCE = (
    "num_levels",
    "base_res",
    "max_res",
    "log2_hashmap_size",
    "features_per_level",
    "hidden_dim",
    "hidden_dim_color",
    "num_proposal_samples_per_ray",
    "num_nerf_samples_per_ray",
)


class Baseline:
    """The model and its optimizer."""

    def __init__(self, work: Work, *, updates: str) -> None:
        def value(name: str) -> Any:
            return work.parameters.get(name, PARAMETERS[name].default)

        config = NerfactoModelConfig(
            implementation="torch",
            camera_optimizer=CameraOptimizerConfig(mode="off"),
            **{name: value(name) for name in _RADIANCE},
        )
        box = SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))
        self.radiance: NerfactoModel = config.setup(
            scene_box=box, num_train_data=IMAGES, metadata={}, device="cpu", grad_scaler=None
        )
        self.radiance.train()
        self.grid = HashEncoding(
            num_levels=value("feat_num_levels"),
            min_res=value("feat_start_res"),
            max_res=value("feat_max_res"),
            log2_hashmap_size=value("feat_log2_hashmap_size"),
            features_per_level=value("feat_features_per_level"),
            implementation="torch",
        )
        bands = value("feat_pe_n_freq")
        self.frequencies = NeRFEncoding(
            in_dim=3, num_frequencies=bands, min_freq_exp=0, max_freq_exp=bands - 1, implementation="torch"
        )
        self.head = MLP(
            in_dim=self.grid.get_out_dim() + self.frequencies.get_out_dim(),
            num_layers=value("feat_num_layers") + 1,
            layer_width=value("feat_hidden_dim"),
            out_dim=work.channels,
            implementation="torch",
        )
        modules = (self.radiance, self.grid, self.head)
        trained = [one for one in itertools.chain(*(m.parameters() for m in modules)) if one.requires_grad]
        self.optimizer = torch.optim.Adam(trained, lr=value("lr"), eps=value("eps"))
        self.channels = work.channels
        self.feature_loss_weight = value("feat_loss_weight")
        self.scheduled = updates == "scheduled"
        self.steps = AFTER_WARM_UP

    def step(self, batch: Batch) -> None:
        """Proposal sampling, fields, rendering, losses, backward, Adam."""
        sampler = self.radiance.proposal_sampler
        if self.scheduled:
            sampler.step_cb(self.steps)
            self.steps += 1
        rays = len(batch.origins)
        samples, all_weights, all_samples = sampler(batch.rays(), density_fns=self.radiance.density_fns)
        field = self.radiance.field(samples)
        weights = samples.get_weights(field[FieldHeadNames.DENSITY])  # [rays, samples, 1]
        all_weights.append(weights)
        all_samples.append(samples)
        color = self.radiance.renderer_rgb(rgb=field[FieldHeadNames.RGB], weights=weights)
        points = self.radiance.field.spatial_distortion(samples.frustums.get_positions().detach())
        points = ((points + 2.0) / 4.0).view(-1, 3)
        features = self.head(torch.cat([self.grid(points), self.frequencies(points)], -1))
        rendered = (weights * features.view(rays, -1, self.channels)).sum(1)
        loss = F.mse_loss(color, batch.colors) + self.feature_loss_weight * F.mse_loss(rendered, batch.features)
        loss = loss + interlevel_loss(all_weights, all_samples) + 0.002 * distortion_loss(all_weights, all_samples)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def counts(self) -> dict[str, int]:
        """Parameters, by part."""
        proposals = count(self.radiance.proposal_networks)
        return {
            "radiance": count(self.radiance) - proposals,
            "proposals": proposals,
            "feature_grid": count(self.grid),
            "feature_head": count(self.head),
        }


def main() -> None:
    arguments = arguments_of(__doc__.splitlines()[0])
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    baseline = Baseline(WORK[arguments.config], updates=arguments.proposal_updates)
    measure(arguments, baseline.step, baseline.counts())


if __name__ == "__main__":
    main()
