"""The claims of the users' guide, in its order, and the arms that answer them.

Where the guide says how good a picture is in percent, PSNR's own linear quantity is meant: peak signal over root mean
square error, of which PSNR is 20 log10. 80% of it is -1.94 dB, 120% is +1.58 dB. For features it is feature_gain, the
share of what a constant feature leaves open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sweeps.spec.claims import Claim, Measure, Region, Size
from sweeps.spec.presets import load_preset

NOTICEABLE: Mapping[str, float] = {"psnr": 0.25, "feature_gain": 0.01}
"""The smallest difference in quality that counts, dB and 1. A quarter of a decibel is 3% of the error."""
GROSS: Mapping[str, float] = {"psnr": 1.0, "feature_gain": 0.05}
"""The smallest loss that is "poor", dB and 1."""
COSTS = 0.05
"""The smallest relative change of a time or of memory that counts."""
SLIGHTLY = 0.02
"""The same where the guide says "slightly"."""

ARMS: Mapping[str, Mapping[str, Any]] = {
    "max-res-low": {"max_res": 1024},
    "max-res-high": {"max_res": 4096},
    "levels-few": {"num_levels": 8},
    "levels-many": {"num_levels": 20},
    "table-small": {"log2_hashmap_size": 17},
    "table-large": {"log2_hashmap_size": 21},
    "width-narrow": {"hidden_dim": 32},
    "width-wide": {"hidden_dim": 128},
    "depth-deep": {"num_layers": 4},
    "weight-low": {"feat_loss_weight": 1e-5},
    "weight-high": {"feat_loss_weight": 1e-1},
    "samples-few": {"num_nerf_samples_per_ray": 32},
    "samples-many": {"num_nerf_samples_per_ray": 96},
    "chunk-small": {"eval_num_rays_per_chunk": 8192},
    "chunk-large": {"eval_num_rays_per_chunk": 32768},
    "max-res-as-features": {"max_res": 128},
    "feat-max-res-fine": {"feat_max_res": 512},
    "unstable": {"lr": 5e-2, "feat_loss_weight": 1e-1, "orientation_loss_mult": 1e-2},
    "poor": {"max_res": 512, "hidden_dim": 32, "num_nerf_samples_per_ray": 16, "feat_loss_weight": 1e-5},
    "no-encoding": {"feat_use_pe": False},
}
"""Arm -> the guide's values, against its defaults."""

PRESET_ARMS: Mapping[str, str] = {
    "preset-quick": "quick_prototype",
    "preset-high": "high_quality",
    "preset-memory": "memory_constrained",
    "preset-language": "language_heavy",
}
"""Arm -> the preset that ships with the guide's values."""


def change_of(arm: str) -> Mapping[str, Any]:
    """An arm's values as the guide has them, against its defaults."""
    return load_preset(PRESET_ARMS[arm]).parameters if arm in PRESET_ARMS else ARMS[arm]


def _more(metric: str) -> dict[str, Any]:
    """Better quality, by at least what is noticeable."""
    return {"metric": metric, "region": Region(low=NOTICEABLE[metric])}


def _less(metric: str) -> dict[str, Any]:
    """Worse quality, by at least what is noticeable."""
    return {"metric": metric, "region": Region(high=-NOTICEABLE[metric])}


def _poor(metric: str) -> dict[str, Any]:
    """Far worse quality."""
    return {"metric": metric, "region": Region(high=-GROSS[metric])}


def _cheaper(
    metric: str, stated: float | None = None, tolerance: float = 0.15, counts: float = COSTS
) -> dict[str, Any]:
    """Less time or memory; the size stated fits within a relative tolerance."""
    return _ratio(metric, Region(0.0, 1 - counts), stated, tolerance)


def _dearer(metric: str, stated: float | None = None, tolerance: float = 0.15, counts: float = COSTS) -> dict[str, Any]:
    """More time or memory."""
    return _ratio(metric, Region(1 + counts), stated, tolerance)


def _ratio(metric: str, region: Region, stated: float | None, tolerance: float) -> dict[str, Any]:
    measure: Measure = "ratio"
    size = None if stated is None else Size(stated, Region(stated / (1 + tolerance), stated * (1 + tolerance)))
    return {"metric": metric, "measure": measure, "region": region, "size": size}


def _share(stated: float) -> dict[str, Any]:
    """Colour quality in shares of the base's signal over error, a tenth more or less."""
    decibels, low, high = (20 * math.log10(share) for share in (stated, stated - 0.1, stated + 0.1))
    better = stated > 1
    region = Region(low=NOTICEABLE["psnr"]) if better else Region(high=-NOTICEABLE["psnr"])
    return {"metric": "psnr", "region": region, "size": Size(decibels, Region(low, high))}


