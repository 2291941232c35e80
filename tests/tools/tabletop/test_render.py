from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tools.tabletop.layout import FIRST_OBJECT_ID, TABLE, Layout
from tools.tabletop.render import Renderer, looking_at
from tools.tabletop.scene import scene_layout
from tools.tabletop.surfaces import Plain

CAMERA = looking_at(np.array([0.0, -5.0, 3.0]), np.array([0.0, 0.0, 0.3]), 50.0, 48, 36)


@pytest.fixture(scope="module")
def ball_alone() -> Layout:
    layout = scene_layout()
    ball = next(item for item in layout.items if item.name == "ball")
    grey = Plain((0.5, 0.5, 0.5))
    return dataclasses.replace(
        layout, items=(dataclasses.replace(ball, position=(0.0, 0.0)),), cloth=None, table=grey, floor=grey, wall=grey
    )


def test_a_camera_looks_at_its_target() -> None:
    origin, direction = CAMERA.rays(np.array([24.0]), np.array([18.0]))
    towards = np.array([0.0, 5.0, -2.7])
    assert np.allclose(direction[0], towards / np.linalg.norm(towards))
    assert np.allclose(origin[0], [0, -5, 3])
    _, corner = CAMERA.rays(np.array([48.0]), np.array([0.0]))
    assert corner[0] @ CAMERA.camera_to_world[:3, 0] > 0  # right of the picture is right of the camera
    assert corner[0] @ CAMERA.camera_to_world[:3, 1] > 0  # and its top is up


def test_the_mask_of_a_ball_is_exact(ball_alone: Layout) -> None:
    """A ray meets a ball when it passes its centre nearer than its radius."""
    _, mask = Renderer(ball_alone).render(CAMERA, np.random.default_rng(0), subpixels=1)
    item = ball_alone.items[0]
    radius = item.shape.radius * item.scale
    x, y = np.meshgrid(np.arange(48) + 0.5, np.arange(36) + 0.5)
    origins, directions = CAMERA.rays(x.ravel(), y.ravel())
    to_centre = np.array([0, 0, item.shape.height / 2 * item.scale]) - origins
    past = np.linalg.norm(to_centre - (to_centre * directions).sum(1, keepdims=True) * directions, axis=1)
    expected = (past < radius).reshape(36, 48)
    assert expected.sum() > 40
    assert ((mask == FIRST_OBJECT_ID) != expected).sum() <= 2  # the mesh is a little flatter than the ball


def test_a_seed_gives_one_picture(ball_alone: Layout) -> None:
    renderer = Renderer(ball_alone)
    first, again, other = (renderer.render(CAMERA, np.random.default_rng(seed), subpixels=1)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_ball_shades_the_table(ball_alone: Layout) -> None:
    camera = looking_at(np.array([0.0, -0.1, 6.5]), np.zeros(3), 60.0, 48, 36)
    shadowless = dataclasses.replace(ball_alone, items=())
    rendered = [
        Renderer(layout).render(camera, np.random.default_rng(0), light_samples=4)
        for layout in (ball_alone, shadowless)
    ]
    on_table = (rendered[0][1] == TABLE) & (rendered[1][1] == TABLE)
    darker = rendered[1][0].mean(2) - rendered[0][0].mean(2)
    assert darker[on_table].max() > 30
    assert abs(np.median(darker[on_table])) < 5  # and elsewhere nothing changes
    away_from_lamp = np.flatnonzero(on_table.ravel() & (darker.ravel() > 30)) % 48
    assert away_from_lamp.mean() > 23.5  # the lamp is at the left


def test_light_does_not_depend_on_the_view(ball_alone: Layout) -> None:
    """The same point of the table is as bright from two sides: a radiance field without directions can fit it."""
    sides = [looking_at(np.array([5.0 * s, 0.0, 3.0]), np.array([0.0, 1.2, 0.0]), 60.0, 31, 31) for s in (-1, 1)]
    middle = [
        Renderer(ball_alone).render(side, np.random.default_rng(0), subpixels=4, light_samples=8)[0][15, 15].mean()
        for side in sides
    ]
    assert middle[0] == pytest.approx(middle[1], abs=6)
