"""Combinations of parameters that are known to go wrong: out of memory, unstable, poor, or to no effect.

A rule is plain code over one configuration. What a single value may be is the parameters' own check; rules speak of
values that are each allowed and together, or in this training, do harm. An error stops a sweep before its first trial
unless its spec allows it (`allow: [rule-id]`); a warning is told.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from f3rm_core import PARAMETERS, InvalidParameter
from sweeps.spec.finding import Severity
from sweeps.spec.memory import MEMORY_LIMIT, predicted_memory_gb

Configuration = Mapping[str, Any]

IMPOSSIBLE = "impossible"
"""Id of what `check_parameters` refuses: values that can't be built together."""

_GROUPS = ("fields", "feature_field", "proposal_networks")
_LARGE_GB = 24.0


@dataclass(frozen=True)
class Rule:
    """One combination to beware of.

    Args:
        id: its name, for `allow` and for programs.
        severity: "error" stops a sweep before launch, "warning" is told.
        parameters: those that it looks at.
        breaks: whether a whole configuration breaks it.
        message: what will happen.
        remedy: what to do.
    """

    id: str
    severity: Severity
    parameters: tuple[str, ...]
    breaks: Callable[[Configuration], bool]
    message: str
    remedy: str

    def shown(self, configuration: Configuration) -> dict[str, Any]:
        """The values that it looked at; suffixed names (lr_fields) only where they are set."""
        return {name: configuration[name] for name in self.parameters if name in configuration}


def _by_group(name: str) -> tuple[str, ...]:
    return (name, *(f"{name}_{group}" for group in _GROUPS))


def _of_group(configuration: Configuration, name: str, group: str) -> Any:
    """A schedule's value for one optimizer: its own suffixed one, else the flat one."""
    return configuration.get(f"{name}_{group}", configuration[name])


def _any_group(breaks: Callable[[Configuration, str], bool]) -> Callable[[Configuration], bool]:
    """A condition over one optimizer, made one over a configuration: any optimizer breaks it."""
    return lambda configuration: any(breaks(configuration, group) for group in _GROUPS)


def _predicted_gb(configuration: Configuration) -> float:
    """On a typical scene and a GPU with tinycudann; 0 where a grid or the feature model can't be built."""
    try:
        return predicted_memory_gb(configuration, None, backend="tcnn", device="cuda")
    except InvalidParameter:
        return 0.0


def _rate_stays(configuration: Configuration, group: str) -> bool:
    """Whether a rate that is meant to fall falls by less than a tenth within the training."""
    start, end, over = (_of_group(configuration, name, group) for name in ("lr", "lr_final", "lr_max_steps"))
    part = min(configuration["max_num_iterations"] / over, 1.0)
    return bool(end < start and (end / start) ** part > 0.9)


def _changed(configuration: Configuration, *names: str) -> bool:
    """Whether one of these has another value than its default."""
    return any(configuration[name] != PARAMETERS[name].default for name in names)


_MEMORY = (
    Rule(
        "memory-full-precision",
        "warning",
        ("max_res", "log2_hashmap_size", "train_num_rays_per_batch", "mixed_precision"),
        lambda c: (
            c["max_res"] >= 4096
            and c["log2_hashmap_size"] >= 21
            and c["train_num_rays_per_batch"] >= 16384
            and not c["mixed_precision"]
        ),
        "the largest grid, the largest batch and full precision together: predicted to take most of a 24 GB GPU "
        "without tinycudann (docs/memory.md)",
        "turn mixed_precision on, or take train_num_rays_per_batch 8192",
    ),
    Rule(
        "memory-24gb",
        "error",
        (
            "train_num_rays_per_batch",
            "num_nerf_samples_per_ray",
            "num_proposal_samples_per_ray",
            "eval_num_rays_per_chunk",
            "log2_hashmap_size",
            "feat_log2_hashmap_size",
        ),
        lambda c: _predicted_gb(c) > _LARGE_GB,
        "predicted to take over 24 GB on a GPU even with tinycudann (not measured)",
        "f3rm-sweeps check --gpu-memory-gb N tells which of them lowers it most",
    ),
)

