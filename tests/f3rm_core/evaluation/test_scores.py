"""Scores against values worked out by hand, or by a second way."""

from __future__ import annotations

import math

import pytest
import torch

from f3rm_core.evaluation.feature import feature_scores, principal_colors
from f3rm_core.evaluation.rgb import psnr, ssim


def test_psnr_of_a_constant_error() -> None:
    truth = torch.zeros(4, 5, 3)
    assert psnr(truth + 0.1, truth) == pytest.approx(20.0, abs=1e-5)
    assert math.isinf(psnr(truth, truth))


def test_ssim_is_one_for_equal_images_and_less_for_noise() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(32, 32, 3, generator=generator)
    assert ssim(truth, truth) == pytest.approx(1.0, abs=1e-5)
    noisy = truth + 0.2 * torch.randn(32, 32, 3, generator=generator)
    assert ssim(noisy, truth) == pytest.approx(_ssim_of_scikit_image(noisy, truth), abs=0.01)


def test_ssim_of_the_smallest_image_that_a_scene_may_have() -> None:
    image = torch.rand(6, 6, 3, generator=torch.Generator().manual_seed(0))
    assert ssim(image, image) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(RuntimeError, match="Padding"):
        ssim(image[:5], image[:5])


def test_feature_scores_worked_out_by_hand() -> None:
    # Two unit vectors at right angles: the best constant lies between them, at a cosine of 1/sqrt(2) to both.
    extracted = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    perfect = feature_scores(3 * extracted, extracted)
    assert (perfect.cosine, perfect.gain) == pytest.approx((1.0, 1.0))
    constant = feature_scores(torch.ones(2, 2), extracted)
    assert constant.cosine == pytest.approx(math.sqrt(0.5))
    assert constant.constant_cosine == pytest.approx(math.sqrt(0.5))
    assert constant.gain == pytest.approx(0.0, abs=1e-12)
    # Squared errors: (0, 1, 1, 1) over four numbers.
    assert constant.mse == pytest.approx(0.75)


def test_no_constant_feature_beats_the_one_that_gain_is_measured_from() -> None:
    generator = torch.Generator().manual_seed(1)
    extracted = torch.randn(200, 6, generator=generator) + torch.tensor([2.0, 0, 0, 1, 0, 0])
    best = feature_scores(extracted, extracted).constant_cosine
    for _ in range(200):
        constant = torch.randn(6, generator=generator).expand(200, -1)
        assert feature_scores(constant, extracted).cosine <= best + 1e-9


def test_gain_of_a_constant_scene_is_not_a_number() -> None:
    same = torch.ones(3, 4)
    assert math.isnan(feature_scores(same, same).gain)


def test_principal_colors_show_the_strongest_direction_first() -> None:
    ramp = torch.linspace(0, 1, 32).view(8, 4, 1)
    features = torch.cat([10 * ramp, 0.1 * ramp.flip(0), torch.zeros(8, 4, 3)], -1)
    (colors,) = principal_colors(features)
    assert colors.shape == (8, 4, 3)
    red = colors[..., 0].flatten()
    assert bool((red.diff().abs() > 0).float().mean() > 0.8)
    assert float(red.max()) == 1.0
    assert float(red.min()) == 0.0


@pytest.mark.parametrize(("rows", "columns", "channels"), [(1, 1, 8), (1, 2, 8), (4, 4, 2)])
def test_principal_colors_of_fewer_than_three_directions_leave_colors_black(
    rows: int, columns: int, channels: int
) -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(2, rows, columns, channels, generator=generator)
    for colors in principal_colors(*maps):
        assert colors.shape == (rows, columns, 3)
        assert not colors[..., min(rows * columns, channels) :].any()
        assert 0.0 <= float(colors.min()) <= float(colors.max()) <= 1.0


def _ssim_of_scikit_image(render: torch.Tensor, truth: torch.Tensor) -> float:
    metrics = pytest.importorskip("skimage.metrics")
    return float(
        metrics.structural_similarity(
            render.numpy(),
            truth.numpy(),
            channel_axis=-1,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )
