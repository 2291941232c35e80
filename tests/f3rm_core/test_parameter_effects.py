"""Each parameter does what it says: changed, the model, its optimizers or the loop are what the value asks for."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.scene_box import SceneBox

from f3rm_core import PARAMETERS, build_config
from f3rm_core.evaluation.evaluate import render_image
from f3rm_core.model.f3rm import FeatureFieldModel
from f3rm_core.training.optimization import Optimization
from tests.conftest import TINY_PARAMETERS

CHANNELS, RAYS = 6, 32
GROUPS = ("fields", "feature_field", "proposal_networks")
CAMERAS = {"camera_opt_mode": "SO3xR3"}


class Bench:
    """A tiny model with its optimizers, and rays to train it on."""

    def __init__(self, parameters: Mapping[str, Any]) -> None:
        torch.manual_seed(0)
        self.config = build_config(parameters)
        self.model: FeatureFieldModel = self.config.pipeline.model.setup(
            scene_box=SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]])),
            num_train_data=4,
            metadata={"feature_dim": CHANNELS},
            grad_scaler=None,
        )
        self.model.train()
        self.optimization = Optimization(self.model, self.config)

    def rays(self, count: int = RAYS) -> RayBundle:
        return RayBundle(
            origins=torch.randn(count, 3) * 0.3,
            directions=torch.nn.functional.normalize(torch.randn(count, 3), dim=-1),
            pixel_area=torch.ones(count, 1),
            camera_indices=torch.randint(0, 4, (count, 1)),
            nears=torch.full((count, 1), 0.05),
            fars=torch.full((count, 1), 10.0),
        )

    def batch(self) -> dict[str, torch.Tensor]:
        return {"image": torch.rand(RAYS, 3), "feature": torch.randn(RAYS, CHANNELS)}

    def step(self, number: int) -> float:
        return float(self.optimization.step(number, self.rays(), self.batch()))

    def outputs(self) -> dict[str, Any]:
        return self.model(self.rays())

    def group(self, key: str) -> list[float]:
        """A setting of the three field optimizers, as they have it now."""
        return [self.optimization.optimizers[group].param_groups[0][key] for group in GROUPS]


Probe = Callable[[Bench], Any]
LESS = object()


@dataclass(frozen=True)
class Effect:
    """What is seen once a parameter has a value.

    Args:
        value: another than the tiny configuration's.
        probe: what to look at.
        want: what it must give; None: the value itself; LESS: less than before.
        beside: parameters that both sides have, for the change to be seen.
        along: parameters that must change with it.
    """

    value: Any
    probe: Probe
    want: Any = None
    beside: Mapping[str, Any] = field(default_factory=dict)
    along: Mapping[str, Any] = field(default_factory=dict)


def grid(which: str, attribute: str) -> Probe:
    return lambda bench: getattr(getattr(bench.model, which).grid.spec, attribute)


def rates_at(number: int) -> Probe:
    """Learning rates of the three field optimizers after step `number`."""

    def probe(bench: Bench) -> list[float]:
        bench.step(number)
        return bench.group("lr")

    return probe


def loss_weight(name: str) -> Probe:
    """A loss as it enters the sum, over the same without its weight."""

    def probe(bench: Bench) -> float:
        outputs, batch = bench.outputs(), bench.batch()
        intervals, weights = outputs["intervals"], outputs["weights"]
        operations = bench.model.operations
        plain = {
            "feature_loss": lambda: torch.nn.functional.mse_loss(outputs["feature"], batch["feature"]),
            "distortion_loss": lambda: operations.distortion_loss(intervals.bins, weights),
            "interlevel_loss": lambda: sum(
                operations.interlevel_loss(intervals.bins, weights.detach(), stage.bins, proposed)
                for stage, proposed in outputs["stages"]
            ),
        }[name]()
        return (bench.model.get_loss_dict(outputs, batch)[name] / plain).item()

    return probe


def features_reach_density(bench: Bench) -> bool:
    bench.model.get_loss_dict(bench.outputs(), bench.batch())["feature_loss"].backward()
    gradient = bench.model.field.grid.params.grad
    return gradient is not None and bool(gradient.any())


def proposal_updates(bench: Bench) -> int:
    """How many of the steps 10 to 200 train the proposals."""
    sampler, updates = bench.model.proposal_sampler, 0
    for number in range(200):
        sampler.step_cb(number)
        updates += number >= 10 and sampler.update_now()
    return updates


def anneal_after_50(bench: Bench) -> float:
    bench.step(50)
    return bench.model.proposal_sampler.anneal


def moved_by_first_step(bench: Bench) -> bool:
    head = bench.model.feature_field.head.weights[0]
    before = head.detach().clone()
    bench.step(0)
    return not torch.equal(before, head)


def chunks_of_1024_rays(bench: Bench) -> int:
    with mock.patch.object(bench.model, "render", side_effect=bench.model.render) as render, torch.no_grad():
        bench.model.eval()
        render_image(bench.model, bench.rays(1024), "rgb")
    return render.call_count


def half_on_cuda(bench: Bench) -> bool:
    on_cuda = mock.patch.object(FeatureFieldModel, "device", torch.device("cuda"))
    with on_cuda, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that there is no CUDA
        return Optimization(bench.model, bench.config).half


def camera_setting(key: str) -> Probe:
    return lambda bench: bench.optimization.optimizers["camera_opt"].param_groups[0][key]


def per_group(name: str, value: float, usual: float, probe: Probe, **more: Any) -> dict[str, Effect]:
    """The flat name changes all three, a suffixed one its own alone."""
    effects = {name: Effect(value, probe, [value] * 3, **more)}
    for group in GROUPS:
        want = [value if group == one else usual for one in GROUPS]
        effects[f"{name}_{group}"] = Effect(value, probe, want, **more)
    return effects


FINAL_AT_100 = {"beside": {"lr_max_steps": 100}}
EFFECTS: dict[str, Effect] = {
    "num_levels": Effect(6, grid("field", "num_levels")),
    "base_res": Effect(8, grid("field", "base_res")),
    "max_res": Effect(128, grid("field", "max_res")),
    "log2_hashmap_size": Effect(13, grid("field", "log2_hashmap_size")),
    "features_per_level": Effect(4, grid("field", "features_per_level")),
    "feat_num_levels": Effect(3, grid("feature_field", "num_levels")),
    "feat_start_res": Effect(8, grid("feature_field", "base_res")),
    "feat_max_res": Effect(64, grid("feature_field", "max_res")),
    "feat_log2_hashmap_size": Effect(13, grid("feature_field", "log2_hashmap_size")),
    "feat_features_per_level": Effect(4, grid("feature_field", "features_per_level")),
    "hidden_dim": Effect(24, lambda b: b.model.field.geometry.weights[0].shape[0]),
    "hidden_dim_color": Effect(24, lambda b: b.model.field.color.weights[0].shape[0]),
    "num_layers": Effect(3, lambda b: len(b.model.field.geometry.weights)),
    "num_layers_color": Effect(2, lambda b: len(b.model.field.color.weights)),
    "appearance_embed_dim": Effect(8, lambda b: b.model.field.appearance.weight.shape[1]),
    "use_appearance_embedding": Effect(False, lambda b: b.model.field.appearance is not None),
    "feat_hidden_dim": Effect(24, lambda b: b.model.feature_field.hidden.weights[0].shape[0]),
    "feat_num_layers": Effect(3, lambda b: len(b.model.feature_field.hidden.weights)),
    # Inputs of the feature MLP: 2 levels of 2 features, and 3 axes x (sine, cosine) a band.
    "feat_use_pe": Effect(False, lambda b: b.model.feature_field.hidden.weights[0].shape[1], 4),
    "feat_pe_n_freq": Effect(3, lambda b: b.model.feature_field.hidden.weights[0].shape[1], 4 + 18),
    "feat_loss_weight": Effect(0.5, loss_weight("feature_loss")),
    "feat_detach_weights": Effect(True, features_reach_density, False),
    "interlevel_loss_mult": Effect(3.0, loss_weight("interlevel_loss")),
    "distortion_loss_mult": Effect(0.25, loss_weight("distortion_loss")),
    "num_proposal_samples_per_ray": Effect(
        [20, 10], lambda b: [weights.shape[1] for _, weights in b.outputs()["stages"]]
    ),
    "num_nerf_samples_per_ray": Effect(12, lambda b: b.outputs()["weights"].shape[1]),
    "num_proposal_iterations": Effect(
        1, lambda b: len(b.outputs()["stages"]), along={"num_proposal_samples_per_ray": [16]}
    ),
    "proposal_update_every": Effect(20, proposal_updates, LESS, beside={"proposal_warmup": 5}),
    "proposal_warmup": Effect(20, proposal_updates, LESS),
    # Half of the way of mip-NeRF 360's bias curve with slope 10: 10 x 0.5 / (9 x 0.5 + 1).
    "proposal_weights_anneal_max_num_iters": Effect(100, anneal_after_50, 10 / 11),
    **per_group("lr", 0.005, 0.01, rates_at(0)),
    **per_group("lr_final", 0.002, 1e-4, rates_at(100), **FINAL_AT_100),
    **per_group("eps", 1e-9, 1e-15, lambda b: b.group("eps")),
    "camera_opt_mode": Effect("SE3", lambda b: "camera_opt" in b.optimization.optimizers, True),
    "lr_camera_opt": Effect(1e-5, camera_setting("lr"), beside=CAMERAS),
    "eps_camera_opt": Effect(1e-9, camera_setting("eps"), beside=CAMERAS),
    "weight_decay_camera_opt": Effect(0.5, camera_setting("weight_decay"), beside=CAMERAS),
    "eval_num_rays_per_chunk": Effect(256, chunks_of_1024_rays, 4),
    "mixed_precision": Effect(False, half_on_cuda),
    "gradient_accumulation_steps": Effect(2, moved_by_first_step, False),
}
# At step 50 a schedule of 50 steps is at its end, 1e-4; one of 200,000 has moved by a thousandth.
LATE = 1e-2 * (1e-4 / 1e-2) ** (50 / 200_000)
EFFECTS |= {"lr_max_steps": Effect(50, rates_at(50), [1e-4] * 3)}
EFFECTS |= {
    f"lr_max_steps_{group}": Effect(50, rates_at(50), [1e-4 if group == one else LATE for one in GROUPS])
    for group in GROUPS
}
WITH_DATA = {"train_num_rays_per_batch"}
SWEEPABLE = [name for name, parameter in PARAMETERS.items() if not parameter.not_sweepable]


def test_every_parameter_that_may_be_swept_is_here() -> None:
    assert EFFECTS.keys() | WITH_DATA == set(SWEEPABLE)


@pytest.mark.parametrize("name", EFFECTS)
def test_a_parameter_does_what_it_says(name: str) -> None:
    effect = EFFECTS[name]
    base = {**TINY_PARAMETERS, **effect.beside}
    before, after = (
        effect.probe(Bench(parameters)) for parameters in (base, {**base, **effect.along, name: effect.value})
    )
    if effect.want is LESS:
        assert after < before
        return
    assert before != after
    assert after == pytest.approx(effect.value if effect.want is None else effect.want, rel=1e-5)


def test_rays_of_a_batch(tiny_scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("F3RM_CACHE_DIR", str(tmp_path))
    for count in (128, 96):
        config = build_config({**TINY_PARAMETERS, "train_num_rays_per_batch": count}).pipeline.datamanager
        config.data = tiny_scene
        data = config.setup(device="cpu", test_mode="val", world_size=1, local_rank=0)
        rays, batch = data.next_train(0)
        assert (len(rays), len(batch["image"]), len(batch["feature"])) == (count, count, count)


ALONG = {1: {"num_proposal_samples_per_ray": [16]}, 3: {"num_proposal_samples_per_ray": [16, 12, 8]}}


@pytest.mark.parametrize("name", [name for name in SWEEPABLE if name not in WITH_DATA])
def test_both_ends_of_its_sweep_train(name: str) -> None:
    swept = PARAMETERS[name].sweep
    assert swept is not None
    ends = (swept.choices[0], swept.choices[-1]) if swept.scale == "choices" else (swept.low, swept.high)
    for end in ends:
        beside = ALONG[int(end)] if name == "num_proposal_iterations" else {}
        bench = Bench({**TINY_PARAMETERS, **beside, name: end})
        assert all(torch.isfinite(torch.tensor(bench.step(number))) for number in range(2)), end
