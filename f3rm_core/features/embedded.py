"""The compact weight file of `tabletop-mini`, the small model that ships with the package.

It is the state of an open_clip `CLIP` in half precision, but its token table has only the rows of tokens that
the model was trained with: row 0 stands for every other token, row 1 + i for `token_ids[i]`. It is expanded
into an ordinary open_clip weight file and model configuration, so that one code path loads it and real CLIP.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from f3rm_core.errors import WeightsUnavailable
from f3rm_core.files import atomic_write, file_digest

EMBEDDED_MODEL = "tabletop-mini"
EMBEDDED_FILE = Path(__file__).parents[1] / "scenes" / "embedded" / "weights" / "tabletop-mini.safetensors"

_TOKEN_TABLE = "token_embedding.weight"


@dataclass(frozen=True)
class CompactHeader:
    """What a compact file says of itself.

    Args:
        config: open_clip's model configuration.
        token_ids: the tokens that the model was trained with, as the tokenizer numbers them.
        feature_scale: dense features are multiplied by it, which gives them about the size of real CLIP's.
        trained_on: a sentence.
    """

    config: Mapping[str, Any]
    token_ids: tuple[int, ...]
    feature_scale: float
    trained_on: str


def write_compact(
    path: Path,
    state: Mapping[str, np.ndarray],  # an open_clip CLIP's state; its token table is [len(token_ids) + 1, width]
    header: CompactHeader,
) -> None:
    """Write a compact file, in half precision."""
    metadata = {
        "config": json.dumps(header.config),
        "token_ids": json.dumps(list(header.token_ids)),
        "feature_scale": repr(float(header.feature_scale)),
        "trained_on": header.trained_on,
    }
    arrays = {name: np.ascontiguousarray(array, dtype=np.float16) for name, array in state.items()}
    _check_table(path, arrays, header)
    with atomic_write(path) as stream:
        stream.write(save(arrays, metadata=metadata))


def read_header(path: Path) -> CompactHeader:
    """Raises WeightsUnavailable if the file is missing, broken, or not a compact file."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
        scale = float(metadata["feature_scale"])
        if not (np.isfinite(scale) and scale > 0):
            raise ValueError(f"feature_scale {scale}")
        config = json.loads(metadata["config"])
        if missing := {"embed_dim", "vision_cfg", "text_cfg"} - set(config):
            raise ValueError(f"config without {', '.join(sorted(missing))}")
        return CompactHeader(
            config=config,
            token_ids=tuple(int(token) for token in json.loads(metadata["token_ids"])),
            feature_scale=scale,
            trained_on=metadata["trained_on"],
        )
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise _broken(path, error) from error


def expand(path: Path, folder: Path) -> tuple[Path, Path]:
    """The same model as an ordinary open_clip weight file and model configuration, made in `folder` once.

    Their name is the compact file's content, so a new version of it never meets an old expansion.

    Returns:
        The weight file and the configuration file; the latter's stem is the model's name for open_clip.

    Raises:
        WeightsUnavailable: the compact file is missing or broken.
        UsageError: `folder` can't be written.
    """
    header = read_header(path)
    stem = f"{EMBEDDED_MODEL}-{file_digest(path)[:16]}"
    weights, config = folder / f"{stem}.safetensors", folder / f"{stem}.json"
    if not _is_whole(weights):
        state = _load(path)
        _check_table(path, state, header)
        rows = np.zeros(_vocabulary(header), dtype=np.int64)  # [vocabulary]: each token's row in the compact table
        rows[list(header.token_ids)] = np.arange(1, len(header.token_ids) + 1)
        state[_TOKEN_TABLE] = state[_TOKEN_TABLE][rows]
        with atomic_write(weights) as stream:
            stream.write(save(state))
    text = json.dumps(header.config, indent=2)
    if not config.is_file() or config.read_text() != text:
        with atomic_write(config) as stream:
            stream.write(text.encode())
    return weights, config


def _vocabulary(header: CompactHeader) -> int:
    return int(header.config["text_cfg"].get("vocab_size", 49408))


def _check_table(path: Path, state: Mapping[str, np.ndarray], header: CompactHeader) -> None:
    table, tokens = state.get(_TOKEN_TABLE), header.token_ids
    if table is None or table.ndim != 2 or len(table) != len(tokens) + 1:
        raise _broken(path, f"the token table does not have {len(tokens) + 1} rows")
    if len(set(tokens)) != len(tokens) or min(tokens) < 0 or max(tokens) >= _vocabulary(header):
        raise _broken(path, "token_ids are not distinct tokens of the vocabulary")


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise _broken(path, error) from error


def _is_whole(path: Path) -> bool:
    try:
        with safe_open(path, framework="numpy"):  # compares the file's size with the header
            return True
    except (OSError, SafetensorError):
        return False


def _broken(path: Path, reason: object) -> WeightsUnavailable:
    return WeightsUnavailable(
        f"{path}: not a readable weight file of {EMBEDDED_MODEL} ({reason}); install the package again, "
        "or set clip_pretrained to a good copy"
    )
