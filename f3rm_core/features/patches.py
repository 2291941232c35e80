"""What extractors have in common that run a vision transformer over an image's patches."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from f3rm_core.features.extractor import FeatureExtractor

_CUDA_BATCH_TOKENS = 8192  # patches of a batch on the GPU; ViT-L then needs about 1 GB beside its weights


class PatchExtractor(FeatureExtractor):
    """Resizes images to whole patches, without a crop, normalises them, and runs a model over them.

    Args:
        device: "cpu" or "cuda"; None for CUDA where there is one.
    """

    mean: tuple[float, ...]
    """Of each colour in [0, 1], as the model was trained with."""
    std: tuple[float, ...]
    interpolation: str
    """How the model's images were resized: "bicubic" or "bilinear"."""

    def __init__(self, device: str | None) -> None:
        self._device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.batch_size = 2 * torch.get_num_threads() if self._device.type == "cpu" else 16

    @property
    @abstractmethod
    def _model(self) -> nn.Module:
        """The model on its device, loaded when it is first asked for."""

    @abstractmethod
    def _dense(
        self,
        pixels: Tensor,  # [batch, 3, height, width], normalised, whole patches
    ) -> Tensor:  # [batch, rows, columns, channels]
        """The features of each patch."""

    def extract(
        self,
        images: Sequence[np.ndarray],  # each uint8 [height, width, 3], all of one size
    ) -> np.ndarray:
        _ = self._model  # loaded before any thread asks for it
        if self._device.type == "cpu":
            # One image at a time on one thread each: the same bits for every batch and number of threads, and
            # no slower, as an image is enough work for a core.
            with _single_threaded() as workers, ThreadPoolExecutor(workers) as pool:
                maps = list(pool.map(lambda image: self._maps([image]), images))
        else:
            rows, columns = self.map_shape(images[0].shape[1], images[0].shape[0])
            step = max(1, _CUDA_BATCH_TOKENS // (rows * columns))
            maps = [self._maps(images[i : i + step]) for i in range(0, len(images), step)]
        return np.concatenate(maps)

    def _maps(self, images: Sequence[np.ndarray]) -> np.ndarray:
        pixels = torch.stack([self._pixels(image) for image in images]).to(self._device)
        with torch.inference_mode(), torch.backends.cudnn.flags(deterministic=True, allow_tf32=False):
            maps = self._dense(pixels)
        return maps.to(torch.float16).cpu().numpy()

    def _pixels(self, image: np.ndarray) -> Tensor:
        """Resized to whole patches and normalised: float32 [3, height, width]."""
        rows, columns = self.map_shape(image.shape[1], image.shape[0])
        size = (columns * self.patch_size, rows * self.patch_size)
        # Pillow filters when it shrinks, and the models were trained on images that it had resized
        filter_ = Image.Resampling[self.interpolation.upper()]
        resized = np.asarray(Image.fromarray(image).resize(size, filter_), dtype=np.float32) / 255
        mean, std = (np.asarray(value, dtype=np.float32) for value in (self.mean, self.std))
        return torch.from_numpy((resized - mean) / std).permute(2, 0, 1).contiguous()


def resized_positions(
    embedding: Tensor,  # [1 + grid rows * grid columns, width], the class token's first
    grid: tuple[int, int],
    rows: int,
    columns: int,
    *,
    antialias: bool,
) -> Tensor:
    """The positional embedding for a map of rows x columns: [1 + rows * columns, width], bicubic.

    The embedding itself at the size that the model was trained at.
    """
    if (rows, columns) == grid:
        return embedding
    old = embedding[1:].reshape(1, *grid, -1).permute(0, 3, 1, 2)
    new = F.interpolate(old, size=(rows, columns), mode="bicubic", antialias=antialias, align_corners=False)
    return torch.cat([embedding[:1], new[0].flatten(1).T])


@contextmanager
def _single_threaded() -> Iterator[int]:
    """torch with one thread an operation; gives the number of threads it had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
