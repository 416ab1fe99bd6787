"""One file -> one RGB picture, the same for every mode, or one clear error."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 89_478_485
"""Largest picture that is decoded: PIL's limit (256 MiB of RGB), an error here, not a warning."""

# What PIL's decoders raise on bytes that are no picture; anything else is a fault of ours.
_DECODING_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    EOFError,
    OverflowError,
    AttributeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


class UnreadableImageError(ValueError):
    """A file cannot be read as a picture; the message names the file and the reason."""


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture as 8-bit RGB, upright.

    The EXIF orientation is applied; transparent places show white; 16-bit grey is scaled by 1/257
    (PIL's own conversion cuts everything above 255 off); CMYK is converted; of several frames the
    first is taken.

    Args:
        path: the file.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        UnreadableImageError: if the file is missing, empty, truncated, no picture, too large, or of
            a kind without a defined white (32-bit integers beyond 65535, floating point).
    """
    try:
        with Image.open(path) as image:
            if image.width * image.height > max_pixels:
                raise UnreadableImageError(
                    f"{image.width}x{image.height} pixels are more than max_pixels={max_pixels}"
                )
            return to_rgb(ImageOps.exif_transpose(image))
    except _DECODING_ERRORS as error:
        raise UnreadableImageError(f"Cannot read the image '{path}': {_reason(error)}.") from error


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a decoded picture of any mode to 8-bit RGB.

    Raises:
        UnreadableImageError: if its values have no defined white.
    """
    if image.mode == "F":
        raise UnreadableImageError("floating-point pixels have no defined white")
    if image.mode.startswith("I"):
        return _from_16_bits(image)
    if image.has_transparency_data:
        colour = image.convert("RGBA")
        white = Image.new("RGBA", colour.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, colour).convert("RGB")
    return image.convert("RGB")


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImageError("32-bit pixels beyond 0..65535 have no defined white")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "empty, or not in a known picture format"
    return str(error).rstrip(".") or type(error).__name__
