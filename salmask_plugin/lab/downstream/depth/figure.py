"""A figure of pictures beside the depth that a network saw in them and the one measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salmask_plugin.lab.results.display import Array
from salmask_plugin.lab.results.drawing import WIDTH, drawing, new_figure, to_png

MAP = "magma"
"""Near is light, far is dark, unknown is grey."""
UNKNOWN = "#bbbbbb"


@dataclass(frozen=True, eq=False)
class DepthScene:
    """One picture with its depths.

    Args:
        image: (H, W, 3) uint8.
        inverse_depth: (h, w) predicted, in any unit.
        truth: (h, w) metres, 0 is unknown.
        words: below the prediction, such as an error.
    """

    image: Array
    inverse_depth: Array
    truth: Array
    words: str = ""


def draw_depths(scenes: Sequence[DepthScene], *, title: str) -> bytes:
    """Return a PNG: per row a picture, its predicted and its measured inverse depth.

    Args:
        scenes: at least one.
        title: above all.

    Raises:
        ValueError: if there is no scene.
    """
    if not scenes:
        raise ValueError("scenes must not be empty.")
    height, width = scenes[0].image.shape[:2]
    panel = WIDTH / 3 * height / width + 0.25
    with drawing():
        figure = new_figure(0.5 + panel * len(scenes), WIDTH)
        rows = figure.subplots(len(scenes), 3, squeeze=False)
        for row, scene in zip(rows, scenes, strict=True):
            for axis in row:
                axis.set_axis_off()
            row[0].imshow(scene.image)
            _draw(row[1], scene.inverse_depth)
            _draw(row[2], _inverse(scene.truth))
            row[1].set_title(f"predicted  {scene.words}", fontsize=8)
            row[2].set_title("measured", fontsize=8)
        figure.suptitle(title, fontsize=11)
        return to_png(figure)


def _draw(axis: Any, inverse: Array) -> None:
    import matplotlib

    known = np.isfinite(inverse)
    low, high = np.percentile(inverse[known], (1, 95)) if known.any() else (0.0, 1.0)
    colours = matplotlib.colormaps[MAP].with_extremes(bad=UNKNOWN)
    masked = np.ma.masked_invalid(inverse)
    axis.imshow(masked, cmap=colours, vmin=low, vmax=high, interpolation="nearest")


def _inverse(truth: Array) -> Array:
    """One over the depth, NaN where unknown; sparse points spread over their neighbourhood."""
    with np.errstate(divide="ignore"):
        inverse = np.where(truth > 0, 1 / truth, np.nan)
    reach = max(truth.shape) // 600  # a laser's points would be too small to see
    if np.isfinite(inverse).mean() > 0.5 or reach < 1:
        return inverse
    spread = np.where(np.isfinite(inverse), inverse, -np.inf)
    for axis in (0, 1):
        shifted = [np.roll(spread, step, axis) for step in range(-reach, reach + 1)]
        spread = np.max(shifted, 0)
    return np.where(np.isfinite(spread), spread, np.nan)
