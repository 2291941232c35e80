"""A preset to start from: the scene's table, with the memory's as a ceiling."""

from __future__ import annotations

from pathlib import Path

import pytest

from f3rm_core import UsageError
from sweeps.spec.presets import load_preset
from sweeps.spec.suggest import suggest

# max_res, hidden_dim, feat_loss_weight by the scene; rays, table and precision by the memory; max_res the lower of two.
TABLE = [
    ("simple", 8, (1024, 32, 1e-4, 4096, 18, True)),
    ("simple", 80, (1024, 32, 1e-4, 16384, 20, False)),
    ("complex", 11.9, (1024, 64, 1e-3, 4096, 18, True)),
    ("complex", 12, (2048, 64, 1e-3, 8192, 19, True)),
    ("very_complex", 8, (1024, 128, 2e-3, 4096, 18, True)),
    ("very_complex", 23.9, (2048, 128, 2e-3, 8192, 19, True)),
    ("very_complex", 24, (4096, 128, 2e-3, 16384, 20, False)),
]
NAMES = (
    "max_res",
    "hidden_dim",
    "feat_loss_weight",
    "train_num_rays_per_batch",
    "log2_hashmap_size",
    "mixed_precision",
)


@pytest.mark.parametrize(("complexity", "gpu_memory_gb", "values"), TABLE)
def test_values_follow_both_tables(complexity: str, gpu_memory_gb: float, values: tuple[object, ...]) -> None:
    suggested = suggest(complexity, gpu_memory_gb)
    assert dict(suggested.preset.parameters) == dict(zip(NAMES, values, strict=True))


def test_says_which_rule_gave_which_value() -> None:
    by_name = {reason.parameter: reason for reason in suggest("very_complex", 12).reasons}
    assert set(by_name) == set(NAMES)
    assert {name: reason.rule for name, reason in by_name.items()} == {
        "max_res": "memory",
        "hidden_dim": "scene",
        "feat_loss_weight": "scene",
        "train_num_rays_per_batch": "memory",
        "log2_hashmap_size": "memory",
        "mixed_precision": "memory",
    }
    assert "12 to 24 GB" in by_name["max_res"].why
    assert "would take 4096" in by_name["max_res"].why


def test_its_file_is_the_preset(tmp_path: Path) -> None:
    suggested = suggest("simple", 16)
    file = tmp_path / "start.yaml"
    file.write_text(suggested.yaml())
    assert load_preset(file) == suggested.preset
    assert file.read_text().count("# memory rule:") == 3


@pytest.mark.parametrize("gpu_memory_gb", [0, -1, float("nan"), float("inf"), 1e6])
def test_a_memory_that_is_none_is_refused(gpu_memory_gb: float) -> None:
    with pytest.raises(UsageError, match=r"gpu_memory_gb=.*: give the memory of one GPU in GB"):
        suggest("simple", gpu_memory_gb)


def test_a_complexity_that_is_none_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="'verycomplex': no such complexity; did you mean very_complex"):
        suggest("verycomplex", 8)
