"""Fills, blur and masking the slow way: one pixel at a time, float64."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def gaussian_taps(kernel_size: int, sigma: float) -> list[float]:
    weights = [
        math.exp(-((tap - kernel_size // 2) ** 2) / (2 * sigma**2)) for tap in range(kernel_size)
    ]
    return [weight / sum(weights) for weight in weights]


def reflect(index: int, length: int) -> int:
    """Index into an axis mirrored at its border pixels, which are not repeated."""
    if index < 0:
        return -index
    return 2 * (length - 1) - index if index >= length else index


def blur_plane(plane: Array, kernel_size: int, sigma: float) -> Array:
    """Two-dimensional convolution of one (H, W) plane with a Gaussian, borders reflected."""
    height, width = plane.shape
    taps = gaussian_taps(kernel_size, sigma)
    radius = kernel_size // 2
    blurred = np.zeros_like(plane)
    for row in range(height):
        for column in range(width):
            for i, down in enumerate(taps):
                for j, right in enumerate(taps):
                    y, x = reflect(row + i - radius, height), reflect(column + j - radius, width)
                    blurred[row, column] += down * right * plane[y, x]
    return blurred


def mean_plane(plane: Array) -> float:
    """Mean of one (H, W) plane."""
    return sum(float(value) for value in plane.flat) / plane.size


def masked_pixel(mask: NDArray[np.bool_], row: int, column: int, height: int, width: int) -> bool:
    """Whether the cell (of a (h, w) mask) that holds pixel (row, column) is masked."""
    rows, columns = mask.shape
    return bool(mask[row * rows // height, column * columns // width])


def mask_loop(images: Array, cells: NDArray[np.bool_], content: Array) -> Array:
    """Show (B, C, H, W) content where the (B, 1|C, h, w) cells are masked."""
    batch, channels, height, width = images.shape
    shown = images.copy()
    for image in range(batch):
        for channel in range(channels):
            own = cells[image, channel if cells.shape[1] > 1 else 0]
            for row in range(height):
                for column in range(width):
                    if masked_pixel(own, row, column, height, width):
                        shown[image, channel, row, column] = content[image, channel, row, column]
    return shown
