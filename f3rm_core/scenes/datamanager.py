"""Training rays with their colours and features, and the held-out views."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from nerfstudio.cameras.rays import RayBundle
from nerfstudio.data.datamanagers.base_datamanager import VanillaDataManager
from nerfstudio.data.datasets.base_dataset import InputDataset
from nerfstudio.data.utils.dataloaders import FixedIndicesEvalDataloader, RandIndicesEvalDataloader
from nerfstudio.model_components.ray_generators import RayGenerator
from torch import Tensor

from f3rm_core.scenes.load import check_scored, load_scene
from f3rm_core.scenes.prepare import SceneData, open_scene
from f3rm_core.scenes.rays import SharedLensRays, share_lens

if TYPE_CHECKING:
    from f3rm_core.config import FeatureDataManagerConfig


class FeatureDataManager(VanillaDataManager[InputDataset]):
    """Draws rays at random from all training images, in 8-bit, and feature vectors from a memory-mapped cache.

    Every image of a scene has one size (checked by `load_scene`), so a batch is a plain gather.
    """

    config: FeatureDataManagerConfig

    def __init__(
        self,
        config: FeatureDataManagerConfig,
        device: torch.device | str = "cpu",
        test_mode: Literal["test", "val", "inference"] = "val",
        world_size: int = 1,
        local_rank: int = 0,
        arrays: SceneData | None = None,  # of the scene, where it was opened before
        **kwargs: Any,
    ) -> None:
        scene = load_scene(str(config.data or config.dataparser.data))
        config.data = scene.folder  # by which the data parser names the images, whatever the user wrote
        if config.dataparser.eval_mode == "fraction":  # `ns-train` offers others
            check_scored(scene, config.dataparser.train_split_fraction, config.camera_res_scale_factor)
        with torch.random.fork_rng():  # building a feature model draws numbers: none of those that the training draws
            self.arrays = arrays or open_scene(scene, config)
        super().__init__(config, device, test_mode, world_size, local_rank, **kwargs)
        row_of = {scene.folder / name: row for row, name in enumerate(scene.images)}
        self._train_rows, self._eval_rows = (
            np.array([row_of[path] for path in dataset.image_filenames])
            for dataset in (self.train_dataset, self.eval_dataset)
        )
        self.train_dataset.metadata["feature_dim"] = self.arrays.features.shape[-1]

    def create_train_dataset(self) -> InputDataset:
        return self._with_camera_size(super().create_train_dataset())

    def create_eval_dataset(self) -> InputDataset:
        # `ns-eval` asks for the split "test": what it scores must be the views that our metrics are of.
        self.test_split = "val"
        return self._with_camera_size(super().create_eval_dataset())

    def setup_train(self) -> None:
        self.train_ray_generator = self._ray_generator(self.train_dataset)

    def setup_eval(self) -> None:
        self.eval_ray_generator = self._ray_generator(self.eval_dataset)
        # nerfstudio's own trainer and `ns-eval` ask for these.
        self.eval_dataloader = RandIndicesEvalDataloader(input_dataset=self.eval_dataset, device=self.device)
        self.fixed_indices_eval_dataloader = FixedIndicesEvalDataloader(
            input_dataset=self.eval_dataset, device=self.device
        )

    def next_train(self, step: int) -> tuple[RayBundle, dict[str, Tensor]]:
        self.train_count += 1
        return self._batch(self.config.train_num_rays_per_batch, self.train_ray_generator, self._train_rows)

    def next_eval(self, step: int) -> tuple[RayBundle, dict[str, Tensor]]:
        self.eval_count += 1
        return self._batch(self.config.eval_num_rays_per_batch, self.eval_ray_generator, self._eval_rows)

    def get_train_rays_per_batch(self) -> int:
        return self.config.train_num_rays_per_batch

    def get_eval_rays_per_batch(self) -> int:
        return self.config.eval_num_rays_per_batch

    def eval_image(self, index: int) -> Tensor:  # [height, width, 3] in [0, 1]
        """A held-out image, on the device."""
        return _colors(self.arrays.images[self._eval_rows[index]]).to(self.device)

    def eval_rays(self, index: int) -> RayBundle:  # [height, width]
        """The rays through a held-out image's pixels."""
        if isinstance(self.eval_ray_generator, SharedLensRays):
            return self.eval_ray_generator.image(index)
        return self.eval_dataset.cameras.to(self.device).generate_rays(camera_indices=index)

    def eval_features(self, index: int) -> tuple[RayBundle, Tensor]:  # [rows, columns], [rows, columns, channels]
        """The rays through the centres of a held-out image's patches, and the features extracted there."""
        features = torch.from_numpy(np.asarray(self.arrays.features[self._eval_rows[index]], dtype=np.float32))
        rows, columns = features.shape[:2]
        height, width = self.arrays.images.shape[1:3]
        y = (torch.arange(rows) + 0.5) * (height / rows)
        x = (torch.arange(columns) + 0.5) * (width / columns)
        coords = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).to(self.device)
        cameras = self.eval_dataset.cameras.to(self.device)
        return cameras.generate_rays(camera_indices=index, coords=coords), features.to(self.device)

    def _with_camera_size(self, dataset: InputDataset) -> InputDataset:
        # nerfstudio scales images in float64 and cameras in float32, and rounds both down: at times to other sizes.
        height, width = self.arrays.images.shape[1:3]
        dataset.cameras.height.fill_(height)
        dataset.cameras.width.fill_(width)
        return dataset

    def _ray_generator(self, dataset: InputDataset) -> RayGenerator | SharedLensRays:
        cameras = dataset.cameras.to(self.device)
        return SharedLensRays(cameras) if share_lens(cameras) else RayGenerator(cameras)

    def _batch(
        self,
        count: int,
        generator: RayGenerator | SharedLensRays,
        rows: np.ndarray,  # [views], of the scene's images
    ) -> tuple[RayBundle, dict[str, Tensor]]:
        images, features = self.arrays.images, self.arrays.features
        height, width = images.shape[1:3]
        view, y, x = (torch.randint(size, (count,)) for size in (len(rows), height, width))
        indices = torch.stack([view, y, x], -1)  # [rays, 3]
        of_view = rows[view.numpy()]
        map_rows, map_columns = features.shape[1:3]
        at_patch = features[of_view, (y * map_rows // height).numpy(), (x * map_columns // width).numpy()]
        return generator(indices.to(self.device)), {
            "indices": indices,
            "image": _colors(images[of_view, y.numpy(), x.numpy()]).to(self.device),
            "feature": torch.from_numpy(at_patch.astype(np.float32)).to(self.device),
        }


def _colors(pixels: np.ndarray) -> Tensor:  # uint8 [...] -> [...] in [0, 1]
    return torch.from_numpy(pixels.astype(np.float32)) / 255.0