def _feature_share(stated: float) -> dict[str, Any]:
    """Feature quality in shares of the base's feature_gain, a tenth more or less."""
    region = Region(low=1 + SLIGHTLY) if stated > 1 else Region(0.0, 1 - SLIGHTLY)
    size = Size(stated, Region(stated - 0.1, stated + 0.1))
    return {"metric": "feature_gain", "measure": "ratio", "region": region, "size": size}


_GPU = "needs a CUDA device"

_RADIANCE_GRID = (
    Claim("max-res-low-fast", "half max_res trains faster", "max-res-low", **_cheaper("train_seconds")),
    Claim("max-res-low-memory", "half max_res takes less memory", "max-res-low", **_cheaper("peak_memory_gb")),
    Claim("max-res-low-blurry", "half max_res blurs textures", "max-res-low", **_less("psnr")),
    Claim("max-res-high-sharp", "twice max_res is sharper", "max-res-high", **_more("psnr")),
    Claim("max-res-high-slow", "twice max_res trains more slowly", "max-res-high", **_dearer("train_seconds")),
    Claim("max-res-high-memory", "twice max_res takes more memory", "max-res-high", **_dearer("peak_memory_gb")),
    Claim("levels-few-fast", "half the levels train faster", "levels-few", **_cheaper("train_seconds")),
    Claim("levels-few-memory", "half the levels take less memory", "levels-few", **_cheaper("peak_memory_gb")),
    Claim("levels-few-detail", "half the levels may miss detail or structure", "levels-few", **_less("psnr")),
    Claim("levels-many-quality", "a quarter more levels give better quality", "levels-many", **_more("psnr")),
    Claim("levels-many-memory", "a quarter more levels take more memory", "levels-many", **_dearer("peak_memory_gb")),
    Claim(
        "table-small-memory", "a quarter of the table takes less memory", "table-small", **_cheaper("peak_memory_gb")
    ),
    Claim("table-small-blurry", "a quarter of the table blurs, by collisions", "table-small", **_less("psnr")),
    Claim("table-large-memory", "four times the table takes more memory", "table-large", **_dearer("peak_memory_gb")),
    Claim("table-large-sharp", "four times the table is sharper", "table-large", **_more("psnr")),
)

_NETWORKS = (
    Claim("width-narrow-fast", "half the width renders faster", "width-narrow", **_cheaper("render_seconds")),
    Claim("width-narrow-memory", "half the width takes less memory", "width-narrow", **_cheaper("peak_memory_gb")),
    Claim("width-narrow-underfits", "half the width may underfit", "width-narrow", **_less("psnr")),
    Claim("width-wide-quality", "twice the width gives better quality", "width-wide", **_more("psnr")),
    Claim("width-wide-slow", "twice the width trains more slowly", "width-wide", **_dearer("train_seconds")),
    Claim("width-wide-render", "twice the width renders more slowly", "width-wide", **_dearer("render_seconds")),
    Claim(
        "width-wide-overfits",
        "twice the width can overfit few images",
        out_of_reach="needs a score on training views, which a trial does not take: metrics are of held-out views only",
    ),
    Claim("depth-deep-quality", "a geometry MLP of 4 layers shows more", "depth-deep", **_more("psnr")),
    Claim("depth-deep-slow", "a geometry MLP of 4 layers trains more slowly", "depth-deep", **_dearer("train_seconds")),
)

_LOSSES = (
    Claim("weight-low-colours", "weight 1e-5 makes excellent colours", "weight-low", **_more("psnr")),
    Claim("weight-low-features", "weight 1e-5 makes poor features", "weight-low", **_poor("feature_gain")),
    Claim("weight-low-fast", "weight 1e-5 trains faster", "weight-low", **_cheaper("train_seconds")),
    Claim("weight-high-colours", "weight 1e-1 makes poor colours", "weight-high", **_poor("psnr")),
    Claim("weight-high-features", "weight 1e-1 makes excellent features", "weight-high", **_more("feature_gain")),
    Claim("weight-high-slow", "weight 1e-1 trains more slowly", "weight-high", **_dearer("train_seconds")),
    Claim(
        "weight-language",
        "text queries are inaccurate at weight 1e-5 and very accurate at 1e-1",
        out_of_reach="no metric of a trial asks text queries; the claims on feature_gain stand for it",
    ),
)

_SAMPLING = (
    # "50% faster" is read as one and a half times the speed, which is also the ratio of the samples.
    Claim(
        "samples-few-fast", "two thirds of the samples: 50% faster", "samples-few", **_cheaper("train_seconds", 2 / 3)
    ),
    Claim("samples-few-render", "and as much in rendering", "samples-few", **_cheaper("render_seconds", 2 / 3)),
    Claim("samples-few-noisy", "two thirds of the samples render with noise", "samples-few", **_less("psnr")),
    Claim(
        "samples-many-slow",
        "twice the samples render in twice the time",
        "samples-many",
        **_dearer("render_seconds", 2),
    ),
    Claim("samples-many-quality", "twice the samples give higher quality", "samples-many", **_more("psnr")),
)

