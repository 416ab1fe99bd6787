"""The embedding as a picture: every picture where its features put it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmask_plugin.lab.data import LabelledImages
from salmask_plugin.lab.results.drawing import BASELINE_COLOUR, PALETTE, drawing, new_figure, to_png
from salmask_plugin.lab.results.escaping import shown

SIDE = 9.0
"""Inches of the picture."""
THUMBNAIL = 84
"""Pixels of a thumbnail's side, of 1,350 of the whole."""
APART = 0.068
"""Share of the axes' length that centres of thumbnails are apart, so that none hides another."""
REACH = 1.5
"""How far beyond a quartile an axis goes, in distances of the two quartiles."""


def thumbnail(image: Image.Image, side: int = THUMBNAIL) -> NDArray[np.uint8]:
    """Return the middle of a picture as (side, side, 3)."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    square = image.crop((left, top, left + edge, top + edge))
    return np.asarray(square.resize((side, side), Image.Resampling.LANCZOS))


def draw_embedding(
    images: LabelledImages, names: Sequence[str], points: NDArray[Any], title: str
) -> bytes:
    """Return a PNG with thumbnails where there is room, and a dot for every other picture.

    Where the pictures lie in two to six folders, a colour says in which: they need not be classes.

    Args:
        images: N pictures.
        names: of their files, relative to one folder.
        points: (N, 2).
        title: above the picture.
    """
    places, outside = in_unit_square(points)
    if outside.any():
        title += f"\n{outside.sum():,} far from all others, drawn at the edge"
    colours, folders = _colours(names)
    chosen = spread_out(places)
    with drawing():
        figure = new_figure(SIDE, SIDE)
        axes = figure.subplots()
        axes.scatter(*places.T, s=14, c=colours, linewidths=0)
        for index in chosen:
            _put(axes, thumbnail(images[index][0]), places[index], colours[index])
        for name, colour in folders.items():
            axes.scatter([], [], s=60, c=colour, marker="s", label=shown(name))
        if folders:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.01), ncols=3)
        axes.set(xlim=(-0.05, 1.05), ylim=(-0.05, 1.05), xticks=[], yticks=[], title=title)
        axes.grid(visible=False)
        return to_png(figure)


def spread_out(places: NDArray[Any]) -> list[int]:
    """Choose points (N, 2) of the unit square, each ``APART`` from all chosen before it."""
    chosen: list[int] = []
    for index in np.random.default_rng(0).permutation(len(places)).tolist():
        gaps = np.abs(places[chosen] - places[index]).max(1)
        if (gaps >= APART).all():
            chosen.append(index)
    return sorted(chosen)


def in_unit_square(points: NDArray[Any]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return points (N, 2) moved into the unit square, and (N,) which of them are far out.

    A few points far from all others would leave the rest one heap. So an axis ends at the last
    point that lies within ``REACH`` times the quartiles' distance beyond a quartile, as the
    whiskers of a box plot do; points beyond are put on the edge.
    """
    values = points.astype(np.float64)
    first, third = np.quantile(values, (0.25, 0.75), axis=0)
    reach = REACH * (third - first)
    inside = (values >= first - reach) & (values <= third + reach)
    low = np.where(inside, values, np.inf).min(0)
    high = np.where(inside, values, -np.inf).max(0)
    size = high - low
    unit = (values.clip(low, high) - low) / np.where(size > 0, size, 1)
    return np.where(size > 0, unit, 0.5), ~inside.all(1)


def _colours(names: Sequence[str]) -> tuple[list[str], dict[str, str]]:
    folders = [str(PurePosixPath(name).parent) for name in names]
    kinds = sorted(set(folders))
    if not 2 <= len(kinds) <= len(PALETTE):
        return [BASELINE_COLOUR] * len(names), {}
    known = dict(zip(kinds, PALETTE, strict=False))
    return [known[folder] for folder in folders], known


def _put(axes: Any, picture: NDArray[np.uint8], place: NDArray[Any], colour: str) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    # One pixel of the thumbnail is one of the figure: 72 points are an inch.
    box = AnnotationBbox(
        OffsetImage(picture, zoom=72 / axes.figure.dpi),
        tuple(place),
        pad=0.12,
        bboxprops={"edgecolor": colour, "linewidth": 1.5},
    )
    axes.add_artist(box)
