"""Rays through pixels, without undistorting the same pixels at every step."""

from __future__ import annotations

import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.cameras.rays import RayBundle
from torch import Tensor, nn


class SharedLensRays:
    """nerfstudio's rays for cameras of one lens: directions in the camera's frame are worked out once a pixel.

    Args:
        cameras: perspective cameras that `share_lens`.
    """

    def __init__(self, cameras: Cameras) -> None:
        self.poses = cameras.camera_to_worlds  # [cameras, 3, 4]
        lens = cameras[:1]
        lens.camera_to_worlds = torch.eye(4, device=cameras.device)[None, :3]
        rays = lens.generate_rays(camera_indices=0)  # [height, width]
        self._directions = rays.directions  # [height, width, 3]
        self._pixel_area = rays.pixel_area  # [height, width, 1]
        self._norms = rays.metadata["directions_norm"]  # [height, width, 1]

    def __call__(
        self,
        indices: Tensor,  # [rays, 3]: camera, y, x
    ) -> RayBundle:  # [rays]
        camera, y, x = indices.unbind(-1)
        return self._bundle(camera[:, None], self.poses[camera], (y, x))

    def image(self, index: int) -> RayBundle:  # [height, width]
        """All rays of one camera."""
        camera = torch.full_like(self._norms, index, dtype=torch.int64)
        return self._bundle(camera, self.poses[index], (slice(None), slice(None)))

    def _bundle(self, camera: Tensor, pose: Tensor, pixels: tuple[Tensor, Tensor] | tuple[slice, slice]) -> RayBundle:
        directions = (pose[..., :3] * self._directions[pixels][..., None, :]).sum(-1)
        return RayBundle(
            origins=pose[..., 3].expand_as(directions),
            directions=nn.functional.normalize(directions, dim=-1),
            pixel_area=self._pixel_area[pixels],
            camera_indices=camera,
            metadata={"directions_norm": self._norms[pixels]},
        )


def share_lens(cameras: Cameras) -> bool:
    """Whether all cameras are perspective ones with the same intrinsics and distortion."""
    if (
        bool((cameras.camera_type != CameraType.PERSPECTIVE.value).any())
        or cameras.times is not None
        or cameras.metadata
    ):
        return False
    intrinsics = [cameras.fx, cameras.fy, cameras.cx, cameras.cy, cameras.height, cameras.width]
    if cameras.distortion_params is not None:
        intrinsics.append(cameras.distortion_params)
    return all(bool((one == one[:1]).all()) for one in intrinsics)
