"""Presets: following bases, and what is said of a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest

from sweeps.errors import InvalidSpec, UnknownPreset
from sweeps.spec.presets import ROOT_PRESET, default_parameters, list_presets, load_preset, overlay


def write(folder: Path, name: str, base: str, parameters: str) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(f"name: {name}\nbase: {base}\nsummary: For a test.\nparameters: {parameters}\n")
    return path


def test_every_preset_that_ships_loads() -> None:
    names = list_presets()
    assert names[0] == ROOT_PRESET
    for name in names:
        preset = load_preset(name)
        assert preset.name == name
        assert preset.summary.endswith(".")
        assert preset.trade_off.endswith(".")


def test_a_preset_sets_only_what_differs_from_its_base() -> None:
    for name in list_presets():
        preset = load_preset(name)
        if preset.base is not None:
            base = load_preset(preset.base).resolved
            assert [key for key, value in preset.parameters.items() if base.get(key) == value] == [], name


# The guide's four, in full.
DOCUMENTED = {
    "quick_prototype": {
        "max_res": 1024,
        "feat_max_res": 64,
        "num_nerf_samples_per_ray": 32,
        "max_num_iterations": 15000,
        "feat_loss_weight": 1e-4,
        "mixed_precision": True,
    },
    "high_quality": {
        "max_res": 4096,
        "feat_max_res": 256,
        "num_nerf_samples_per_ray": 64,
        "max_num_iterations": 50000,
        "feat_loss_weight": 2e-3,
        "hidden_dim": 128,
        "log2_hashmap_size": 20,
    },
    "memory_constrained": {
        "train_num_rays_per_batch": 4096,
        "eval_num_rays_per_chunk": 8192,
        "max_res": 1024,
        "log2_hashmap_size": 18,
        "mixed_precision": True,
        "gradient_accumulation_steps": 2,
    },
    "language_heavy": {
        "feat_loss_weight": 5e-3,
        "feat_max_res": 256,
        "feat_hidden_dim": 128,
        "feature_type": "CLIP",
        "max_num_iterations": 40000,
    },
}


@pytest.mark.parametrize("name", DOCUMENTED)
def test_the_documented_presets_have_their_documented_values(name: str) -> None:
    resolved = load_preset(name).resolved
    assert dict(resolved) == {**default_parameters(), **DOCUMENTED[name]}


def test_the_root_is_the_documented_defaults() -> None:
    resolved = load_preset(ROOT_PRESET).resolved
    assert {name: resolved[name] for name in default_parameters()} == default_parameters()


def test_a_chain_of_files_is_followed(tmp_path: Path) -> None:
    write(tmp_path, "one", ROOT_PRESET, "{max_res: 1024, num_levels: 8}")
    path = write(tmp_path, "two", "./one.yaml", "{num_levels: 12}")
    preset = load_preset(path)
    assert (preset.resolved["max_res"], preset.resolved["num_levels"]) == (1024, 12)
    assert preset.parameters == {"num_levels": 12}


def test_a_flat_name_sets_all_its_places_again() -> None:
    assert overlay({"lr_fields": 0.1, "lr_final": 0.2, "eps": 1.0}, {"lr": 0.3}) == {
        "lr_final": 0.2,
        "eps": 1.0,
        "lr": 0.3,
    }
    assert overlay({"lr": 0.3}, {"lr_fields": 0.1}) == {"lr": 0.3, "lr_fields": 0.1}


def test_bases_in_a_circle_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "one", "./two.yaml", "{}")
    path = write(tmp_path, "two", "./one.yaml", "{}")
    with pytest.raises(InvalidSpec, match="circle"):
        load_preset(path)


def test_a_missing_base_is_the_fault_of_the_file_that_names_it(tmp_path: Path) -> None:
    path = write(tmp_path, "mine", "./none.yaml", "{}")
    with pytest.raises(InvalidSpec, match=r"mine\.yaml: line 2: base='\./none\.yaml': no such file; give a preset"):
        load_preset(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: x\nparameters: {}", "base: is required"),
        ("name: x\nbase: high_qualty", "line 2: base='high_qualty': no such preset; did you mean high_quality?"),
        ("name: x\nbase: f3rm_default\ntrade_off: 3", "trade_off=3: must be a string"),
        ("name: x\nbase: f3rm_default\ntradeoff: less", "tradeoff='less': unknown key; did you mean trade_off?"),
        ("name: x\nbase: f3rm_default\nparameters: {lr: 0}", "line 3: parameters.lr=0: must be above 0"),
        ("name: x\nbase: f3rm_default\nparameters: {predict_normals: true}", "leave it false"),
        (
            "name: x\nbase: f3rm_default\nparameters: {max_ress: 1}",
            "parameters.max_ress=1: no such parameter; did you mean",
        ),
        ("name: x\nbase: f3rm_default\nparameters: {max_res: 1}", "parameters.max_res=1: must be at least base_res"),
        ("name: x\nbase: f3rm_default\nparameter: {}", "parameter={}: unknown key; did you mean parameters"),
        ("base: f3rm_default", "name: is required"),
        ("name: x\nbase: f3rm_default\nparameters: 3", "parameters=3: must be a mapping"),
    ],
)
def test_the_field_at_fault_is_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(InvalidSpec) as caught:
        load_preset(path)
    assert words in str(caught.value)


def test_an_unknown_name_is_refused_with_a_near_one() -> None:
    with pytest.raises(UnknownPreset, match="did you mean f3rm_default"):
        load_preset("f3rm_defaults")
