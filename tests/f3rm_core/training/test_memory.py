"""Predicted peak memory: parts by hand, what makes it grow, and against measured runs."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from f3rm_core import InvalidParameter, SceneSize, build_config, load_scene, peak_memory
from f3rm_core.training.memory import PredictedMemory

SCENE = SceneSize(width=80, height=60, images=10, held_out=2)
# Two levels of 4 and 8 vertices along a side: 64 and 512 entries. Features: one level of 4: 64 entries.
SMALL = {
    "num_levels": 2,
    "base_res": 4,
    "max_res": 8,
    "log2_hashmap_size": 10,
    "features_per_level": 2,
    "feat_num_levels": 1,
    "feat_start_res": 4,
    "feat_max_res": 4,
    "feat_log2_hashmap_size": 10,
    "feat_features_per_level": 8,
    "hidden_dim": 32,
    "num_layers": 2,
    "hidden_dim_color": 16,
    "num_layers_color": 2,
    "feat_hidden_dim": 24,
    "feat_num_layers": 2,
    "feat_use_pe": False,
    "use_appearance_embedding": False,
    "camera_opt_mode": "off",
    "num_proposal_iterations": 1,
    "num_proposal_samples_per_ray": [32],
    "clip_model": "tabletop-mini",
    "clip_pretrained": "embedded",
    "train_num_rays_per_batch": 4096,
}


def predict(**changes: Any) -> PredictedMemory:
    return peak_memory({**SMALL, **changes}, SCENE, "numba", "cpu")


def small_numbers() -> int:
    """Numbers that train: the proposals' grid has levels of 16, 27, 46, 77 and 128 vertices along a side, rounded up to
    whole eights, the last two in tables of 2^17 entries."""
    radiance = (64 + 512) * 2
    features = 64 * 8
    proposals = (16**3 + 19_688 + 46**3 + 2 * 2**17) * 2
    geometry = 4 * 32 + 32 * 16
    color = (16 + 15) * 16 + 16 * 3
    feature = 8 * 24 + 24 * 24 + 24 * 96
    proposal = 10 * 16 + 16 * 1
    return radiance + features + proposals + geometry + color + feature + proposal


class TestParts:
    def test_parameters_moments_and_gradients(self) -> None:
        parts = predict().parts
        assert parts.parameters == 4 * small_numbers()
        assert parts.optimizer == 8 * small_numbers()
        assert parts.gradients == 4 * small_numbers()

    def test_embeddings_and_poses_of_the_images_trained_on(self) -> None:
        more = predict(use_appearance_embedding=True, appearance_embed_dim=8, camera_opt_mode="SE3").parts.parameters
        # 8 images: 8 numbers and 6 of the pose each, and 8 more inputs of the colour MLP's 16 neurons.
        assert more == 4 * (small_numbers() + 8 * (8 + 6) + 8 * 16)

    def test_what_a_radiance_sample_holds(self) -> None:
        """At the peak, in the feature field's backward pass: position 3, encoded 4, hidden 32, raw 16, weight and what
        passed 2, hidden colour 16, colour 3, and the distortion loss's gradient 1."""
        parts = predict().parts
        assert parts.radiance_samples == 4096 * 48 * 4 * (3 + 4 + 32 + 16 + 2 + 16 + 3 + 1)

    def test_what_a_feature_sample_holds(self) -> None:
        """At the peak, where the output's gradient is there and the output still is: encoded 8, hidden 24, output 24,
        and gradients of the weight 1 and the output 24."""
        assert predict().parts.feature_samples == 4096 * 48 * 4 * (8 + 24 + 24 + 1 + 24)

    def test_what_a_proposal_sample_holds(self) -> None:
        """Position 3, encoded 10, hidden 16, raw 1, weight and what passed 2, the loss's gradient 1; and bins and edges
        of both stages, one more than samples."""
        borders = 4096 * 4 * 2 * (33 + 49)
        assert predict().parts.proposal_samples == 4096 * 32 * 4 * (3 + 10 + 16 + 1 + 2 + 1) + borders

    def test_maps_are_mapped_and_not_held(self) -> None:
        predicted = predict()
        # 80x60 pixels in patches of 8: 8 rows (7.5 rounded up) of 10.
        assert predicted.mapped_bytes == 10 * (80 * 60 * 3 + 8 * 10 * 96 * 2)
        assert predicted.parts.scene == 80 * 60 * 20 * 2

    def test_the_parts_are_the_total(self) -> None:
        for predicted in (predict(), predict(eval_num_rays_per_chunk=1 << 20, train_num_rays_per_batch=16)):
            assert sum(size for _, size in predicted.parts.items()) == predicted.total_bytes

    def test_the_scores_of_many_views_are_the_peak(self) -> None:
        """48 bytes a value: twice 4 one by one, and five times 8."""
        scene = SceneSize(800, 600, 100, 50)
        predicted = peak_memory({**SMALL, "train_num_rays_per_batch": 1}, scene, "tcnn", "cuda")
        assert predicted.phase == "evaluation"
        assert predicted.parts.evaluation == 50 * 75 * 100 * 96 * 48


