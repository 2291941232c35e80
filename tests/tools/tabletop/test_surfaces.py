from __future__ import annotations

import numpy as np
import pytest

from tools.tabletop.surfaces import PATTERNS, Patterned, Plain, Tartan, Tiles, Wallpaper, Wood, value_noise

RED, CREAM, GREY = (0.6, 0.0, 0.0), (0.8, 0.8, 0.7), (0.4, 0.4, 0.4)
POINTS = np.random.default_rng(0).uniform(-2, 2, (4000, 3))


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("flat", [False, True])
def test_most_of_an_object_has_its_own_colour(pattern: str, flat: bool) -> None:
    albedo = Patterned(RED, CREAM, pattern, repeats=8, flat=flat).albedo(POINTS)
    share = (albedo == RED).all(1).mean()
    assert share == 1 if pattern == "plain" else 0.5 < share < 0.9
    assert ((albedo == RED).all(1) | (albedo == CREAM).all(1)).all()


def test_stripes_by_hand() -> None:
    stripes = Patterned(RED, CREAM, "stripes", repeats=10, flat=False)  # a period of 1 / 3.6 of height, 0.3 of it cream
    heights = np.array([0.02, 0.08, 0.10, 0.27, 0.29])
    points = np.stack([np.ones(5), np.zeros(5), heights], axis=1)
    assert (stripes.albedo(points) == CREAM).all(1).tolist() == [True, True, False, False, True]


@pytest.mark.parametrize(
    "surface",
    [
        Plain(RED),
        Wood(CREAM, GREY, 0.6, seed=1),
        Tiles(CREAM, GREY, 1.0, seed=1),
        Tartan(CREAM, RED, GREY, 0.5, (0.0, 0.0), (1.0, 1.0), 0.1),
        Wallpaper(CREAM, GREY, "dots", 1.0, -2.0, 2.0),
    ],
)
def test_albedo_reflects_no_more_than_it_gets(surface) -> None:
    albedo = surface.albedo(POINTS)
    assert albedo.shape == POINTS.shape
    assert albedo.min() >= 0
    assert albedo.max() <= 1
    assert np.array_equal(albedo, surface.albedo(POINTS))


def test_noise_is_smooth_and_depends_on_the_seed() -> None:
    x, y = POINTS[:, 0] * 10, POINTS[:, 1] * 10
    noise = value_noise(x, y, seed=3)
    assert noise.min() < -0.5
    assert noise.max() > 0.5
    assert np.abs(noise).max() <= 1
    assert np.abs(value_noise(x + 1e-4, y, seed=3) - noise).max() < 1e-3
    assert np.abs(value_noise(x, y, seed=4) - noise).max() > 0.5
