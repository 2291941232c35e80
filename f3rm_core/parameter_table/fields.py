"""The hash grids and MLPs of the radiance and the feature field."""

from __future__ import annotations

from f3rm_core.parameter import Effects, Parameter
from f3rm_core.parameter_table.rows import MODEL, choices, integer, linear, switch

_GRID, _FEATURE_GRID = "radiance grid", "feature grid"
_MLP, _FEATURE_MLP = "radiance MLP", "feature MLP"
_CELLS = "cells along a side"
_TABLE_MEMORY = "doubles with each step, up to 16 bytes a number: value, gradient, Adam's two moments"

_RADIANCE_GRID = (
    integer(
        "num_levels",
        16,
        MODEL,
        _GRID,
        (1, 32),
        "Levels of the radiance hash grid.",
        unit="levels",
        sweep=linear(8, 20),
        effects=Effects(
            "closer steps between coarse and fine; little is gained beyond 16",
            "one more look-up for each sample",
            "one more table",
        ),
    ),
    integer(
        "base_res",
        16,
        MODEL,
        _GRID,
        (1, 1024),
        "Coarsest resolution of the radiance grid.",
        unit=_CELLS,
        sweep=choices(8, 16, 32),
        effects=Effects("less smoothness at large scale", None, "coarse levels fill their tables earlier"),
    ),
    integer(
        "max_res",
        2048,
        MODEL,
        _GRID,
        (1, 65536),
        "Finest resolution of the radiance grid.",
        unit=_CELLS,
        sweep=choices(512, 1024, 2048, 4096),
        effects=Effects(
            "sharper textures, until cells collide in the table",
            "fewer look-ups find their cell in the processor's cache",
            "none beyond the table's size: finer levels are hashed",
        ),
    ),
    integer(
        "log2_hashmap_size",
        19,
        MODEL,
        _GRID,
        (10, 24),
        "Most entries of a level of the radiance grid, as a power of two.",
        unit="log2 of entries",
        sweep=linear(17, 21),
        effects=Effects(
            "fewer cells share an entry, so finer detail is kept apart",
            "every step updates the whole table",
            _TABLE_MEMORY,
        ),
    ),
    integer(
        "features_per_level",
        2,
        MODEL,
        _GRID,
        (1, 8),
        "Numbers in an entry of the radiance grid.",
        unit="numbers an entry",
        sweep=choices(1, 2, 4),
        effects=Effects("more is kept at each point", "more is read and updated for each look-up", "proportional"),
    ),
)

_FEATURES_GRID = (
    integer(
        "feat_num_levels",
        12,
        MODEL,
        _FEATURE_GRID,
        (1, 32),
        "Levels of the feature hash grid.",
        unit="levels",
        sweep=linear(6, 16),
        effects=Effects(
            "closer steps between coarse and fine features", "one more look-up for each sample", "one more table"
        ),
    ),
    integer(
        "feat_start_res",
        16,
        MODEL,
        _FEATURE_GRID,
        (1, 1024),
        "Coarsest resolution of the feature grid.",
        unit=_CELLS,
        sweep=choices(8, 16, 32),
        effects=Effects("less smoothness at large scale", None, "coarse levels fill their tables earlier"),
    ),
    integer(
        "feat_max_res",
        128,
        MODEL,
        _FEATURE_GRID,
        (1, 65536),
        "Finest resolution of the feature grid.",
        unit=_CELLS,
        sweep=choices(32, 64, 128, 256, 512),
        effects=Effects(
            "sharper borders between things, as far as the feature maps have them",
            "fewer look-ups find their cell in the processor's cache",
            "grows until levels reach the table's size",
        ),
    ),
    integer(
        "feat_log2_hashmap_size",
        19,
        MODEL,
        _FEATURE_GRID,
        (10, 24),
        "Most entries of a level of the feature grid, as a power of two.",
        unit="log2 of entries",
        sweep=linear(15, 20),
        effects=Effects(
            "fewer cells share an entry; nothing once every level has its own",
            "every step updates the whole table",
            _TABLE_MEMORY,
        ),
    ),
    integer(
        "feat_features_per_level",
        8,
        MODEL,
        _FEATURE_GRID,
        (1, 8),
        "Numbers in an entry of the feature grid.",
        unit="numbers an entry",
        sweep=choices(2, 4, 8),
        effects=Effects("richer features at each point", "more is read and updated for each look-up", "proportional"),
    ),
)

