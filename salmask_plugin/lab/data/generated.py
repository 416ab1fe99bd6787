"""Pictures of one object on a textured ground, drawn here: no download, every object mask known."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmask_plugin.lab.data.shapes import SHAPES, TEXTURES
from salmask_plugin.lab.data.splits import ImageSplits

Array = NDArray[np.float32]
MAX_CLASSES = len(SHAPES) * len(TEXTURES)
MIN_SIZE = 24
_SPLITS = {"train": 0, "val": 1}


@dataclass(frozen=True)
class Scene:
    """One drawn picture, 8-bit.

    Attributes:
        image: (size, size, 3), the object on its ground.
        ground: (size, size, 3), the same picture without the object.
        mask: (size, size) bool, True = object.
    """

    image: NDArray[np.uint8]
    ground: NDArray[np.uint8]
    mask: NDArray[np.bool_]


Draw = Callable[[int, int, np.random.Generator], Scene]


def generated(
    train_images: int = 1000,
    val_images: int = 400,
    classes: int = 8,
    size: int = 96,
    seed: int = 0,
) -> ImageSplits:
    """Draw a data set of objects with known masks.

    A class is a shape and a surface (disc with stripes, star with checks, ...). Colours, place,
    size, rotation and ground are drawn independently of the class, so that the mean colour says
    nothing about it. All pictures are drawn at once and kept: 4 * size**2 bytes each.

    Args:
        train_images: pictures in the training split; class counts differ by one at most.
        val_images: pictures in the other split.
        classes: number of classes, 2 to 32.
        size: side of the square pictures in pixels, at least 24.
        seed: of everything. A picture depends on (seed, split, index, classes, size) alone.

    Raises:
        ValueError: if an argument is out of range.
    """
    names = ["-".join(class_parts(label)) for label in range(MAX_CLASSES)]
    return draw_splits(
        "generated",
        draw_scene,
        names,
        train_images=train_images,
        val_images=val_images,
        classes=classes,
        size=size,
        seed=seed,
    )


def draw_splits(
    name: str,
    draw: Draw,
    names: Sequence[str],
    *,
    train_images: int,
    val_images: int,
    classes: int,
    size: int,
    seed: int,
) -> ImageSplits:
    """Draw both splits of a data set; see :func:`generated`.

    Args:
        name: of the data set.
        draw: (class, size, generator) -> picture.
        names: of all the classes that can be drawn.
        train_images: pictures in the training split.
        val_images: pictures in the other split.
        classes: number of classes, 2 to ``len(names)``.
        size: side of the square pictures in pixels, at least 24.
        seed: of everything.

    Raises:
        ValueError: if another argument is out of range.
    """
    if not 2 <= classes <= len(names):
        raise ValueError(f"classes={classes} must be between 2 and {len(names)}.")
    if size < MIN_SIZE:
        raise ValueError(f"size={size} must be at least {MIN_SIZE} pixels.")
    if seed < 0:
        raise ValueError(f"seed={seed} must be at least 0.")
    for argument, count in (("train_images", train_images), ("val_images", val_images)):
        if count < classes:
            raise ValueError(f"{argument}={count} must be at least {classes}, one per class.")
    train = GeneratedImages(train_images, classes, size, seed, "train", draw)
    val = GeneratedImages(val_images, classes, size, seed, "val", draw)
    return ImageSplits(train, val, tuple(names[:classes]), name, has_masks=True)


class GeneratedImages:
    """One split of :func:`generated` or of another data set that is drawn, in memory."""

    def __init__(
        self, count: int, classes: int, size: int, seed: int, split: str, draw: Draw | None = None
    ) -> None:
        draw = draw or draw_scene
        self.labels = tuple(index % classes for index in range(count))
        self._images = np.empty((count, size, size, 3), np.uint8)
        self._masks = np.empty((count, size, size), np.uint8)
        for index, label in enumerate(self.labels):
            scene = draw(label, size, np.random.default_rng((seed, _SPLITS[split], index)))
            self._images[index] = scene.image
            self._masks[index] = scene.mask * 255

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.fromarray(self._images[index]), self.labels[index]

    def with_mask(self, index: int) -> tuple[Image.Image, Image.Image, int]:
        """Return (picture, object mask with 255 = object, class index)."""
        return (
            Image.fromarray(self._images[index]),
            Image.fromarray(self._masks[index]),
            self.labels[index],
        )


def class_parts(label: int) -> tuple[str, str]:
    """Return the names of a class' (shape, surface); the first classes differ in shape."""
    shapes, textures = tuple(SHAPES), tuple(TEXTURES)
    shape = label % len(shapes)
    return shapes[shape], textures[(shape + label // len(shapes)) % len(textures)]


def draw_scene(label: int, size: int, rng: np.random.Generator) -> Scene:
    """Draw one object of a class on a ground of its own."""
    shape, texture = class_parts(label)
    hue, bright = rng.random(), rng.random() < 0.5
    ground = _ground(size, rng, hue, bright)

    radius = rng.uniform(0.2, 0.42) * size
    centre = rng.uniform(0.85 * radius, size - 0.85 * radius, 2)
    turn = rng.uniform(0, 2 * np.pi)
    place = np.arange(size, dtype=np.float32) + 0.5
    across, down = (place[None] - centre[0]) / radius, (place[:, None] - centre[1]) / radius
    x = across * np.cos(turn) + down * np.sin(turn)
    y = down * np.cos(turn) - across * np.sin(turn)

    mask = SHAPES[shape](x, y)
    surface = TEXTURES[texture](x, y)[..., None].astype(np.float32)
    # The object is lighter than a dark ground and darker than a light one, in other hues.
    light, deep = ((0.2, 0.42) if bright else (0.8, 1.0)), ((0.0, 0.15) if bright else (0.55, 0.7))
    object_hue = hue + rng.uniform(0.25, 0.75)
    first = _colour(rng, object_hue, light)
    second = _colour(rng, object_hue + rng.uniform(-0.15, 0.15), deep)
    painted = first * surface + second * (1 - surface)
    painted = painted + rng.normal(0, 0.03, (size, size, 1)).astype(np.float32)
    image = np.where(mask[..., None], painted, ground)
    return Scene(to_bytes(image), to_bytes(ground), mask)


def _ground(size: int, rng: np.random.Generator, hue: float, bright: bool) -> Array:
    """(size, size, 3): clouds between two colours of like brightness, a grating, and grain."""
    values = (0.62, 0.95) if bright else (0.15, 0.45)
    first, second = (_colour(rng, hue + rng.uniform(-0.1, 0.1), values) for _ in range(2))
    clouds = sum(
        smooth_noise(rng, cells, size) * weight for cells, weight in ((4, 0.5), (9, 0.3), (20, 0.2))
    )
    angle, period = rng.uniform(0, np.pi), rng.uniform(0.05, 0.25) * size
    place = np.arange(size, dtype=np.float32) * 2 * np.pi / period
    wave = np.sin(place[None] * np.cos(angle) + place[:, None] * np.sin(angle))
    mixed = (clouds + rng.uniform(0, 0.25) * wave).clip(0, 1).astype(np.float32)[..., None]
    grain = rng.normal(0, 0.04, (size, size, 1)).astype(np.float32)
    ground: Array = first * mixed + second * (1 - mixed) + grain
    return ground


def smooth_noise(rng: np.random.Generator, cells: int, size: int) -> Array:
    """(size, size) in about [0, 1], from a grid of random values."""
    noise = Image.fromarray(rng.random((cells, cells), dtype=np.float32))
    return np.asarray(noise.resize((size, size), Image.Resampling.BICUBIC), dtype=np.float32)


def _colour(rng: np.random.Generator, hue: float, values: tuple[float, float]) -> Array:
    rgb = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(0.35, 0.9), rng.uniform(*values))
    return np.asarray(rgb, dtype=np.float32)


def to_bytes(image: Array) -> NDArray[np.uint8]:
    """8-bit values of those in [0, 1]; others are clipped."""
    return (image.clip(0, 1) * 255 + 0.5).astype(np.uint8)
