"""Writes a trained model as the file that ships: `python -m tools.tabletop.export MODEL SHARD FILE`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from f3rm_core.features.embedded import CompactHeader, write_compact
from tools.tabletop.data import Shard, load_shard
from tools.tabletop.model import CONFIG, TabletopModel

TARGET_RMS = 0.37
"""Of a channel of CLIP ViT-L/14's image embeddings before they are normalised: a norm of about 10 over 768 channels.

Taken from that known norm, not measured: its weights can't be reached here. The same is assumed of its dense features.
"""

TRAINED_ON = (
    "Rendered tabletop scenes with random objects, colours, textures, light and cameras (tools/tabletop); "
    "never the scene embedded:tabletop."
)


def feature_scale(model: TabletopModel, shard: Shard) -> float:
    """What dense features have to be multiplied by to have the RMS of TARGET_RMS a channel, on the shard's views."""
    squares = []
    with torch.inference_mode():
        for image in shard.images[::4]:
            squares.append(float(model.features(image).square().mean()))
    return TARGET_RMS / float(np.sqrt(np.mean(squares)))


def export(model: TabletopModel, path: Path, scale: float) -> None:
    """Writes the compact weight file, whole or not at all."""
    state = {
        name: value.detach().cpu().numpy() for name, value in model.clip.state_dict().items() if name != "attn_mask"
    }
    write_compact(path, state, CompactHeader(CONFIG, model.token_ids, scale, TRAINED_ON))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="model.pt of a training")
    parser.add_argument("shard", type=Path, help="views to measure the features' size on")
    parser.add_argument("file", type=Path)
    options = parser.parse_args(arguments)
    model = TabletopModel()
    model.load_state_dict(torch.load(options.model))
    model.eval()
    scale = feature_scale(model, load_shard(options.shard))
    export(model, options.file, scale)
    print(f"{options.file}: {options.file.stat().st_size} bytes, feature_scale {scale:.4f}")


if __name__ == "__main__":
    main()
