"""Object masks that lie in files: a picture per picture, or the alpha channel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmask_plugin.lab.data.channels import RGB
from salmask_plugin.lab.data.folder_walk import SUFFIXES
from salmask_plugin.lab.data.reading import UnreadableImageError, read_as

ALPHA = "alpha"
"""The value of ``masks`` that takes each picture's own alpha channel."""
FULL = (1, 255, 65535)
"""What "all object" may be in a mask of more than 8 bits: the first that no value exceeds is."""
OF_COLOURS = ("RGB", "RGBA", "LA")
"""Modes of a picture that a mask can be saved as and still be grey."""
COLOURED = 32
"""By how much the channels of a grey JPEG may differ."""
BEYOND = 1.01
"""Factor by which resampled fractions may exceed it."""


def mask_files(
    paths: Sequence[Path], root: Path, masks: str | Path, channels: int = RGB.count
) -> list[Path]:
    """Return the mask of every picture: its path below ``root``, below ``masks``, any suffix.

    Args:
        paths: of the pictures, below ``root``.
        root: the pictures' folder.
        masks: the masks' folder; "alpha": the pictures themselves.
        channels: of the pictures.

    Raises:
        ValueError: if there is no such folder, it lies in ``root``, or a picture has no mask or
            more than one, or alpha is one of the channels that are learned from.
    """
    if str(masks) == ALPHA:
        if channels != RGB.count:
            raise ValueError(f"masks=alpha is for RGB pictures, not for {channels} channels.")
        return list(paths)
    folder = Path(masks).expanduser()
    if not folder.is_dir():
        raise ValueError(f"masks='{masks}' must be a folder of mask pictures, or 'alpha'.")
    if folder.resolve().is_relative_to(root.resolve()):
        raise ValueError(
            f"masks='{masks}' lies in '{root}', whose pictures are learned from: put it beside."
        )
    there: dict[Path, dict[str, list[Path]]] = {}
    found: list[Path] = []
    missing: list[Path] = []
    for path in paths:
        place = folder / path.relative_to(root)
        if place.parent not in there:
            there[place.parent] = _by_stem(place.parent)
        candidates = there[place.parent].get(place.stem, [])
        if place in candidates:  # a mask of the very same name is the one, whatever lies beside it
            candidates = [place]
        if len(candidates) > 1:
            names = ", ".join(sorted(other.name for other in candidates))
            raise ValueError(f"'{path}' has several masks in '{place.parent}': {names}.")
        (found if candidates else missing).append(candidates[0] if candidates else path)
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(paths)} pictures have no mask below '{masks}', such as "
            f"'{missing[0].relative_to(root)}'; a mask has the picture's name and a suffix of "
            f"{', '.join(SUFFIXES)}."
        )
    return found


def read_mask(path: Path, *, alpha: bool) -> Image.Image:
    """Return a mask of mode "L", 255 = object.

    Args:
        path: of a mask picture, or of a picture whose alpha channel is the mask.
        alpha: which of the two.

    Raises:
        UnreadableImageError: if the file cannot be read, has no alpha channel, or is a mask in
            colours or with transparent places, of which no grey value says how much object.
    """
    return read_as(path, _alpha_of if alpha else _mask_of, what="mask")


def _alpha_of(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        raise UnreadableImageError(f"it has no alpha channel (mode {image.mode})")
    return image.convert("RGBA").getchannel("A")


def _mask_of(image: Image.Image) -> Image.Image:
    """Grey is how much object, of 8 or 16 bits or a fraction; of 0 and 1 and a palette, 0 is none.

    Never of the mask's own largest value: a mask that is faint throughout would become a full one.
    """
    if image.mode == "P":
        return _binary(np.asarray(image))
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        top = values.max()
        if not (values.min() >= 0 and top <= FULL[-1]):
            raise UnreadableImageError(f"a mask has values from 0 to {FULL[-1]}")
        full = next(full for full in FULL if top <= full * BEYOND)
        return Image.fromarray(np.rint(255 * (values / full).clip(max=1)).astype(np.uint8))
    if image.mode in OF_COLOURS:
        _refuse_colours(image)
    values = np.asarray(image.convert("L"))
    return _binary(values) if values.max() <= 1 else Image.fromarray(values)


def _refuse_colours(image: Image.Image) -> None:
    """Raise UnreadableImageError where grey would not say how much is object."""
    if "A" in image.getbands() and np.asarray(image.getchannel("A")).min() < 255:
        raise UnreadableImageError(
            "a mask has no transparent places; of cut-out pictures data.masks=alpha takes them"
        )
    colours = np.asarray(image.convert("RGB")).astype(np.int16)
    if (colours.max(-1) - colours.min(-1)).max() > COLOURED:
        raise UnreadableImageError(
            "a mask in colours does not say which is the object: save it grey or with a palette"
        )


def _binary(values: NDArray[Any]) -> Image.Image:
    return Image.fromarray(np.where(values > 0, 255, 0).astype(np.uint8))


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        if entry.name[0] != "." and entry.name.lower().endswith(SUFFIXES):
            found.setdefault(entry.stem, []).append(entry)
    return found
