"""Which axes of a tensor are those of places, through functions that move or drop axes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

Axes = tuple[int, int]
"""The axes of rows and of columns; (2, 3) in maps (B, C, h, w)."""
MAPS: Axes = (2, 3)

ROW = 1 << 20
"""Stride of the rows in a probe: no other than that of columns, so that they never merge."""


def tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    """Yield the tensors among arguments or results, those in lists too."""
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, list | tuple):
            yield from tensors(value)


def through_a_view(
    function: Callable[..., Any], maps: Tensor, axes: Axes, *rest: Any, **named: Any
) -> list[Axes] | None:
    """Return the axes of places in what a function makes that only moves values.

    The function is asked what it does to a tensor without values, whose strides are zero but along
    the places. Whatever it is called and given: where rows and columns are still axes of their own,
    and whole, they have their strides.

    Args:
        function: such as ``torch.Tensor.view``.
        maps: its first argument.
        axes: of ``maps``.
        rest: its other arguments.
        named: likewise.

    Returns:
        The axes of each result, or None if the places, or the images of a batch, are mixed or cut.
    """
    strides = [0] * maps.ndim
    strides[axes[0]], strides[axes[1]] = ROW, 1
    probe = torch.empty_strided(maps.shape, strides, dtype=maps.dtype, device="meta")
    try:
        parts = list(tensors([function(probe, *rest, **named)]))
    except RuntimeError:  # no view of the probe
        return None
    found = [_places_in(part, *(maps.shape[axis] for axis in axes)) for part in parts]
    whole = all(
        len(part) == len(maps) or part.numel() == maps.numel() for part in parts if part.ndim
    )
    known = [axes for axes in found if axes is not None]
    return known if whole and len(known) == len(parts) else None


def after_dropping(axes: Axes, dropped: Collection[int], found: Tensor, rank: int) -> Axes:
    """Return the axes of places where a function took ``dropped`` axes of ``rank`` together."""
    if found.ndim == rank:
        return axes
    row, column = (axis - sum(gone < axis for gone in dropped) for axis in axes)
    return row, column


def from_the_end(axes: Axes, rank: int, other: int) -> Axes:
    """Return the axes in a tensor of ``other`` axes, to which one of ``rank`` was broadcast."""
    return axes[0] + other - rank, axes[1] + other - rank


def _places_in(part: Tensor, height: int, width: int) -> Axes | None:
    moving = {axis for axis in range(part.ndim) if part.shape[axis] > 1 and part.stride(axis)}
    found: list[int] = []
    for size, stride in ((height, ROW), (width, 1)):
        if size > 1:
            found += [a for a in moving if (part.shape[a], part.stride(a)) == (size, stride)]
    if len(found) != len(moving) or len(found) != (height > 1) + (width > 1):
        return None
    if len(found) == 1:  # an axis of one place has no stride: any other of size 1 is it
        ones = [axis for axis in range(part.ndim) if part.shape[axis] == 1]
        if not ones:
            return None
        one = min(ones, key=lambda axis: (abs(axis - found[0]), axis))
        return (one, found[0]) if height == 1 else (found[0], one)
    return found[0], found[1]