_RADIANCE_MLP = (
    integer(
        "hidden_dim",
        64,
        MODEL,
        _MLP,
        (1, 1024),
        "Width of the geometry MLP.",
        unit="neurons",
        sweep=choices(32, 64, 128),
        effects=Effects(
            "more complex geometry; may overfit few images", "slower, each sample passes it", "wider activations"
        ),
    ),
    integer(
        "hidden_dim_color",
        64,
        MODEL,
        _MLP,
        (1, 1024),
        "Width of the colour MLP.",
        unit="neurons",
        sweep=choices(32, 64, 128),
        effects=Effects(
            "subtler change of colour with direction", "slower, each sample passes it", "wider activations"
        ),
    ),
    integer(
        "num_layers",
        2,
        MODEL,
        _MLP,
        (1, 16),
        "Depth of the geometry MLP.",
        unit="weight matrices",
        sweep=linear(1, 4),
        effects=Effects("more complex geometry; harder to train beyond 3", "slower", "one more layer of activations"),
    ),
    integer(
        "num_layers_color",
        3,
        MODEL,
        _MLP,
        (1, 16),
        "Depth of the colour MLP.",
        unit="weight matrices",
        sweep=linear(1, 4),
        effects=Effects(
            "subtler light and material; harder to train beyond 4", "slower", "one more layer of activations"
        ),
    ),
    integer(
        "appearance_embed_dim",
        32,
        MODEL,
        _MLP,
        (1, 256),
        "Width of the embedding of each image.",
        unit="numbers an image",
        sweep=choices(8, 16, 32),
        effects=Effects("more room for exposure and white balance to differ between images", "hardly", "hardly"),
    ),
    switch(
        "use_appearance_embedding",
        True,
        MODEL,
        _MLP,
        "Let each image have its own exposure.",
        effects=Effects("helps where light differs between images, may hide true change where not", "hardly", "hardly"),
    ),
)

_FEATURES_MLP = (
    integer(
        "feat_hidden_dim",
        64,
        MODEL,
        _FEATURE_MLP,
        (1, 1024),
        "Width of the feature MLP, and rank of what it can render.",
        unit="neurons",
        sweep=choices(32, 64, 128, 256),
        effects=Effects(
            "features span more directions", "slower, each sample passes it", "wider activations, larger head"
        ),
    ),
    integer(
        "feat_num_layers",
        2,
        MODEL,
        _FEATURE_MLP,
        (1, 16),
        "Hidden layers of the feature MLP.",
        unit="layers",
        sweep=linear(1, 4),
        effects=Effects("more complex features; harder to train beyond 3", "slower", "one more layer of activations"),
    ),
    switch(
        "feat_use_pe",
        True,
        MODEL,
        _FEATURE_MLP,
        "Add a positional encoding to the feature grid's output.",
        effects=Effects("a smooth description of position beside the grid's", "hardly", "a wider first layer"),
    ),
    integer(
        "feat_pe_n_freq",
        6,
        MODEL,
        _FEATURE_MLP,
        (1, 16),
        "Frequency bands of the positional encoding.",
        unit="bands",
        sweep=linear(2, 8),
        effects=Effects("finer position, more noise where few views look", "hardly", "6 inputs a band"),
    ),
)

ROWS: tuple[Parameter, ...] = (*_RADIANCE_GRID, *_FEATURES_GRID, *_RADIANCE_MLP, *_FEATURES_MLP)