_MEMORY = (
    Claim("chunk-small-memory", "half the chunk takes less memory", "chunk-small", **_cheaper("peak_memory_gb")),
    Claim(
        "chunk-small-slow",
        "half the chunk renders slightly more slowly",
        "chunk-small",
        **_dearer("render_seconds", counts=SLIGHTLY),
    ),
    Claim(
        "chunk-large-fast",
        "twice the chunk renders fastest",
        "chunk-large",
        **_cheaper("render_seconds", counts=SLIGHTLY),
    ),
    Claim("chunk-large-memory", "twice the chunk takes more memory", "chunk-large", **_dearer("peak_memory_gb")),
    Claim("mixed-precision", "half precision saves memory", out_of_reach=f"{_GPU}: the CPU computes in float32"),
)

_FEATURES = (
    Claim(
        "colours-need-resolution",
        "colours need a far finer grid than features: at a sixteenth of max_res they break",
        "max-res-as-features",
        **_poor("psnr"),
    ),
    Claim(
        "features-need-none",
        "features need no finer grid: four times feat_max_res gives nothing noticeable",
        "feat-max-res-fine",
        "feature_gain",
        region=Region(high=0.01),
    ),
)

_PRESETS = (
    Claim(
        "quick-fast", "quick prototyping: about twice as fast", "preset-quick", **_cheaper("train_seconds", 0.5, 0.2)
    ),
    Claim("quick-colours", "quick prototyping: 80% of quality (colours)", "preset-quick", **_share(0.8)),
    Claim("quick-features", "quick prototyping: 80% of quality (features)", "preset-quick", **_feature_share(0.8)),
    Claim("high-slow", "high quality: about three times slower", "preset-high", **_dearer("train_seconds", 3, 0.25)),
    Claim("high-colours", "high quality: 120% of quality (colours)", "preset-high", **_share(1.2)),
    Claim("high-features", "high quality: 120% of quality (features)", "preset-high", **_feature_share(1.2)),
    Claim("memory-fits", "the memory preset fits 8 GB", out_of_reach=f"{_GPU}: 8 GB are meant of a GPU's memory"),
    Claim("memory-less", "the memory preset takes less memory", "preset-memory", **_cheaper("peak_memory_gb")),
    Claim(
        "memory-colours",
        "the memory preset loses hardly any quality (colours: at most 0.5 dB)",
        "preset-memory",
        "psnr",
        region=Region(low=-0.5),
    ),
    Claim(
        "memory-features",
        "the memory preset loses hardly any quality (features: at most 0.02)",
        "preset-memory",
        "feature_gain",
        region=Region(low=-0.02),
    ),
    Claim("language-features", "the language preset makes better features", "preset-language", **_more("feature_gain")),
    Claim(
        "language-colours",
        "the language preset keeps colours good (at most 0.25 dB lost)",
        "preset-language",
        "psnr",
        region=Region(low=-0.25),
    ),
    Claim(
        "clip-best",
        "CLIP features are the best for language",
        out_of_reach="metrics of different feature models can't be compared",
    ),
)

_COMBINATIONS = (
    Claim(
        "out-of-memory", "the memory example takes over 24 GB", out_of_reach=f"{_GPU}: 24 GB are meant of its memory"
    ),
    Claim(
        "unstable-colours",
        "a high rate with high loss weights converges poorly (colours) or ends in NaN",
        "unstable",
        **_poor("psnr"),
        divergence_confirms=True,
    ),
    Claim(
        "unstable-features",
        "a high rate with high loss weights converges poorly (features) or ends in NaN",
        "unstable",
        **_poor("feature_gain"),
        divergence_confirms=True,
    ),
    Claim("poor-colours", "too little of everything blurs colours", "poor", **_poor("psnr")),
    Claim(
        "poor-features",
        "and leaves no understanding of what is where (at most half the feature_gain)",
        "poor",
        "feature_gain",
        "ratio",
        Region(high=0.5),
    ),
)

_OTHERS = (
    # The guide only says what these are; that they are on by default says that they are meant to help.
    Claim("encoding-helps", "features need the positional encoding", "no-encoding", **_less("feature_gain")),
    Claim(
        "camera-helps",
        "refined camera poses improve pictures",
        out_of_reach="needs inexact poses; the embedded scene's are exact, and held-out poses are not refined",
    ),
    Claim("determinism-slow", "deterministic algorithms may cost time", out_of_reach=f"{_GPU}: the CPU has no others"),
)

_ALL = (
    *_RADIANCE_GRID,
    *_NETWORKS,
    *_LOSSES,
    *_SAMPLING,
    *_MEMORY,
    *_FEATURES,
    *_PRESETS,
    *_COMBINATIONS,
    *_OTHERS,
)

CLAIMS: Mapping[str, Claim] = {claim.id: claim for claim in _ALL}
"""Id -> claim, in the guide's order."""
