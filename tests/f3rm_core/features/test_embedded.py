"""The compact weight file and its expansion."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from f3rm_core.errors import UsageError, WeightsUnavailable
from f3rm_core.features.embedded import CompactHeader, expand, read_header, write_compact

CONFIG = {"embed_dim": 4, "vision_cfg": {}, "text_cfg": {"vocab_size": 6}}
HEADER = CompactHeader(config=CONFIG, token_ids=(5, 0, 2), feature_scale=0.1, trained_on="Nothing.")
TABLE = np.array([[9, 9], [5, 5], [0, 1], [2, 2]], dtype=np.float32)  # row 0: every other token


@pytest.fixture
def compact(tmp_path: Path) -> Path:
    path = tmp_path / "compact.safetensors"
    write_compact(path, {"token_embedding.weight": TABLE, "proj": np.ones((2, 4))}, HEADER)
    return path


def test_header_comes_back(compact: Path) -> None:
    assert read_header(compact) == HEADER


def test_expands_the_token_table(compact: Path, tmp_path: Path) -> None:
    weights, config = expand(compact, tmp_path / "out")
    state = load_file(weights)
    expected = [[0, 1], [9, 9], [2, 2], [9, 9], [9, 9], [5, 5]]
    np.testing.assert_array_equal(state["token_embedding.weight"], expected)
    np.testing.assert_array_equal(state["proj"], np.ones((2, 4)))
    assert json.loads(config.read_text()) == CONFIG


def test_expands_once(compact: Path, tmp_path: Path) -> None:
    weights, _ = expand(compact, tmp_path / "out")
    before = weights.stat()
    assert expand(compact, tmp_path / "out")[0] == weights
    assert weights.stat().st_mtime_ns == before.st_mtime_ns
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_cut_expansion_is_made_again(compact: Path, tmp_path: Path) -> None:
    weights, config = expand(compact, tmp_path / "out")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    config.write_text("{")
    expand(compact, tmp_path / "out")
    assert weights.read_bytes() == whole
    assert json.loads(config.read_text()) == CONFIG


def test_a_new_version_gets_its_own_expansion(compact: Path, tmp_path: Path) -> None:
    first, _ = expand(compact, tmp_path / "out")
    write_compact(compact, {"token_embedding.weight": 2 * TABLE, "proj": np.ones((2, 4))}, HEADER)
    second, _ = expand(compact, tmp_path / "out")
    assert first != second
    assert first.is_file()


def test_a_folder_that_cannot_be_written(compact: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="F3RM_CACHE_DIR"):
        expand(compact, tmp_path / "file" / "out")


@pytest.mark.parametrize("tokens", [(5, 0), (5, 0, 0), (5, 0, 6), (-1, 0, 2)])
def test_tokens_that_do_not_fit(tokens: tuple[int, ...], tmp_path: Path) -> None:
    header = CompactHeader(CONFIG, tokens, 1.0, "")
    with pytest.raises(WeightsUnavailable, match="token"):
        write_compact(tmp_path / "x.safetensors", {"token_embedding.weight": TABLE}, header)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"feature_scale": float("nan")}, "feature_scale"),
        ({"config": {"embed_dim": 4}}, "text_cfg, vision_cfg"),
    ],
)
def test_header_that_cannot_work(change: dict[str, object], message: str, tmp_path: Path) -> None:
    from dataclasses import replace

    from safetensors.numpy import save_file

    header = replace(HEADER, **change)  # type: ignore[arg-type]
    metadata = {
        "config": json.dumps(header.config),
        "token_ids": "[5, 0, 2]",
        "feature_scale": str(header.feature_scale),
        "trained_on": "",
    }
    save_file({"token_embedding.weight": TABLE}, tmp_path / "x.safetensors", metadata=metadata)
    with pytest.raises(WeightsUnavailable, match=message):
        read_header(tmp_path / "x.safetensors")
