"""Whether masks in files fit their pictures, before anything is trained: by the headers alone."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from salmask_plugin.lab.data.array_files import channels_first, is_array
from salmask_plugin.lab.data.files import ImageFiles
from salmask_plugin.lab.data.mask_files import OF_COLOURS
from salmask_plugin.lab.data.reading import FORMATS
from salmask_plugin.lab.data.splits import ImageSubset, LabelledImages

SIDEWAYS = (5, 6, 7, 8)
"""Orientations of EXIF that exchange width and height."""


def check_mask_files(images: LabelledImages) -> None:
    """Look at the mask of every picture, where masks are files; others were made to fit.

    Pictures and masks whose headers leave a doubt are read whole.

    Args:
        images: of one split.

    Raises:
        UnreadableImageError: if a mask cannot be read, has another size than its picture, or there
            is no alpha channel where that is the mask.
    """
    which = list(range(len(images)))
    while isinstance(images, ImageSubset):
        which = [images.indices[index] for index in which]
        images = images.images
    if not isinstance(images, ImageFiles) or images.masks is None:
        return
    files = images

    def check(index: int) -> None:
        if not _surely_fits(files, index):
            files.with_mask(index)

    with ThreadPoolExecutor() as pool:
        list(pool.map(check, which))


def _surely_fits(images: ImageFiles, index: int) -> bool:
    assert images.masks is not None
    picture, mask = images.paths[index], images.masks[index]
    try:
        if mask == picture:
            with Image.open(picture, formats=FORMATS) as image:
                return image.has_transparency_data
        size = _size(picture, images.channels)
        return size is not None and size == _size(mask, 1, doubtful=OF_COLOURS)
    except Exception:  # whatever is wrong with a file, reading it says so in words
        return False


def _size(path: Path, channels: int, doubtful: Sequence[str] = ()) -> tuple[int, int] | None:
    """(width, height) upright, or None if the header does not tell, as of the doubtful modes."""
    if not path.is_file():  # opening a pipe waits for whoever writes to it
        return None
    if is_array(path):
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        plane = array if array.ndim == 2 else channels_first(array, channels)[0]
        return plane.shape[1], plane.shape[0]
    with Image.open(path, formats=FORMATS) as image:
        if image.mode in doubtful:
            return None
        # Of a PNG, which would be decoded for it, only EXIF that stands before the pixels.
        asked = image.format != "PNG" or "exif" in image.info
        turn = image.getexif().get(ExifTags.Base.Orientation, 1) if asked else 1
        if turn in SIDEWAYS and image.format == "TIFF":  # whose size Pillow may have turned
            return None
        return image.size[::-1] if turn in SIDEWAYS else image.size
