"""Pictures from which a small encoder learns in a minute: classes that colours do not give away."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.typing import NDArray

from salmask_plugin.lab.data.generated import Scene, draw_splits, smooth_noise, to_bytes
from salmask_plugin.lab.data.shapes import PATTERNS, SHAPES
from salmask_plugin.lab.data.splits import ImageSplits

Array = NDArray[np.float32]
_OUTLINES = (*SHAPES, "disc", "square")
CLASSES = tuple(zip(_OUTLINES, PATTERNS, strict=True))
"""(outline, pattern) of each class; no pattern belongs to two of them."""
TURN = 0.25
"""Objects are tilted by at most this, in radians: they stand upright, as in photographs."""


def generated_objects(
    train_images: int = 2048,
    val_images: int = 500,
    classes: int = 10,
    size: int = 48,
    seed: int = 0,
) -> ImageSplits:
    """Draw large, upright objects, each class with an outline and a pattern of its own.

    For contrastive learning in minutes: a class is what two crops of one picture share. Colours
    differ from picture to picture, light and dark parts change places, and the grounds are smooth
    clouds of two like colours, so that neither colours nor the ground tell the class; an untrained
    encoder, which sees mainly those, knows little of it. All pictures are drawn at once and kept:
    4 * size**2 bytes each.

    Args:
        train_images: pictures in the training split; class counts differ by one at most.
        val_images: pictures in the other split.
        classes: number of classes, 2 to 10.
        size: side of the square pictures in pixels, at least 24.
        seed: of everything. A picture depends on (seed, split, index, classes, size) alone.

    Raises:
        ValueError: if an argument is out of range.
    """
    return draw_splits(
        "generated_objects",
        draw_object,
        ["-".join(parts) for parts in CLASSES],
        train_images=train_images,
        val_images=val_images,
        classes=classes,
        size=size,
        seed=seed,
    )


def draw_object(label: int, size: int, rng: np.random.Generator) -> Scene:
    """Draw one object of a class on a ground of its own."""
    outline, pattern = CLASSES[label]
    ground = _ground(size, rng)
    radius = rng.uniform(0.34, 0.48) * size
    centre = size / 2 + rng.uniform(-1, 1, 2) * max(size / 2 - 0.9 * radius, 2)
    turn = rng.uniform(-TURN, TURN)
    place = np.arange(size, dtype=np.float32) + 0.5
    across, down = (place[None] - centre[0]) / radius, (place[:, None] - centre[1]) / radius
    x = across * np.cos(turn) + down * np.sin(turn)
    y = down * np.cos(turn) - across * np.sin(turn)

    mask = SHAPES[outline](x, y)
    surface = PATTERNS[pattern](x, y)[..., None]
    dark = rng.uniform(0, 0.5)
    values = [dark, dark + rng.uniform(0.35, 0.5)]
    rng.shuffle(values)
    first, second = (_colour(rng, rng.random(), value) for value in values)
    grain = rng.normal(0, 0.03, (size, size, 1)).astype(np.float32)
    painted = np.where(mask[..., None], np.where(surface, first, second), ground)
    return Scene(to_bytes(painted + grain), to_bytes(ground + grain), mask)


def _ground(size: int, rng: np.random.Generator) -> Array:
    """(size, size, 3): clouds between a colour and one a little like it."""
    hue = rng.random()
    first = _colour(rng, hue, rng.uniform(0.1, 1))
    second = _colour(rng, hue + rng.uniform(-0.2, 0.2), rng.uniform(0.1, 1))
    clouds = 0.6 * smooth_noise(rng, 3, size) + 0.4 * smooth_noise(rng, 6, size)
    ground: Array = first + 0.6 * (second - first) * (1 - clouds[..., None])
    return ground


def _colour(rng: np.random.Generator, hue: float, value: float) -> Array:
    rgb = colorsys.hsv_to_rgb(hue % 1.0, rng.uniform(0.2, 0.9), value)
    return np.asarray(rgb, dtype=np.float32)
