"""Outlines of objects -> masks, by COCO's own tools; the extra ``detection`` brings them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salmask_plugin.lab.data.outline_checks import Outline, checked_outline


def outline_masks(outlines: Sequence[Outline], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Draw each outline as a mask (N, H, W) of zeros and ones.

    Args:
        outlines: of N objects; run lengths compressed or not.
        size: (width, height) in pixels.

    Raises:
        ValueError: for an outline that is none of a picture of this size, see
            :func:`~salmask_plugin.lab.data.outline_checks.checked_outline`.
        ImportError: without pycocotools.
    """
    checked = [checked_outline(outline, size) for outline in outlines]
    width, height = size
    masks = np.zeros((len(checked), height, width), np.uint8)
    for mask, outline in zip(masks, checked, strict=True):
        if isinstance(outline, dict):
            mask[:] = mask_of_runs(outline)
        else:
            tools = coco_tools("mask")
            mask[:] = decoded(tools.merge(tools.frPyObjects(outline, height, width)))
    return masks


def mask_of_runs(runs: dict[str, Any]) -> NDArray[np.uint8]:
    """Return checked run lengths as a mask (H, W) of zeros and ones."""
    height, width = runs["size"]
    counts = runs["counts"]
    pixels = np.repeat(np.arange(len(counts), dtype=np.int64) % 2, counts).astype(np.uint8)
    return np.ascontiguousarray(pixels.reshape(width, height).T)


def decoded(runs: dict[str, Any]) -> NDArray[np.uint8]:
    """Return run lengths that pycocotools itself has made as a mask (H, W) of zeros and ones."""
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
