"""One file -> one RGB picture, the same for every mode, or one clear error."""

from __future__ import annotations

import errno
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from salmask_plugin.lab.data.array_files import is_array, load_array, picture_of
from salmask_plugin.lab.data.text_files import shown

Read = TypeVar("Read")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""The formats that are decoded, whatever the file is called; PPM includes PGM and PBM.

Everything else that PIL knows is no picture here: EPS, for one, is a program that Ghostscript runs.
"""
CANNOT_READ = "Cannot read the image"
"""How an error about a picture begins; one about its mask does not."""
MAX_PIXELS = 89_478_485
"""Largest picture that is decoded: PIL's limit (256 MiB of RGB), an error here, not a warning."""

_KINDS = {
    stat.S_IFDIR: "Is a directory",
    stat.S_IFIFO: "a named pipe, not a file",
    stat.S_IFSOCK: "a socket, not a file",
    stat.S_IFCHR: "a device, not a file",
    stat.S_IFBLK: "a device, not a file",
}
_MACHINE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class UnreadableImageError(ValueError):
    """A file cannot be read as a picture; the message names the file and the reason."""


def read_image(path: Path | str, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """Read a picture of one of :data:`FORMATS`, or an array (``.npy``), as 8-bit RGB, upright.

    The EXIF orientation is applied; EXIF that cannot be read says none. Transparent places show
    white; 16-bit grey is scaled by 1/257 (PIL's own conversion cuts everything above 255 off);
    CMYK is converted; of several frames the first is taken.

    Args:
        path: the file.
        max_pixels: larger pictures are refused before they are decoded.

    Raises:
        UnreadableImageError: if the file is missing, empty, truncated, damaged, no regular file, no
            picture in a known format, too large, or of a kind without a defined white (32-bit
            integers beyond 65535, floating point).
    """
    return read_as(path, to_rgb, max_pixels)


def read_as(
    path: Path | str,
    convert: Callable[[Image.Image], Read],
    max_pixels: int = MAX_PIXELS,
    of_array: Callable[[Any], Read] | None = None,
    what: str = "image",
) -> Read:
    """Read a picture as :func:`read_image` does, upright, and convert what was decoded.

    Args:
        path: the file.
        convert: of the picture.
        max_pixels: larger pictures are refused before they are decoded.
        of_array: of an array as :func:`load_array` gives it; None: it becomes a picture first.
        what: the file is, for the error.

    Raises:
        UnreadableImageError: as there, or with what ``convert`` raises.
    """
    try:
        kind = stat.S_IFMT(Path(path).stat().st_mode)
        # Asked first: opening a pipe waits for whoever writes to it.
        if kind != stat.S_IFREG:
            raise UnreadableImageError(_KINDS.get(kind, "no regular file"))
        if is_array(path):
            array = load_array(path, max_pixels)
            return convert(picture_of(array)) if of_array is None else of_array(array)
        with Image.open(path, formats=FORMATS) as image:
            if image.width * image.height > max_pixels:
                raise UnreadableImageError(
                    f"{image.width}x{image.height} pixels are more than max_pixels={max_pixels}"
                )
            image.load()
            return convert(_upright(image))
    except Exception as error:
        if not _is_of_the_file(error):
            raise
        raise UnreadableImageError(
            f"Cannot read the {what} '{shown(str(path))}': {_reason(error)}."
        ) from error


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


def _upright(image: Image.Image) -> Image.Image:
    """Turn a loaded picture as its EXIF says; the rest of the EXIF block is not looked at."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:
        # The pixels are sound, and a block that cannot be read names no orientation.
        if not _is_of_the_file(error):
            raise
        turn = None
    return image if turn is None else image.transpose(turn)


def _from_16_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UnreadableImageError("32-bit pixels beyond 0..65535 have no defined white")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _is_of_the_file(error: Exception) -> bool:
    """Whether the bytes are to blame: PIL's decoders raise errors of nearly every class.

    A machine out of memory or file handles is not, and torch may say in the middle of anything that
    a worker process of a loader has died.
    """
    if isinstance(error, RuntimeError) and "DataLoader" in str(error):
        return False
    if isinstance(error, OSError) and error.errno in _MACHINE:
        return False
    return not isinstance(error, MemoryError)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return f"empty, or not in a known picture format ({', '.join(FORMATS)})"
    return str(error).rstrip(".") or type(error).__name__
