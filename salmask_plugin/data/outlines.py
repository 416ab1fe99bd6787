"""Outlines of objects -> masks, by COCO's own tools; the extra ``detection`` brings them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Outline: TypeAlias = list[list[float]] | dict[str, Any]
"""Polygons as flat lists x0, y0, x1, y1, ... in pixels, or run lengths {"size", "counts"}."""


def outline_masks(outlines: Sequence[Outline], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw each outline as a mask (N, H, W) of zeros and ones.

    Args:
        outlines: of N objects; run lengths compressed or not.
        size: (width, height) in pixels.

    Raises:
        ImportError: without pycocotools.
    """
    width, height = size
    masks = np.zeros((len(outlines), height, width), np.uint8)
    if outlines:
        tools = coco_tools("mask")
        for mask, outline in zip(masks, outlines, strict=True):
            mask[:] = decoded(_one_run(tools, outline, width, height))
    return masks


def decoded(runs: dict[str, Any]) -> NDArray[np.uint8]:
    """Return compressed run lengths as a mask (H, W) of zeros and ones."""
    tools = coco_tools("mask")
    with warnings.catch_warnings():
        # pycocotools hands NumPy 2 an array in a way that NumPy 1 asked for.
        warnings.filterwarnings("ignore", message="__array__ implementation doesn't accept a copy")
        mask: NDArray[np.uint8] = tools.decode(runs)
    return mask


def outline_of(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (H, W) as uncompressed run lengths: down the columns, background first."""
    pixels = mask.T.reshape(-1)
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    counts: list[int] = np.diff([0, *changes, pixels.size]).tolist()
    return {"size": list(mask.shape), "counts": [0, *counts] if pixels[0] else counts}


def coco_tools(name: str) -> Any:
    """Return the module ``pycocotools.NAME``.

    Raises:
        ImportError: saying what to install.
    """
    try:
        import pycocotools.coco
        import pycocotools.cocoeval
        import pycocotools.mask
    except ImportError as error:
        raise ImportError(
            "Masks and COCO's metrics need pycocotools: pip install '.[detection]' in its clone."
        ) from error
    return getattr(pycocotools, name)


def _one_run(tools: Any, outline: Outline, width: int, height: int) -> Any:
    if isinstance(outline, dict):
        if isinstance(outline["counts"], list):
            return tools.frPyObjects(outline, height, width)
        return outline
    return tools.merge(tools.frPyObjects(outline, height, width))
