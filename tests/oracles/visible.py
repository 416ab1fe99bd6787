"""A small ConvNet that skips hidden places, one place at a time, float64."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Places = NDArray[np.bool_]


@dataclass
class Norm:
    """A BatchNorm layer's numbers per channel; the running ones are written to."""

    weight: Array
    bias: Array
    mean: Array
    variance: Array
    momentum: float = 0.1
    eps: float = 1e-5


def halved(visible: Places) -> Places:
    """A place of half the resolution is visible where one of its four is; (B, h, w)."""
    images, height, width = visible.shape
    smaller = np.zeros((images, height // 2, width // 2), dtype=bool)
    for b in range(images):
        for y in range(height // 2):
            for x in range(width // 2):
                four = visible[b, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
                smaller[b, y, x] = four.any()
    return smaller


def convolution(maps: Array, seen: Places, weight: Array, out: Places, stride: int) -> Array:
    """3x3 with padding 1 and no bias: visible neighbours only, at visible places only."""
    result = np.zeros((len(maps), len(weight), *out.shape[1:]))
    for b, y, x in np.argwhere(out):
        for o in range(len(weight)):
            for c in range(maps.shape[1]):
                for i in range(3):
                    for j in range(3):
                        row, column = stride * y + i - 1, stride * x + j - 1
                        inside = 0 <= row < maps.shape[2] and 0 <= column < maps.shape[3]
                        if inside and seen[b, row, column]:
                            result[b, o, y, x] += weight[o, c, i, j] * maps[b, c, row, column]
    return result


def batch_norm(maps: Array, seen: Places, norm: Norm) -> Array:
    """Normalise visible places by the mean and variance of visible places."""
    result = np.zeros_like(maps)
    places = np.argwhere(seen)
    for c in range(maps.shape[1]):
        values = [float(maps[b, c, y, x]) for b, y, x in places]
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / len(values)
        norm.mean[c] += norm.momentum * (mean - norm.mean[c])
        unbiased = variance * len(values) / (len(values) - 1)
        norm.variance[c] += norm.momentum * (unbiased - norm.variance[c])
        for b, y, x in places:
            standard = (maps[b, c, y, x] - mean) / math.sqrt(variance + norm.eps)
            result[b, c, y, x] = standard * norm.weight[c] + norm.bias[c]
    return result


def max_pool(maps: Array, seen: Places) -> tuple[Array, Places]:
    """2x2 with stride 2: the largest visible value."""
    out = halved(seen)
    result = np.zeros((*maps.shape[:2], *out.shape[1:]))
    for b, y, x in np.argwhere(out):
        for c in range(maps.shape[1]):
            result[b, c, y, x] = max(
                maps[b, c, row, column]
                for row in (2 * y, 2 * y + 1)
                for column in (2 * x, 2 * x + 1)
                if seen[b, row, column]
            )
    return result, out


def mean(maps: Array, seen: Places) -> Array:
    """(B, C): the mean of each image's visible places; 0 without any."""
    result = np.zeros(maps.shape[:2])
    for b in range(len(maps)):
        places = np.argwhere(seen[b])
        for c in range(maps.shape[1]):
            if len(places):
                result[b, c] = sum(float(maps[b, c, y, x]) for y, x in places) / len(places)
    return result
