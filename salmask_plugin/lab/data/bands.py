"""One file -> the channels of its picture as numbers: arrays, and pictures that are not RGB."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from torch import Tensor

from salmask_plugin.lab.data.array_files import channels_first
from salmask_plugin.lab.data.reading import MAX_PIXELS, read_as, to_rgb

Values = NDArray[Any]


def read_bands(path: Path | str, channels: int, max_pixels: int = MAX_PIXELS) -> Tensor:
    """Read a picture of so many channels: float32 (C, H, W).

    8-bit values become 0 to 1 (divided by 255), 16-bit ones likewise (by 65,535), floating point
    stays as it is. Read are arrays (``.npy``) and what PIL reads: one channel out of any picture
    (colour becomes grey), two of grey with alpha, four of RGBA or CMYK, and a TIFF of as many grey
    pages as there are channels.

    Args:
        path: the file.
        channels: how many it must have.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        UnreadableImageError: if the file cannot be read, has other channels, values that are not
            finite, or numbers of another type.
    """
    return read_as(
        path,
        lambda image: to_unit(_of_picture(image, channels, max_pixels)),
        max_pixels,
        of_array=lambda array: to_unit(channels_first(array, channels)),
    )


def to_unit(values: Values) -> Tensor:
    """Return values (C, H, W) as float32: whole numbers from 0 to 1, others as they are.

    Raises:
        ValueError: if a value is not finite.
    """
    if values.dtype.kind == "u":
        return torch.from_numpy(values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max))
    if not np.isfinite(values).all():
        raise ValueError("it has values that are not finite")
    return torch.from_numpy(np.array(values, np.float32, order="C"))


def _of_picture(image: Image.Image, channels: int, max_pixels: int) -> Values:
    if channels == 1:
        return _one_band(image)[None]
    frames = getattr(image, "n_frames", 1)
    if frames == channels and len(image.getbands()) == 1:
        pages = []
        for page in ImageSequence.Iterator(image):
            if page.width * page.height > max_pixels:
                raise ValueError(f"a page has more than max_pixels={max_pixels}")
            pages.append(_one_band(page))
        return np.stack(pages)
    if len(image.getbands()) != channels:
        pages_said = f" on each of {frames} pages" if frames > 1 else ""
        raise ValueError(
            f"it has {len(image.getbands())} channel(s){pages_said} ({image.mode}), not {channels}"
        )
    return np.asarray(image).transpose(2, 0, 1)


def _one_band(image: Image.Image) -> Values:
    """(H, W): 8 or 16 bits, or floating point."""
    if image.mode == "F":
        return np.asarray(image)
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.int64)
        if values.min() < 0 or values.max() > 65535:
            raise ValueError("32-bit pixels beyond 0..65535 have no defined white")
        return values.astype(np.uint16)
    return np.asarray(image if image.mode == "L" else to_rgb(image).convert("L"))
