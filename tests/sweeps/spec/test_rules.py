"""Each rule at its edge: a configuration that just breaks it, and one that just does not."""

from __future__ import annotations

from typing import Any

import pytest

from f3rm_core import PARAMETERS, check_parameters
from sweeps.spec.check import check_configuration
from sweeps.spec.memory import MEMORY_LIMIT
from sweeps.spec.presets import list_presets, load_preset, overlay
from sweeps.spec.rules import IMPOSSIBLE, RULE_IDS, RULES
from sweeps.spec.suggest import COMPLEXITIES, suggest

DEFAULTS = load_preset("f3rm_default").resolved
HEAVY = {"max_res": 4096, "log2_hashmap_size": 21, "train_num_rays_per_batch": 16384, "mixed_precision": False}
POOR = {"max_res": 512, "hidden_dim": 32, "num_nerf_samples_per_ray": 16}

# Rule -> what breaks it, what just does not.
EDGES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "memory-full-precision": (HEAVY, {**HEAVY, "log2_hashmap_size": 20}),
    # Tables of 1.6e9 and 1.0e9 numbers at 16 bytes are 42 GB; of 0.5e9 and 0.1e9 they are 10 GB.
    "memory-24gb": (
        {"feat_log2_hashmap_size": 24, "feat_max_res": 1024, "log2_hashmap_size": 24, "features_per_level": 4},
        {"feat_log2_hashmap_size": 23, "feat_max_res": 1024, "log2_hashmap_size": 22},
    ),
    "unstable-rates": ({"lr": 0.05, "feat_loss_weight": 0.1}, {"lr": 0.049, "feat_loss_weight": 0.1}),
    "high-rate": ({"lr_proposal_networks": 0.05}, {"lr_proposal_networks": 0.049}),
    "features-rule-density": ({"feat_loss_weight": 1.1}, {"feat_loss_weight": 1.1, "feat_detach_weights": True}),
    "large-epsilon": ({"eps_fields": 1e-6}, {"eps_fields": 1e-7}),
    "rising-rate": ({"lr_final": 0.02}, {"lr_final": 0.01}),
    "deep-network": ({"feat_num_layers": 5}, {"feat_num_layers": 4}),
    "small-batch": (
        {"train_num_rays_per_batch": 63},
        {"train_num_rays_per_batch": 32, "gradient_accumulation_steps": 2},
    ),
    "too-little-capacity": (POOR, {**POOR, "hidden_dim": 64}),
    "no-features": ({"feat_loss_weight": 0.0}, {"feat_loss_weight": 1e-9}),
    "faint-features": ({"feat_loss_weight": 9e-6}, {"feat_loss_weight": 1e-5}),
    "crowded-tables": ({"max_res": 4096, "log2_hashmap_size": 17}, {"max_res": 4095, "log2_hashmap_size": 17}),
    "finer-features": ({"max_res": 64}, {"max_res": 128}),
    "coarse-proposals": ({"num_nerf_samples_per_ray": 97}, {"num_nerf_samples_per_ray": 96}),
    "never-updates": (
        {"gradient_accumulation_steps": 9, "max_num_iterations": 8},
        {"gradient_accumulation_steps": 8, "max_num_iterations": 8},
    ),
    # 0.01^(4400/200000) is 0.904, 0.01^(4800/200000) is 0.895.
    "rate-stays": ({"max_num_iterations": 4400}, {"max_num_iterations": 4800}),
    "long-annealing": ({"max_num_iterations": 999}, {"max_num_iterations": 1000}),
    # 64 vertices along a side are 262,144, a quarter of 2^20.
    "idle-table": (
        {"feat_max_res": 63, "feat_log2_hashmap_size": 20},
        {"feat_max_res": 64, "feat_log2_hashmap_size": 20},
    ),
    "idle-normals": ({"orientation_loss_mult": 1e-2}, {"orientation_loss_mult": 1e-4}),
    "idle-camera": ({"camera_opt_mode": "off", "lr_camera_opt": 1e-3}, {"lr_camera_opt": 1e-3}),
    "idle-encoding": ({"feat_use_pe": False, "feat_pe_n_freq": 4}, {"feat_pe_n_freq": 4}),
    "idle-embedding": ({"use_appearance_embedding": False, "appearance_embed_dim": 8}, {"appearance_embed_dim": 8}),
    IMPOSSIBLE: ({"max_res": 15}, {"max_res": 16, "feat_max_res": 16}),
}


def found(**changes: Any) -> dict[str, str]:
    """Rules that a configuration breaks, with their severity."""
    checked = check_configuration(overlay(DEFAULTS, changes))
    return {finding.rule: finding.severity for finding in checked.findings}


def test_every_rule_has_its_edge_tested() -> None:
    assert {*EDGES, MEMORY_LIMIT} == set(RULE_IDS)  # whose edge is the sweep's own: see the tests of memory


@pytest.mark.parametrize("rule", EDGES)
def test_a_rule_holds_at_its_edge(rule: str) -> None:
    breaking, inside = EDGES[rule]
    assert rule in found(**breaking)
    assert rule not in found(**inside)


def test_rules_name_parameters_that_exist_and_say_what_to_do() -> None:
    for rule in RULES.values():
        assert set(rule.parameters) <= set(PARAMETERS), rule.id
        assert rule.message
        assert rule.remedy


class TestTheGuidesCombinations:
    def test_memory(self) -> None:
        assert found(**HEAVY) == {"memory-full-precision": "warning"}  # an error no more: docs/memory.md

    def test_instability(self) -> None:
        rules = found(lr=5e-2, feat_loss_weight=1e-1, orientation_loss_mult=1e-2)
        assert rules == {"unstable-rates": "error", "high-rate": "warning", "idle-normals": "warning"}

    def test_poor_quality(self) -> None:
        assert found(**POOR, feat_loss_weight=1e-5) == {"too-little-capacity": "warning"}


@pytest.mark.parametrize("name", list_presets())
def test_every_preset_that_ships_passes_without_a_warning(name: str) -> None:
    assert check_configuration(load_preset(name).resolved).findings == ()


@pytest.mark.parametrize("gpu_memory_gb", [4, 8, 11.9, 12, 23.9, 24, 80])
@pytest.mark.parametrize("complexity", COMPLEXITIES)
def test_every_suggestion_passes_without_a_warning(complexity: str, gpu_memory_gb: float) -> None:
    resolved = suggest(complexity, gpu_memory_gb).preset.resolved
    assert check_parameters(resolved) == resolved
    assert check_configuration(resolved).findings == ()
