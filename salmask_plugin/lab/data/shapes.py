"""Outlines and surfaces of the drawn objects, as functions of the object's own coordinates.

x and y are in units of the object's radius, in its own turned frame; every outline lies inside the
unit circle.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Region = Callable[[Array, Array], NDArray[np.bool_]]


def _triangle(x: Array, y: Array) -> NDArray[np.bool_]:
    # Three half-planes at distance 1/2 from the centre: corners on the unit circle.
    return (y < 0.5) & (-y / 2 + np.abs(x) * 0.866 < 0.5)


def _star(x: Array, y: Array) -> NDArray[np.bool_]:
    # Between a tip (radius 1) and the next notch (radius 0.45) the outline is a straight line.
    step = np.pi / 5
    angle = np.abs((np.arctan2(y, x) + step) % (2 * step) - step)
    inside: NDArray[np.bool_] = np.hypot(x, y) * (
        0.45 * np.sin(step - angle) + np.sin(angle)
    ) < 0.45 * np.sin(step)
    return inside


SHAPES: Mapping[str, Region] = {
    "disc": lambda x, y: np.hypot(x, y) < 0.85,
    "star": _star,
    "bar": lambda x, y: (np.abs(x) < 0.93) & (np.abs(y) < 0.32),
    "ring": lambda x, y: np.abs(np.hypot(x, y) - 0.7) < 0.26,
    "triangle": _triangle,
    "cross": lambda x, y: (
        (np.minimum(np.abs(x), np.abs(y)) < 0.28) & (np.maximum(np.abs(x), np.abs(y)) < 0.93)
    ),
    "crescent": lambda x, y: (np.hypot(x, y) < 0.95) & (np.hypot(x - 0.5, y) > 0.7),
    "square": lambda x, y: np.maximum(np.abs(x), np.abs(y)) < 0.7,
}

TEXTURES: Mapping[str, Region] = {
    "stripes": lambda x, y: np.sin(x * 12 + 0 * y) > 0,
    "plain": lambda x, y: np.ones(np.broadcast_shapes(x.shape, y.shape), dtype=bool),
    "checks": lambda x, y: (np.sin(x * 8) > 0) ^ (np.sin(y * 8) > 0),
    "dots": lambda x, y: np.hypot((x * 2.2) % 1 - 0.5, (y * 2.2) % 1 - 0.5) > 0.3,
}
"""True where the surface shows the object's light colour."""

PATTERNS: Mapping[str, Region] = {
    "stripes": lambda x, y: np.sin(9 * x + 0 * y) > 0,
    "rings": lambda x, y: np.sin(14 * np.hypot(x, y)) > 0,
    "checks": TEXTURES["checks"],
    "dots": TEXTURES["dots"],
    "spokes": lambda x, y: np.sin(8 * np.arctan2(y, x)) > 0,
    "zigzag": lambda x, y: np.sin(9 * (y + 0.7 * np.abs((2 * x) % 1 - 0.5))) > 0,
    "rungs": lambda x, y: np.sin(9 * y + 0 * x) > 0,
    "net": lambda x, y: np.minimum(*(np.abs((2.2 * at) % 1 - 0.5) for at in (x, y))) > 0.18,
    "halves": lambda x, y: (x > 0) & (y == y),
    "spiral": lambda x, y: np.sin(2 * np.arctan2(y, x) + 9 * np.hypot(x, y)) > 0,
}
"""Surfaces of :func:`generated_objects`, coarse enough to be seen at 32 px."""