_INSTABILITY = (
    Rule(
        "unstable-rates",
        "error",
        (*_by_group("lr"), "feat_loss_weight"),
        lambda c: (
            max(_of_group(c, "lr", "fields"), _of_group(c, "lr", "feature_field")) >= 5e-2
            and c["feat_loss_weight"] >= 1e-1
        ),
        "a high learning rate with a high feature loss weight: the loss spikes, and the training may end in NaN",
        "take lr 1e-2, or a feat_loss_weight below 0.1",
    ),
    Rule(
        "high-rate",
        "warning",
        _by_group("lr"),
        _any_group(lambda c, group: _of_group(c, "lr", group) >= 5e-2),
        "steps of this learning rate overshoot: expect spikes of the loss",
        "take 1e-2, at most 3e-2",
    ),
    Rule(
        "features-rule-density",
        "warning",
        ("feat_loss_weight", "feat_detach_weights"),
        lambda c: c["feat_loss_weight"] > 1.0 and not c["feat_detach_weights"],
        "above a weight of 1 features shape density, and colours may break (measured: docs/adr/0003)",
        "take at most 1, or feat_detach_weights true",
    ),
    Rule(
        "large-epsilon",
        "warning",
        _by_group("eps"),
        _any_group(lambda c, group: _of_group(c, "eps", group) >= 1e-6),
        "gradients of a table's entries are smaller than this epsilon: they hardly learn",
        "take 1e-15, at most 1e-8",
    ),
    Rule(
        "rising-rate",
        "warning",
        (*_by_group("lr"), *_by_group("lr_final")),
        _any_group(lambda c, group: _of_group(c, "lr_final", group) > _of_group(c, "lr", group)),
        "lr_final is above lr: the learning rate rises while training",
        "give an lr_final below lr",
    ),
    Rule(
        "deep-network",
        "warning",
        ("num_layers", "num_layers_color", "feat_num_layers"),
        lambda c: max(c["num_layers"], c["num_layers_color"], c["feat_num_layers"]) > 4,
        "a network of more than 4 layers is hard to train here: no shortcuts, no normalisation",
        "take at most 4; width or grid resolution give more",
    ),
    Rule(
        "small-batch",
        "warning",
        ("train_num_rays_per_batch", "gradient_accumulation_steps"),
        lambda c: c["train_num_rays_per_batch"] * c["gradient_accumulation_steps"] < 64,
        "fewer than 64 rays a step: gradients are mostly noise",
        "take at least 256 rays",
    ),
)

_QUALITY = (
    Rule(
        "too-little-capacity",
        "warning",
        ("max_res", "hidden_dim", "num_nerf_samples_per_ray"),
        lambda c: c["max_res"] <= 512 and c["hidden_dim"] <= 32 and c["num_nerf_samples_per_ray"] <= 16,
        "a coarse grid, a narrow MLP and few samples together: colours stay blurred in all but simple scenes",
        "raise one of them: max_res 1024, hidden_dim 64 or num_nerf_samples_per_ray 32",
    ),
    Rule(
        "no-features",
        "error",
        ("feat_loss_weight",),
        lambda c: c["feat_loss_weight"] == 0,
        "without a feature loss the feature field stays as random as it started",
        "give a feat_loss_weight above 0",
    ),
    Rule(
        "faint-features",
        "warning",
        ("feat_loss_weight",),
        lambda c: 0 < c["feat_loss_weight"] < 1e-5,
        "a feature loss this faint does nothing to density, and may vanish in half precision",
        "take at least 1e-5",
    ),
    Rule(
        "crowded-tables",
        "warning",
        ("max_res", "log2_hashmap_size"),
        lambda c: c["max_res"] >= 4096 and c["log2_hashmap_size"] <= 17,
        "a fine grid in a small table: so many cells share an entry that the finest levels are noise",
        "take log2_hashmap_size 19 or more, or max_res 1024",
    ),
    Rule(
        "finer-features",
        "warning",
        ("max_res", "feat_max_res"),
        lambda c: c["feat_max_res"] > c["max_res"],
        "the feature grid is finer than the radiance grid: feature maps are far coarser than images",
        "take a feat_max_res below max_res",
    ),
    Rule(
        "coarse-proposals",
        "warning",
        ("num_proposal_samples_per_ray", "num_nerf_samples_per_ray"),
        lambda c: c["num_proposal_samples_per_ray"][-1] < c["num_nerf_samples_per_ray"],
        "the last proposal stage has fewer samples than the fields: many of theirs fall into one interval",
        "give the last stage at least as many",
    ),
)

