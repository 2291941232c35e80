"""Renders the scene that ships with the package: `python -m tools.tabletop.scene f3rm_core/scenes/embedded/tabletop`.

The layout is written by hand and the same at every call. The small model is never trained on it.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from tools.tabletop.data import Shard
from tools.tabletop.layout import BACKGROUND, CEILING_Z, FIRST_OBJECT_ID, FLOOR_Z, Item, Layout
from tools.tabletop.render import Camera, Renderer, looking_at
from tools.tabletop.shapes import build_shape
from tools.tabletop.surfaces import COLOURS, RGB, Patterned, Tartan, Tiles, Wallpaper, Wood

WIDTH, HEIGHT = 192, 144
FOCAL_PIXELS = 206.0  # a horizontal field of view of 50 degrees
TARGET = (0.0, 0.0, 0.3)
RADIUS = 6.3
RINGS = ((20.0, 24, 0.0), (38.0, 24, 7.5), (57.0, 16, 0.0))
"""Elevation (degrees), number of views, and azimuth of the first (degrees) of each ring of cameras."""
HELD_OUT = (4, 12, 20, 26, 34, 42, 50, 58)
"""Indices of the views that are not trained on; each has training views on both sides."""

SUBPIXELS, LIGHT_SAMPLES, JPEG_QUALITY = 5, 4, 94

CREAM: RGB = (0.8, 0.77, 0.66)
NAVY: RGB = (0.02, 0.04, 0.16)


def scene_layout() -> Layout:
    return Layout(
        items=(
            _item("teapot", "blue", (-1.65, 1.1), 215, accent=CREAM, pattern="dots", repeats=10),
            _item("mug", "red", (0.6, -1.2), -35, accent=CREAM, pattern="stripes", repeats=8),
            _item("mug", "green", (-1.85, -1.25), 150, accent=CREAM, pattern="checks", repeats=12),
            _item("duck", "yellow", (-0.6, -1.1), -110, accent=CREAM, pattern="plain", repeats=8),
            _item("ball", "orange", (1.8, -1.2), 20, accent=NAVY, pattern="stripes", repeats=9),
            _item("bottle", "green", (1.35, 1.3), 60, accent=CREAM, pattern="print", repeats=9),
            _item("lamp", "red", (0.05, 1.3), 0, accent=(0.75, 0.5, 0.08), pattern="dots", repeats=12),
            _item("book", "purple", (1.75, 0.1), 68, accent=(0.85, 0.66, 0.2), pattern="print", repeats=6, flat=True),
            _item("bowl", "white", (-1.7, -0.2), 0, accent=(0.2, 0.34, 0.6), pattern="checks", repeats=14),
            _item("donut", "pink", (0.1, 0.05), 0, accent=CREAM, pattern="dots", repeats=14, flat=True),
        ),
        table_half=(2.7, 2.0),
        cloth=Tartan(
            ground=(0.74, 0.7, 0.6),
            band=(0.16, 0.36, 0.42),
            line=(0.5, 0.12, 0.1),
            period=0.62,
            centre=(0.0, 0.0),
            half=(1.2, 1.0),
            yaw_rad=0.09,
        ),
        table=Wood(light=(0.47, 0.26, 0.11), dark=(0.2, 0.09, 0.035), plank_width=0.62, seed=7),
        floor=Tiles(first=(0.34, 0.37, 0.4), second=(0.62, 0.6, 0.55), size=1.25, seed=3),
        wall=Wallpaper(
            ground=(0.5, 0.6, 0.58),
            print_colour=(0.66, 0.72, 0.68),
            pattern="dots",
            period=1.1,
            floor_z=FLOOR_Z,
            ceiling_z=CEILING_Z,
        ),
        light_position=(-2.2, -2.6, 6.0),
        light_half=1.2,
        light_strength=0.78,
        ambient_strength=0.42,
    )


def scene_cameras() -> list[Camera]:
    """Rings around the table, each view a little off its place, as photographs would be."""
    rng = np.random.default_rng(11)
    cameras = []
    for elevation_degrees, count, first_degrees in RINGS:
        for index in range(count):
            azimuth = np.deg2rad(first_degrees + 360 * index / count + rng.uniform(-2, 2))
            elevation = np.deg2rad(elevation_degrees + rng.uniform(-3, 3))
            direction = np.array(
                [np.cos(azimuth) * np.cos(elevation), np.sin(azimuth) * np.cos(elevation), np.sin(elevation)]
            )
            target = np.array(TARGET) + rng.uniform(-0.12, 0.12, 3)
            eye = target + RADIUS * rng.uniform(0.95, 1.05) * direction
            cameras.append(looking_at(eye, target, FOCAL_PIXELS, WIDTH, HEIGHT))
    return cameras


def write_scene(folder: Path, *, subpixels: int = SUBPIXELS, light_samples: int = LIGHT_SAMPLES) -> None:
    """Writes images/, masks/, transforms.json and queries.yaml."""
    layout, cameras = scene_layout(), scene_cameras()
    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "masks").mkdir(exist_ok=True)
    renderer = Renderer(layout)
    for index, camera in enumerate(cameras):
        picture, mask = renderer.render(
            camera, np.random.default_rng(index), subpixels=subpixels, light_samples=light_samples
        )
        Image.fromarray(picture).save(folder / _image_name(index), quality=JPEG_QUALITY, subsampling=0, optimize=True)
        _mask_image(mask).save(folder / "masks" / f"{Path(_image_name(index)).stem}.png", optimize=True)
    (folder / "transforms.json").write_text(json.dumps(_transforms(cameras), indent=1) + "\n")
    header = "# What to ask for, and which ids of masks/ are right. masks/NAME.png belongs to images/NAME.jpg.\n"
    (folder / "queries.yaml").write_text(header + yaml.safe_dump(scene_queries(layout), sort_keys=False))


def scene_queries(layout: Layout) -> dict[str, object]:
    """The names of the mask ids, and the text queries with the ids that are right for each."""
    kinds = {FIRST_OBJECT_ID + index: (item.name, item.colour) for index, item in enumerate(layout.items)}
    names = {index: {"name": name} for index, name in enumerate(BACKGROUND)}
    objects = {index: {"name": name, "colour": colour} for index, (name, colour) in kinds.items()}
    queries = []
    for name in dict.fromkeys(name for name, _ in kinds.values()):
        ids = [index for index, kind in kinds.items() if kind[0] == name]
        queries.append({"text": name, "kind": "class", "ids": ids})
    for index, (name, colour) in kinds.items():
        queries.append({"text": f"{colour} {name}", "kind": "colour and class", "ids": [index]})
    return {"ids": {**names, **objects}, "queries": queries}


def load_scene_views(folder: Path) -> Shard:
    """The written scene as views to measure a model on."""
    names = [Path(frame["file_path"]).stem for frame in json.loads((folder / "transforms.json").read_text())["frames"]]
    ids = yaml.safe_load((folder / "queries.yaml").read_text())["ids"]
    kinds = tuple((ids[index]["name"], ids[index]["colour"]) for index in sorted(ids) if index >= FIRST_OBJECT_ID)
    return Shard(
        images=np.stack([np.asarray(Image.open(folder / "images" / f"{name}.jpg")) for name in names]),
        masks=np.stack([np.asarray(Image.open(folder / "masks" / f"{name}.png")) for name in names]),
        kinds=(kinds,) * len(names),
    )


def _item(
    name: str,
    colour: str,
    position: tuple[float, float],
    yaw_degrees: float,
    *,
    accent: RGB,
    pattern: str,
    repeats: int,
    flat: bool = False,
) -> Item:
    shape = build_shape(name, np.random.default_rng(44))
    main = Patterned(COLOURS[colour], accent, pattern, repeats, flat)
    return Item(name, colour, shape, main, accent, position, float(np.deg2rad(yaw_degrees)), scale=0.95)


def _transforms(cameras: Sequence[Camera]) -> dict[str, object]:
    names = [_image_name(index) for index in range(len(cameras))]
    held_out = [names[index] for index in HELD_OUT]
    return {
        "camera_model": "OPENCV",
        "w": WIDTH,
        "h": HEIGHT,
        "fl_x": FOCAL_PIXELS,
        "fl_y": FOCAL_PIXELS,
        "cx": WIDTH / 2,
        "cy": HEIGHT / 2,
        **dict.fromkeys(("k1", "k2", "p1", "p2"), 0.0),
        "train_filenames": [name for name in names if name not in held_out],
        "val_filenames": held_out,
        "test_filenames": held_out,
        "frames": [
            {"file_path": name, "transform_matrix": camera.camera_to_world.round(9).tolist()}
            for name, camera in zip(names, cameras, strict=True)
        ],
    }


def _image_name(index: int) -> str:
    return f"images/view_{index:02d}.jpg"


def _mask_image(mask: np.ndarray) -> Image.Image:
    """The ids as a palette picture: pixel values are the ids, colours are for the eye."""
    image = Image.fromarray(mask, mode="P")
    hues = np.random.default_rng(5).integers(40, 255, (256, 3))
    image.putpalette(hues.astype(np.uint8).tobytes())
    return image


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    write_scene(parser.parse_args(arguments).folder)


if __name__ == "__main__":
    main()
