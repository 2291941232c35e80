"""Write a CLIP model with seeded random weights, in the compact weight file format of tabletop-mini.

For tests, and to run the whole path where no trained weights are: its features mean nothing.

    python tools/random_clip.py OUTPUT [--seed N] [--force]
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch

from f3rm_core.features.clip import dense_features
from f3rm_core.features.embedded import CompactHeader, write_compact

CONFIG: dict[str, Any] = {
    "embed_dim": 96,
    "vision_cfg": {
        "image_size": 128,
        "layers": 5,
        "width": 192,
        "head_width": 32,
        "patch_size": 8,
        "mlp_ratio": 3.0,
    },
    "text_cfg": {
        "context_length": 24,
        "vocab_size": 49408,
        "width": 96,
        "heads": 3,
        "layers": 2,
        "mlp_ratio": 2.0,
    },
}
WORDS = (
    "a the of on photo picture object things stuff texture table floor wall red green blue yellow white "
    "black mug bowl plate bottle box ball book lamp spoon apple banana"
)
FEATURE_RMS = 0.4  # about that of a trained model's


def write_random_clip(path: Path, *, seed: int = 0, words: str = WORDS) -> CompactHeader:
    """Write the file; the same seed and words give the same bytes."""
    torch.manual_seed(seed)
    with tempfile.TemporaryDirectory() as folder:
        config_file = Path(folder) / "random-clip.json"
        config_file.write_text(json.dumps(CONFIG))
        open_clip.add_model_config(config_file)
        model = open_clip.create_model("random-clip").eval()
    tokenizer = open_clip.get_tokenizer("random-clip")
    tokens = {0, tokenizer.sot_token_id, tokenizer.eot_token_id}
    tokens.update(token for word in words.split() for token in tokenizer.encode(word))
    with torch.inference_mode():
        size = CONFIG["vision_cfg"]["image_size"]
        scale = FEATURE_RMS / float(dense_features(model.visual, torch.randn(4, 3, size, size)).square().mean().sqrt())
    header = CompactHeader(
        config=CONFIG,
        token_ids=tuple(sorted(tokens)),
        feature_scale=scale,
        trained_on=f"Nothing: random weights, seed {seed}.",
    )
    state = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    table = state["token_embedding.weight"]
    state["token_embedding.weight"] = np.concatenate([table[1:2], table[list(header.token_ids)]])
    write_compact(path, state, header)
    return header


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    arguments = parser.parse_args()
    if arguments.output.exists() and not arguments.force:
        parser.error(f"{arguments.output} exists; --force overwrites it")
    write_random_clip(arguments.output, seed=arguments.seed)
    print(f"{arguments.output}: {arguments.output.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
