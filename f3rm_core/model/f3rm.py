"""F3RM: nerfacto with a second field that renders the features of a foundation model.

Source: Shen et al. 2023, "Distilled Feature Fields Enable Few-Shot Language-Guided Manipulation"; Tancik et al. 2023,
"Nerfstudio", for nerfacto.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.model_components.renderers import RGBRenderer
from nerfstudio.model_components.scene_colliders import NearFarCollider
from nerfstudio.models.base_model import Model
from nerfstudio.models.nerfacto import NerfactoModel
from torch import Tensor, nn

from f3rm_core.encodings.base import build_grid, resolve_backend
from f3rm_core.encodings.spec import GridSpec
from f3rm_core.model.fields import DensityField, FeatureField, RadianceField
from f3rm_core.model.operations import operations_for
from f3rm_core.model.rendering import median_depth
from f3rm_core.model.sampling import Intervals, sample_along_rays

if TYPE_CHECKING:
    from f3rm_core.config import FeatureFieldModelConfig

Output = Literal["rgb", "depth", "feature"]
TRAINED_OUTPUTS: frozenset[Output] = frozenset({"rgb", "feature"})
ALL_OUTPUTS: frozenset[Output] = TRAINED_OUTPUTS | {"depth"}


class FeatureFieldModel(NerfactoModel):
    """Nerfacto's sampling and losses, one radiance field and one feature field.

    Args (as nerfstudio's pipeline gives them):
        config: the model's configuration.
        metadata: "feature_dim", channels of the features.
        num_train_data: images trained on.
    """

    config: FeatureFieldModelConfig

    def populate_modules(self) -> None:
        # NerfactoModel's own set-up downloads LPIPS weights and builds fields that are not used here.
        Model.populate_modules(self)
        config = self.config
        self.backend = resolve_backend(config.encoding_backend, "cuda" if torch.cuda.is_available() else "cpu")
        self.operations = operations_for(self.backend)
        common: dict[str, Any] = {"backend": self.backend, "operations": self.operations}
        radiance_grid, feature_grid, *proposal_grids = grid_specs(config)
        self.field = RadianceField(
            radiance_grid,
            num_images=self.num_train_data,
            hidden_dim=config.hidden_dim,
            num_layers=config.num_layers,
            hidden_dim_color=config.hidden_dim_color,
            num_layers_color=config.num_layers_color,
            appearance_embed_dim=config.appearance_embed_dim if config.use_appearance_embedding else 0,
            **common,
        )
        self.feature_field = FeatureField(
            feature_grid,
            channels=self.kwargs["metadata"]["feature_dim"],
            hidden_dim=config.feat_hidden_dim,
            num_layers=config.feat_num_layers,
            frequencies=config.feat_pe_n_freq if config.feat_use_pe else 0,
            **common,
        )
        self.proposal_networks = nn.ModuleList(
            DensityField(grid, arguments["hidden_dim"], **common)
            for grid, arguments in zip(proposal_grids, _proposal_arguments(config), strict=True)
        )
        self.camera_optimizer = config.camera_optimizer.setup(num_cameras=self.num_train_data, device="cpu")
        self.collider = NearFarCollider(near_plane=config.near_plane, far_plane=config.far_plane)
        self.renderer_rgb = RGBRenderer(background_color=config.background_color)  # nerfstudio's viewer asks for it
        self.proposal_sampler = ProposalSchedule(config.proposal_update_every, config.proposal_warmup)
        self.step = 0

    def get_param_groups(self) -> dict[str, list[nn.Parameter]]:
        groups = super().get_param_groups()
        groups["feature_field"] = list(self.feature_field.parameters())
        return groups

    def get_outputs(self, ray_bundle: RayBundle) -> dict[str, Any]:
        if self.training:
            self.camera_optimizer.apply_to_raybundle(ray_bundle)
            return self.render(ray_bundle, TRAINED_OUTPUTS)
        return self.render(ray_bundle, ALL_OUTPUTS)

    def render(self, ray_bundle: RayBundle, wanted: frozenset[Output]) -> dict[str, Any]:
        """Render rays.

        Args:
            ray_bundle: [rays], with nears and fars.
            wanted: what to compute: an evaluation pays for what it looks at only.

        Returns:
            As wanted, "rgb" [rays, 3] in [0, 1], "depth" [rays, 1] in scene units, "feature" [rays, channels].
            While training also "intervals", "weights" and "stages", for the losses; else "accumulation" [rays, 1].
        """
        assert ray_bundle.nears is not None
        assert ray_bundle.fars is not None
        origins, directions = ray_bundle.origins, ray_bundle.directions
        operations = self.operations

        def positions(intervals: Intervals) -> Tensor:  # [rays, samples, 3] in the unit cube
            return operations.sample_positions(origins, directions, intervals.edges)

        def weigh(raw: Tensor, intervals: Intervals) -> Tensor:  # [rays, samples]
            return operations.weights_from_raw(raw, intervals.edges, self.config.average_init_density)

        def proposal(network: nn.Module) -> Callable[[Intervals], Tensor]:
            return lambda intervals: weigh(network(positions(intervals)), intervals)

        intervals, stages = sample_along_rays(
            ray_bundle.nears,
            ray_bundle.fars,
            [proposal(network) for network in self.proposal_networks],
            (*self.config.num_proposal_samples_per_ray, self.config.num_nerf_samples_per_ray),
            anneal=self.proposal_sampler.anneal,
            jitter=self.training,
            with_gradients=self.training and self.proposal_sampler.update_now(),
            resample=operations.resample,
        )
        points = positions(intervals)
        raw = self.field(points)
        weights = weigh(raw, intervals)
        outputs: dict[str, Any] = {}
        if "rgb" in wanted:
            images = (
                ray_bundle.camera_indices[:, 0] if self.training and ray_bundle.camera_indices is not None else None
            )
            outputs["rgb"] = operations.render_colors(weights, self.field.raw_colors(directions, raw, images))
        if "depth" in wanted:
            with torch.no_grad():
                outputs["depth"] = median_depth(weights, intervals.middles)
        if "feature" in wanted:
            shares = weights.detach() if self.config.feat_detach_weights else weights
            outputs["feature"] = self.feature_field(points, shares)
        if self.training:
            outputs |= {"intervals": intervals, "weights": weights, "stages": stages}
        else:
            outputs["accumulation"] = weights.sum(-1, keepdim=True)
        return outputs

    def get_metrics_dict(self, outputs: dict[str, Any], batch: dict[str, Tensor]) -> dict[str, Tensor]:
        with torch.no_grad():
            error = nn.functional.mse_loss(outputs["rgb"], batch["image"][..., :3].to(self.device))
            return {"psnr": -10 * torch.log10(error)}

    def get_loss_dict(
        self, outputs: dict[str, Any], batch: dict[str, Tensor], metrics_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Each loss, weighted. `batch`: "image" [rays, 3]; "feature" [rays, channels] where features are trained."""
        config = self.config
        losses = {"rgb_loss": nn.functional.mse_loss(outputs["rgb"], batch["image"][..., :3].to(self.device))}
        if "feature" in batch:
            target = batch["feature"].to(self.device)
            losses["feature_loss"] = config.feat_loss_weight * nn.functional.mse_loss(outputs["feature"], target)
        if self.training:
            intervals, weights = outputs["intervals"], outputs["weights"]
            operations = self.operations
            spread = operations.distortion_loss(intervals.bins, weights)
            losses["distortion_loss"] = config.distortion_loss_mult * spread
            if self.proposal_sampler.update_now():
                bounds = partial(operations.interlevel_loss, intervals.bins, weights.detach())
                terms = [bounds(stage.bins, proposed) for stage, proposed in outputs["stages"]]
                losses["interlevel_loss"] = config.interlevel_loss_mult * torch.stack(terms).sum()
            self.camera_optimizer.get_loss_dict(losses)
        return losses

    def get_image_metrics_and_images(
        self, outputs: dict[str, Tensor], batch: dict[str, Tensor]
    ) -> tuple[dict[str, float], dict[str, Tensor]]:
        """For nerfstudio's own trainer and `ns-eval`: what our evaluation computes for one image."""
        from f3rm_core.evaluation.rgb import psnr, ssim

        truth, render = batch["image"][..., :3].to(self.device), outputs["rgb"]
        metrics = {"psnr": psnr(render, truth), "ssim": ssim(render, truth)}
        return metrics, {"img": torch.cat([truth, render], 1)}


def grid_specs(config: FeatureFieldModelConfig) -> list[GridSpec]:
    """The hash grids of a configuration: the radiance field's, the feature field's, one of each proposal stage.

    Raises:
        InvalidParameter: a size that can't work, by its documented name.
    """
    return [
        GridSpec(
            config.num_levels, config.base_res, config.max_res, config.log2_hashmap_size, config.features_per_level
        ),
        GridSpec(
            config.feat_num_levels,
            config.feat_start_res,
            config.feat_max_res,
            config.feat_log2_hashmap_size,
            config.feat_features_per_level,
            prefix="feat_",
        ),
        *(
            GridSpec(one["num_levels"], one.get("base_res", 16), one["max_res"], one["log2_hashmap_size"], 2)
            for one in _proposal_arguments(config)
        ),
    ]


def warm_up(config: FeatureFieldModelConfig, device: str) -> None:
    """Pay a process's one-time costs of a configuration's model: compile its kernels, or load them from the disk."""
    backend = resolve_backend(config.encoding_backend, device)
    for features in sorted({spec.features_per_level for spec in grid_specs(config)}):
        build_grid(GridSpec(1, 2, 2, 10, features), backend, device).warm_up()
    operations_for(backend).warm_up()


def _proposal_arguments(config: FeatureFieldModelConfig) -> list[dict[str, Any]]:
    """nerfstudio's description of each stage's network; the last one stands for all stages that follow."""
    arguments = config.proposal_net_args_list
    return [arguments[min(stage, len(arguments) - 1)] for stage in range(config.num_proposal_iterations)]


class ProposalSchedule:
    """When the proposal networks are trained, and how sharp their weights are.

    It has the two methods that NerfactoModel's training callbacks call on its sampler. Its state is `state`, for
    checkpoints: an unbroken run and a resumed one update at the same steps.
    """

    def __init__(self, update_every: int, warmup: int) -> None:
        self._update_every, self._warmup = update_every, warmup
        self.anneal = 1.0
        self._step = 0
        self._since_update = 0

    @property
    def state(self) -> dict[str, float]:
        return {"anneal": self.anneal, "step": self._step, "since_update": self._since_update}

    @state.setter
    def state(self, state: dict[str, float]) -> None:
        self.anneal, self._step = state["anneal"], int(state["step"])
        self._since_update = int(state["since_update"])

    def set_anneal(self, anneal: float) -> None:
        self.anneal = float(anneal)

    def update_now(self) -> bool:
        """Whether this step trains the proposals: always at first, then ever more rarely, as in nerfacto."""
        interval = np.interp(self._step, [0, self._warmup], [0, self._update_every])
        return bool(self._step < 10 or self._since_update > np.clip(interval, 1, self._update_every))

    def step_cb(self, step: int) -> None:
        """A training step has passed."""
        if self.update_now():
            self._since_update = 0
        self._step = step
        self._since_update += 1
