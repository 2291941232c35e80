import pytest
import torch
from nerfstudio.cameras.cameras import Cameras, CameraType
from nerfstudio.cameras.lie_groups import exp_map_SE3
from nerfstudio.model_components.ray_generators import RayGenerator

from f3rm_core.scenes.rays import SharedLensRays, share_lens

HEIGHT, WIDTH = 7, 9


def cameras(**changed: object) -> Cameras:
    poses = exp_map_SE3(torch.randn(3, 6, generator=torch.Generator().manual_seed(0)))
    arguments: dict[str, object] = {
        "fx": torch.full((3, 1), 8.0),
        "fy": torch.full((3, 1), 8.5),
        "cx": torch.full((3, 1), 4.4),
        "cy": torch.full((3, 1), 3.6),
        "width": torch.full((3, 1), WIDTH),
        "height": torch.full((3, 1), HEIGHT),
        "distortion_params": torch.tensor([0.1, -0.02, 0.0, 0.0, 0.004, -0.003]).repeat(3, 1),
        "camera_type": CameraType.PERSPECTIVE,
    }
    return Cameras(poses, **{**arguments, **changed})  # type: ignore[arg-type]


@pytest.fixture
def indices() -> torch.Tensor:
    sizes = torch.tensor([3, HEIGHT, WIDTH])
    return (torch.rand(50, 3, generator=torch.Generator().manual_seed(1)) * sizes).long()


def test_rays_are_those_of_nerfstudio(indices: torch.Tensor) -> None:
    ours, theirs = SharedLensRays(cameras())(indices), RayGenerator(cameras())(indices)
    assert ours.shape == theirs.shape == (50,)
    for name in ("origins", "directions", "pixel_area", "camera_indices"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.metadata["directions_norm"], theirs.metadata["directions_norm"])


def test_an_image_holds_the_rays_of_its_pixels() -> None:
    image = SharedLensRays(cameras()).image(2)
    theirs = cameras().generate_rays(camera_indices=2)
    assert image.shape == theirs.shape == (HEIGHT, WIDTH)
    torch.testing.assert_close(image.directions, theirs.directions, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(image.origins, theirs.origins)
    assert (image.camera_indices == 2).all()


@pytest.mark.parametrize(
    "changed",
    [
        {"fx": torch.tensor([[8.0], [8.0], [8.1]])},
        {"distortion_params": torch.eye(3, 6) * 0.01},
        {"camera_type": CameraType.FISHEYE},
        {"times": torch.zeros(3, 1)},
    ],
)
def test_other_lenses_are_left_to_nerfstudio(changed: dict[str, object]) -> None:
    assert share_lens(cameras())
    assert not share_lens(cameras(**changed))
