"""Pictures that NumPy wrote: ``.npy``, read without running anything that is in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAGIC = b"\x93NUMPY"
Values = NDArray[Any]


def is_array(path: Path | str) -> bool:
    """Whether a file begins as ``numpy.save`` begins one, whatever its name is."""
    with Path(path).open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def load_array(path: Path | str, max_pixels: int) -> Values:
    """Return an array (H, W), (H, W, C) or (C, H, W) of uint8, uint16 or floating point.

    Truth values become 0 and 255. Nothing is unpickled.

    Args:
        path: of the file.
        max_pixels: an array with more values than an RGB picture of so many pixels is refused.

    Raises:
        ValueError: if it is damaged, of another shape or type, empty, or too large.
    """
    mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    shape, kind = tuple(mapped.shape), mapped.dtype
    if len(shape) not in (2, 3) or not mapped.size:
        raise ValueError(f"its shape is {shape}; (H, W), (H, W, C) or (C, H, W) is a picture")
    if kind.kind not in "bf" and kind.newbyteorder("=") not in (np.uint8, np.uint16):
        raise ValueError(f"its type is {kind}; uint8, uint16 and floating point are pictures")
    if mapped.size > 3 * max_pixels:
        raise ValueError(f"its {mapped.size:,} values are more than those of {max_pixels:,} pixels")
    values = np.array(mapped, dtype=kind.newbyteorder("="))
    return values.astype(np.uint8) * np.uint8(255) if kind.kind == "b" else values


def channels_first(array: Values, channels: int) -> Values:
    """Return (C, H, W) of an array; its channels are the first axis or the last, by their number.

    Args:
        array: (H, W) of one channel, or three axes.
        channels: how many there must be.

    Raises:
        ValueError: if neither end has so many, or both have.
    """
    shape = array.shape
    if array.ndim == 2 and channels == 1:
        return array[None]
    first, last = shape[0] == channels, shape[-1] == channels
    if array.ndim == 2 or not (first or last):
        raise ValueError(f"its shape is {shape}, without {channels} channel(s) at an end")
    if first and last:
        raise ValueError(f"its shape is {shape}: either end may be the {channels} channel(s)")
    return array if first else array.transpose(2, 0, 1)


def picture_of(array: Values) -> Image.Image:
    """Return an array as a picture: grey of 8 or 16 bits or floating point, RGB or RGBA of 8 bits.

    Raises:
        ValueError: for other channels, or colour that is not of 8 bits.
    """
    if array.ndim == 2 or 1 in (array.shape[0], array.shape[-1]):
        plane = channels_first(array, 1)[0]
        return Image.fromarray(plane.astype(np.float32) if plane.dtype.kind == "f" else plane)
    counts = [count for count in (3, 4) if count in (array.shape[0], array.shape[-1])]
    if not counts or array.dtype != np.uint8:
        raise ValueError(
            f"an array {array.shape} of {array.dtype} is no RGB picture of 8 bits; other channels "
            "are in_channels=..."
        )
    rows = channels_first(array, counts[0]).transpose(1, 2, 0)
    return Image.fromarray(np.ascontiguousarray(rows))
