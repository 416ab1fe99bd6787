"""The gallery: what the localizer saw and what the encoders were shown, image by image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salmask_plugin.lab.results.display import Array
from salmask_plugin.lab.results.drawing import drawing, new_figure, to_png

_DPI = 150
_OUTLINE = "#ffd92f"


@dataclass(frozen=True, eq=False)
class GalleryRow:
    """One image of a gallery.

    Pictures are (H, W, 3), uint8 or float in [0, 1]; the functions of
    ``display.py`` make them from views. A part that is None stays empty.

    Args:
        image: what the localizer saw: the clean, unfiltered view.
        saliency: (h, w) float, larger = more salient, over the whole of ``image``.
        foreground: (h, w) bool, True = foreground, over the whole of ``image``.
        query: the masked query.
        key: the key.
        negative: the hard negative.
        label: shown beside the row.

    Raises:
        ValueError: if an array has another shape or range.
    """

    image: Array
    saliency: Array | None = None
    foreground: Array | None = None
    query: Array | None = None
    key: Array | None = None
    negative: Array | None = None
    label: str = ""

    def __post_init__(self) -> None:
        for name in ("image", "query", "key", "negative"):
            if getattr(self, name) is not None:
                _require_picture(name, getattr(self, name))
        for name in ("saliency", "foreground"):
            value = getattr(self, name)
            if value is not None and value.ndim != 2:
                raise ValueError(f"{name} has shape {value.shape}; it must be (h, w).")
        if self.foreground is not None and self.foreground.dtype != np.bool_:
            raise ValueError(f"foreground has dtype {self.foreground.dtype}; it must be bool.")


def draw_gallery(
    rows: Sequence[GalleryRow], *, filtered: bool = False, title: str = "", width: int = 1350
) -> bytes:
    """Draw rows of image, saliency, foreground, masked query, key and hard negative.

    A column that no row has is left out.

    Args:
        rows: at least one.
        filtered: whether query, key and negative are contrast-stretched high-pass views; the
            titles say so.
        title: above the figure.
        width: of the PNG in pixels, at least 400.

    Returns:
        A PNG of exactly ``width`` pixels.

    Raises:
        ValueError: if there is no row, or the width is too small.
    """
    if not rows:
        raise ValueError("rows is empty; a gallery needs at least one image.")
    if width < 400:
        raise ValueError(f"width={width} must be at least 400 pixels.")
    names = [name for name in _TITLES if any(getattr(row, name) is not None for row in rows)]
    left = 0.3 if any(row.label for row in rows) else 0.04
    titles = [_TITLES[name] + (_STRETCHED if filtered and name in _VIEWS else "") for name in names]
    lines = max(text.count("\n") for text in titles) + 1
    gap, top = 0.06, 0.1 + 0.135 * lines + (0.3 if title else 0)
    inches = width / _DPI
    side = (inches - left - 0.04 - gap * (len(names) - 1)) / len(names)
    # The tallest picture of a row decides its height, so that no column is cropped.
    heights = [side * max(_tallness(row, name) for name in names) for row in rows]
    height = top + sum(heights) + gap * len(rows)
    with drawing():
        figure = new_figure(height, inches, constrained=False)
        if title:
            figure.text(
                0.5,
                1 - 0.1 / height,
                _drawable(title),
                ha="center",
                va="top",
                fontsize=11,
                parse_math=False,
            )
        bottom = height - top
        for index, (row, row_height) in enumerate(zip(rows, heights, strict=True)):
            bottom -= row_height
            figure.text(
                0.1 / inches,
                (bottom + row_height / 2) / height,
                _shortened(row.label, row_height),
                rotation=90,
                ha="center",
                va="center",
                fontsize=7,
                parse_math=False,
            )
            for place, name in enumerate(names):
                x = left + place * (side + gap)
                box = (x / inches, bottom / height, side / inches, row_height / height)
                axis = figure.add_axes(box)
                axis.set_axis_off()
                _draw(axis, row, name)
                if index == 0:
                    middle, above = (x + side / 2) / inches, 1 - (top - 0.05) / height
                    figure.text(middle, above, titles[place], ha="center", va="bottom", fontsize=8)
            bottom -= gap
        return to_png(figure)


_TITLES = {
    "image": "image",
    "saliency": "saliency\n(bright = salient)",
    "foreground": "foreground",
    "query": "masked query",
    "key": "key",
    "negative": "hard negative",
}
_VIEWS = ("query", "key", "negative")
_STRETCHED = "\n(high-pass,\ncontrast stretched)"


def _draw(axis: Any, row: GalleryRow, name: str) -> None:
    value = getattr(row, name)
    if value is None:
        axis.text(0.5, 0.5, "–", ha="center", va="center", transform=axis.transAxes)  # noqa: RUF001
        return
    if name == "saliency":
        axis.imshow(_grey(row.image) * 0.8)
        high, wide = row.image.shape[:2]
        extent = (-0.5, wide - 0.5, high - 0.5, -0.5)
        axis.imshow(
            _stretched(value), cmap="inferno", alpha=0.65, extent=extent, interpolation="bilinear"
        )
    elif name == "foreground":
        mask = _enlarged(value, row.image.shape[:2])
        axis.imshow(np.where(mask[..., None], _floats(row.image), 0.3 * _grey(row.image)))
        if mask.any() and not mask.all():
            axis.contour(mask.astype(float), levels=[0.5], colors=_OUTLINE, linewidths=1)
    else:
        axis.imshow(value)


def _tallness(row: GalleryRow, name: str) -> float:
    source = "image" if name in ("saliency", "foreground") else name
    picture = getattr(row, source)
    return 0.0 if picture is None else picture.shape[0] / picture.shape[1]


def _enlarged(mask: Array, size: tuple[int, int]) -> Array:
    """(h, w) cells to (H, W) pixels by nearest neighbour, as the masks themselves are enlarged."""
    rows = np.arange(size[0]) * mask.shape[0] // size[0]
    columns = np.arange(size[1]) * mask.shape[1] // size[1]
    enlarged: Array = mask[rows][:, columns]
    return enlarged


def _stretched(saliency: Array) -> Array:
    low, high = float(saliency.min()), float(saliency.max())
    # A constant map has no bright place: it is shown evenly dark.
    return (saliency - low) / (high - low) if high > low else np.zeros(saliency.shape)


def _floats(picture: Array) -> Array:
    return picture / 255.0 if picture.dtype == np.uint8 else picture.astype(float)


def _grey(picture: Array) -> Array:
    weights = np.array([0.299, 0.587, 0.114])
    return np.repeat((_floats(picture) @ weights)[..., None], 3, axis=2)


def _drawable(text: str) -> str:
    """Write what no font has as escapes: bytes of names that are not UTF-8, and line ends."""
    return "".join(
        sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text
    )


def _shortened(label: str, height: float) -> str:
    """Keep the ends of a label that is longer than its row is tall (7 pt: 17 signs an inch)."""
    label = _drawable(label)
    room = max(5, int(height * 17))
    half = (room - 1) // 2
    return label if len(label) <= room else f"{label[:half]}…{label[-half:]}"


def _require_picture(name: str, picture: Array) -> None:
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(f"{name} has shape {picture.shape}; it must be (H, W, 3).")
    if picture.dtype == np.uint8:
        return
    if not np.issubdtype(picture.dtype, np.floating):
        raise ValueError(f"{name} has dtype {picture.dtype}; it must be uint8 or floating point.")
    # Written so that NaN fails as well.
    if not (picture.min() >= 0 and picture.max() <= 1):
        raise ValueError(
            f"{name} lies in [{picture.min()}, {picture.max()}]; floats must be in [0, 1]. "
            "display_view makes a picture of a normalised view."
        )