class TestGrowth:
    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("train_num_rays_per_batch", [1024, 2048, 4096, 16384]),
            ("num_nerf_samples_per_ray", [16, 32, 64, 128]),
            ("num_proposal_samples_per_ray", [[32], [64], [256]]),
            ("log2_hashmap_size", [14, 16, 18, 20, 22]),
            ("feat_log2_hashmap_size", [14, 16, 18, 20]),
            ("features_per_level", [1, 2, 4, 8]),
            ("hidden_dim", [16, 32, 64]),
            ("feat_hidden_dim", [16, 32, 64]),
        ],
    )
    @pytest.mark.parametrize(("backend", "device"), [("numba", "cpu"), ("tcnn", "cuda"), ("reference", "cuda")])
    def test_more_takes_more(self, name: str, values: list[Any], backend: Any, device: Any) -> None:
        fine = {**SMALL, "max_res": 2048, "feat_max_res": 512, "num_levels": 8, "feat_num_levels": 8}
        peaks = [peak_memory({**fine, name: value}, SCENE, backend, device).total_bytes for value in values]
        assert all(low <= high for low, high in pairwise(peaks)), peaks  # equal where an evaluation is the peak
        assert peaks[0] < peaks[-1]

    def test_half_precision_takes_less_on_cuda_and_the_same_on_the_cpu(self) -> None:
        full, half = ({**SMALL, "mixed_precision": on} for on in (False, True))
        assert predict(**half) == predict(**full)
        on_cuda = [peak_memory(one, SCENE, "reference", "cuda").total_bytes for one in (half, full)]
        assert on_cuda[0] < on_cuda[1]

    def test_added_gradients_take_one_table_more(self) -> None:
        tables = {"log2_hashmap_size": 22, "max_res": 2048, "train_num_rays_per_batch": 16}
        once, added = (predict(**tables, gradient_accumulation_steps=steps).parts.gradients for steps in (1, 2))
        assert added > once


class TestWhatIsRefused:
    def test_a_backend_that_does_not_run_there(self) -> None:
        with pytest.raises(InvalidParameter, match="encoding_backend='tcnn': there is no prediction for it on cpu"):
            peak_memory(SMALL, SCENE, "tcnn", "cpu")

    def test_a_device_that_is_none(self) -> None:
        with pytest.raises(InvalidParameter, match="on tpu"):
            peak_memory(SMALL, SCENE, "numba", "tpu")  # type: ignore[arg-type]

    def test_a_feature_model_that_nobody_knows(self) -> None:
        with pytest.raises(InvalidParameter, match="open_clip has no such model"):
            peak_memory({**SMALL, "clip_model": "ViT-nope", "clip_pretrained": "openai"}, SCENE, "numba", "cpu")


class TestWhatIsSaid:
    def test_only_the_cpus_usual_backend_was_measured(self) -> None:
        assert predict().measured
        assert not peak_memory(SMALL, SCENE, "tcnn", "cuda").measured
        assert not peak_memory(SMALL, SCENE, "reference", "cpu").measured

    def test_dino_has_the_published_sizes(self) -> None:
        dino = {"feature_type": "DINO", "dino_model": "vit_base_patch16_224_dino"}
        predicted = predict(**dino)
        assert predicted.mapped_bytes == 10 * (80 * 60 * 3 + 4 * 5 * 768 * 2)

    def test_without_a_cache_a_run_on_the_cpu_holds_images_and_maps(self) -> None:
        cached, held = predict(), predict(enable_cache=False)
        assert held.total_bytes == cached.total_bytes + cached.mapped_bytes
        assert held.parts.scene == cached.parts.scene + cached.mapped_bytes
        assert held.mapped_bytes == 0
        off = {**SMALL, "enable_cache": False}
        assert peak_memory(off, SCENE, "tcnn", "cuda") == peak_memory(SMALL, SCENE, "tcnn", "cuda")

    def test_it_needs_no_torch(self) -> None:
        code = (
            "import sys; from f3rm_core import peak_memory; peak_memory({}, None, 'tcnn', 'cuda'); "
            "print(sorted({'torch', 'open_clip', 'timm', 'nerfstudio', 'numba'} & set(sys.modules)))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"


def test_grids_and_widths_are_those_of_the_model(tiny_parameters: dict[str, Any], tiny_scene: Path) -> None:
    """Numbers of parameters against the modules themselves."""
    import torch
    from nerfstudio.data.scene_box import SceneBox

    parameters = {**tiny_parameters, "camera_opt_mode": "SO3xR3", "num_layers": 3, "feat_pe_n_freq": 3}
    scene = load_scene(str(tiny_scene))
    box = SceneBox(aabb=torch.tensor([[-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]]))
    model = build_config(parameters).pipeline.model.setup(
        scene_box=box, num_train_data=len(scene.train_images), metadata={"feature_dim": 96}, grad_scaler=None
    )
    numbers = sum(one.numel() for one in model.parameters() if one.requires_grad)
    assert peak_memory(parameters, scene, "numba", "cpu").parts.parameters == 4 * numbers


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"train_num_rays_per_batch": 2048, "log2_hashmap_size": 14, "eval_num_rays_per_chunk": 1024},
        {"train_num_rays_per_batch": 256, "log2_hashmap_size": 19, "num_levels": 16, "eval_num_rays_per_chunk": 1024},
        {"train_num_rays_per_batch": 64, "eval_num_rays_per_chunk": 16384, "num_proposal_samples_per_ray": [256, 32]},
    ],
    ids=["samples", "tables", "evaluation"],
)
def test_it_agrees_with_what_is_measured(changes: dict[str, Any]) -> None:
    from benchmarks.memory import TOLERANCE, measure
    from sweeps.spec.presets import load_preset

    parameters = {**load_preset("demo_cpu").resolved, **changes}
    measured = measure(parameters)["peak_memory_gb"] * 1e9
    predicted = peak_memory(parameters, load_scene("embedded:tabletop"), "numba", "cpu").total_bytes
    assert predicted == pytest.approx(measured, rel=TOLERANCE)