_NO_EFFECT = (
    Rule(
        "never-updates",
        "error",
        ("gradient_accumulation_steps", "max_num_iterations"),
        lambda c: c["gradient_accumulation_steps"] > c["max_num_iterations"],
        "gradients are added up for longer than the training lasts: no optimizer makes a step",
        "take a smaller gradient_accumulation_steps",
    ),
    Rule(
        "rate-stays",
        "warning",
        ("max_num_iterations", *_by_group("lr"), *_by_group("lr_final"), *_by_group("lr_max_steps")),
        _any_group(_rate_stays),
        "the training ends before the learning rate has fallen by a tenth: lr_final has no say",
        "take an lr_max_steps near max_num_iterations",
    ),
    Rule(
        "long-annealing",
        "warning",
        ("proposal_weights_anneal_max_num_iters", "max_num_iterations"),
        lambda c: c["proposal_weights_anneal_max_num_iters"] > c["max_num_iterations"],
        "the training ends while the proposals' weights are still blurred",
        "take a tenth of max_num_iterations",
    ),
    Rule(
        "idle-table",
        "warning",
        ("max_res", "log2_hashmap_size", "feat_max_res", "feat_log2_hashmap_size"),
        lambda c: any(
            (c[f"{prefix}max_res"] + 1) ** 3 * 4 <= 2 ** c[f"{prefix}log2_hashmap_size"] for prefix in ("", "feat_")
        ),
        "the finest level needs less than a quarter of the table's entries: a larger table changes nothing",
        "take a smaller log2_hashmap_size or a finer grid",
    ),
    Rule(
        "idle-normals",
        "warning",
        ("orientation_loss_mult", "pred_normal_loss_mult"),
        lambda c: _changed(c, "orientation_loss_mult", "pred_normal_loss_mult"),
        "this model predicts no normals: the weights of their losses change nothing",
        "leave them out",
    ),
    Rule(
        "idle-camera",
        "warning",
        ("camera_opt_mode", "lr_camera_opt", "eps_camera_opt", "weight_decay_camera_opt"),
        lambda c: (
            c["camera_opt_mode"] == "off" and _changed(c, "lr_camera_opt", "eps_camera_opt", "weight_decay_camera_opt")
        ),
        "camera poses are not refined: their optimizer's settings change nothing",
        "leave them out, or take a camera_opt_mode",
    ),
    Rule(
        "idle-encoding",
        "warning",
        ("feat_use_pe", "feat_pe_n_freq"),
        lambda c: not c["feat_use_pe"] and _changed(c, "feat_pe_n_freq"),
        "the positional encoding is off: its bands change nothing",
        "leave feat_pe_n_freq out; in a sweep, give it `when: {feat_use_pe: true}`",
    ),
    Rule(
        "idle-embedding",
        "warning",
        ("use_appearance_embedding", "appearance_embed_dim"),
        lambda c: not c["use_appearance_embedding"] and _changed(c, "appearance_embed_dim"),
        "images have no embedding: its width changes nothing",
        "leave appearance_embed_dim out; in a sweep, give it `when: {use_appearance_embedding: true}`",
    ),
)

RULES: Mapping[str, Rule] = {rule.id: rule for rule in (*_MEMORY, *_INSTABILITY, *_QUALITY, *_NO_EFFECT)}
"""Id -> rule."""

RULE_IDS: tuple[str, ...] = (IMPOSSIBLE, MEMORY_LIMIT, *RULES)
"""What `allow` may name."""
