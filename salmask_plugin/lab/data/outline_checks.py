"""What an outline of an object must be, before anything is drawn or allocated from it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from reprlib import repr  # a number of 4,000 digits is said in short
from typing import Any, TypeAlias

from salmask_plugin.lab.data.reading import MAX_PIXELS

Outline: TypeAlias = list[list[float]] | dict[str, Any]
"""Polygons as flat lists x0, y0, x1, y1, ... in pixels, or run lengths {"size", "counts"}."""
LEAST_NUMBERS = 6
MOST_GROUPS = 6
"""Of five bits in one compressed number: 2**30 is more than a picture has pixels."""


def checked_outline(outline: Any, size: tuple[int, int]) -> Outline:
    """Return an outline that fits a picture: run lengths as a list, whatever form they came in.

    Args:
        outline: polygons, or run lengths down the columns, background first, as a list or in COCO's
            compressed form.
        size: (width, height) of the picture in pixels.

    Raises:
        ValueError: if it is neither, a polygon has fewer than three points or a coordinate that is
            no finite number within one picture's size around the picture, or the run lengths do not
            fill exactly this picture.
    """
    if isinstance(outline, dict):
        return _checked_runs(outline, size)
    if not isinstance(outline, list) or not outline:
        raise ValueError("An outline is a list of polygons, or run lengths.")
    for polygon in outline:
        _check_polygon(polygon, size)
    return outline


def is_missing(outline: Any) -> bool:
    """Whether an annotation has no outline: none at all, or an empty list of polygons."""
    return outline is None or (isinstance(outline, list) and not any(outline))


def checked_size(width: Any, height: Any) -> tuple[int, int]:
    """Return an annotated size as whole numbers of pixels.

    Raises:
        ValueError: if it is none that a picture can have.
    """
    for side in (width, height):
        if not is_number(side) or side != int(side) or side < 1:
            raise ValueError(
                f"width={repr(width)}, height={repr(height)} must be whole numbers from 1 on."
            )
    if width * height > MAX_PIXELS:
        raise ValueError(f"{width}x{height} pixels are more than {MAX_PIXELS}.")
    return int(width), int(height)


def is_number(value: Any) -> bool:
    """Whether a value from a file is a finite number."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def area_and_box(
    outline: Outline,
) -> tuple[float, tuple[float, float, float, float]]:
    """Return area and (x, y, width, height) in pixels of a checked outline.

    Polygons that overlap count twice, and polygons of no object's pixels have an area of 0.
    """
    if isinstance(outline, dict):
        return _of_runs(outline)
    area = sum(_shoelace(polygon) for polygon in outline)
    across = [x for polygon in outline for x in polygon[::2]]
    down = [y for polygon in outline for y in polygon[1::2]]
    x, y = min(across), min(down)
    return area, (x, y, max(across) - x, max(down) - y)


def _check_polygon(polygon: Any, size: tuple[int, int]) -> None:
    if not isinstance(polygon, list):
        raise ValueError("A polygon is a list of numbers x, y, x, y, ...")
    if len(polygon) < LEAST_NUMBERS or len(polygon) % 2:
        raise ValueError(f"A polygon has {len(polygon)} numbers; x, y of 3 points or more.")
    for axis, side in enumerate(size):
        for value in polygon[axis::2]:
            # Written so that NaN fails as well.
            if not (is_number(value) and -side <= value <= 2 * side):
                raise ValueError(
                    f"A polygon has the coordinate {repr(value)}; in a picture of "
                    f"{size[0]}x{size[1]} px it must be a number from {-side} to {2 * side}."
                )


def _checked_runs(runs: dict[str, Any], size: tuple[int, int]) -> dict[str, Any]:
    lacking = {"size", "counts"} - set(runs)
    if lacking:
        raise ValueError(f"Run lengths have no {sorted(lacking)[0]!r}.")
    counts = runs["counts"]
    if isinstance(counts, str | bytes):
        counts = _uncompressed(counts)
    if not isinstance(counts, list) or any(type(count) is not int or count < 0 for count in counts):
        raise ValueError("Run lengths must be a list of whole numbers from 0 on.")
    width, height = size
    if runs["size"] != [height, width] or sum(counts) != width * height:
        raise ValueError(
            f"Run lengths of size {repr(runs['size'])} do not fill {height}x{width} px."
        )
    return {"size": [height, width], "counts": counts}


def _uncompressed(text: str | bytes) -> list[int]:
    """Read COCO's compressed form: five bits a sign, lowest first, from the third run as a change.

    A sign is 48 and its value; 32 says that another of the same number follows, and 16 in the last
    one that the number is negative. From the fourth run on each is the difference to the one before
    the last.
    """
    signs = text.encode("ascii", "replace") if isinstance(text, str) else text
    counts: list[int] = []
    number = groups = 0
    for sign in signs:
        value = sign - 48
        if not 0 <= value < 64 or groups >= MOST_GROUPS:
            raise ValueError(f"Compressed run lengths have a wrong sign {chr(sign)!r}.")
        number |= (value & 31) << 5 * groups
        groups += 1
        if value & 32:
            continue
        if value & 16:
            number -= 1 << 5 * groups
        counts.append(number + (counts[-2] if len(counts) > 2 else 0))
        number = groups = 0
    if groups:
        raise ValueError("Compressed run lengths end in the middle of a number.")
    return counts


def _of_runs(runs: dict[str, Any]) -> tuple[float, tuple[float, float, float, float]]:
    height = runs["size"][0]
    area = start = 0
    columns: list[int] = []
    rows: list[int] = []
    for place, count in enumerate(runs["counts"]):
        if place % 2 and count:
            area += count
            last = start + count - 1
            columns += [start // height, last // height]
            # A run that goes on in the next column has been at the bottom and at the top.
            beyond = start // height != last // height
            rows += [0, height - 1] if beyond else [start % height, last % height]
        start += count
    if not area:
        return 0.0, (0.0, 0.0, 0.0, 0.0)
    x, y = min(columns), min(rows)
    return float(area), (float(x), float(y), max(columns) - x + 1.0, max(rows) - y + 1.0)


def _shoelace(polygon: Sequence[float]) -> float:
    across, down = polygon[::2], polygon[1::2]
    crossed = sum(
        across[place - 1] * down[place] - across[place] * down[place - 1]
        for place in range(len(across))
    )
    return abs(crossed) / 2
