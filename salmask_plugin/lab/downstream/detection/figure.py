"""A figure of a few test pictures: what is annotated and what a detector found, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from salmask_plugin.lab.data.outlines import decoded, outline_masks
from salmask_plugin.lab.downstream.detection import Detections
from salmask_plugin.lab.downstream.detection.instances import InstanceSplits
from salmask_plugin.lab.results.display import Array
from salmask_plugin.lab.results.drawing import PALETTE, WIDTH, drawing, new_figure, to_png
from salmask_plugin.lab.results.store import write_atomically

ANNOTATED = "#ffffff"
OPACITY = 0.35
COLUMNS = 4
PICTURES = 6
SHOWN_SCORE = 0.5
AT_LEAST = 2
"""So many boxes are shown whatever their score: an early detector is sure of nothing."""


@dataclass(frozen=True, eq=False)
class Scene:
    """One picture with its objects.

    Args:
        image: (H, W, 3) uint8.
        boxes: (N, 4) x0, y0, x1, y1 in pixels.
        names: of the N objects, the score included where there is one.
        colours: N places in the palette, one per class.
        masks: (N, H, W) bool, or None.
    """

    image: Array
    boxes: Array
    names: Sequence[str]
    colours: Sequence[int]
    masks: Array | None = None

    def __post_init__(self) -> None:
        if not len(self.boxes) == len(self.names) == len(self.colours):
            raise ValueError(
                f"{len(self.boxes)} boxes, {len(self.names)} names and {len(self.colours)} colours."
            )


def write_picture(
    path: Path, found: dict[int, Detections], splits: InstanceSplits, *, title: str
) -> None:
    """Draw test pictures spread over the split; boxes above a score of 0.5, and the best two."""
    count = len(splits.val)
    chosen = dict.fromkeys(place * count // PICTURES for place in range(PICTURES))
    pairs = [
        (
            _annotated(splits, index, masks=found[index].masks is not None),
            _found(splits, index, found[index]),
        )
        for index in chosen
    ]
    write_atomically(path, draw_detections(pairs, title=title))


def _annotated(splits: InstanceSplits, index: int, *, masks: bool) -> Scene:
    instances = splits.val.instances[index]
    image = np.asarray(splits.val[index])  # first, for it proves the annotated size
    drawn = None
    if masks and instances.outlines is not None:
        drawn = outline_masks(instances.outlines, instances.size).astype(bool)
    names = [
        splits.classes[label] + (" (ignored)" if ignored else "")
        for label, ignored in zip(instances.labels, instances.ignored, strict=True)
    ]
    return Scene(image, instances.boxes, names, instances.labels.tolist(), drawn)


def _found(splits: InstanceSplits, index: int, found: Detections) -> Scene:
    order = np.argsort(-found.scores, kind="stable")
    shown = max(AT_LEAST, int((found.scores > SHOWN_SCORE).sum()))
    keep = order[:shown]
    masks = None
    if found.masks is not None and len(keep):
        chosen = [found.masks[place] for place in keep]
        masks = np.stack([decoded(mask) for mask in chosen]).astype(bool)
    names = [
        f"{splits.classes[label]} {score:.2f}"
        for label, score in zip(found.labels[keep], found.scores[keep], strict=True)
    ]
    image = np.asarray(splits.val[index])
    return Scene(image, found.boxes[keep], names, found.labels[keep].tolist(), masks)


def draw_detections(pairs: Sequence[tuple[Scene, Scene]], *, title: str) -> bytes:
    """Return a PNG: per picture what is annotated, and what was found.

    Args:
        pairs: (annotated, found), at least one.
        title: above all.

    Raises:
        ValueError: if there is no pair.
    """
    if not pairs:
        raise ValueError("pairs must not be empty.")
    rows = -(-2 * len(pairs) // COLUMNS)
    with drawing():
        figure = new_figure(0.6 + 2.3 * rows, WIDTH)
        axes = figure.subplots(rows, COLUMNS, squeeze=False).flat
        panels = [
            (scene, words)
            for pair in pairs
            for scene, words in zip(pair, ("annotated", "found"), strict=True)
        ]
        for place, axis in enumerate(axes):
            axis.set_axis_off()
            if place < len(panels):
                _draw(axis, *panels[place])
        figure.suptitle(title, fontsize=11)
        return to_png(figure)


def _draw(axis: Any, scene: Scene, words: str) -> None:
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Rectangle

    picture = np.asarray(scene.image, float) / 255
    if scene.masks is not None:
        for mask, colour in zip(scene.masks, scene.colours, strict=True):
            tint = np.array(to_rgb(_colour(colour)))
            picture[mask] = (1 - OPACITY) * picture[mask] + OPACITY * tint
    axis.imshow(picture)
    axis.set_title(f"{words}: {len(scene.boxes)}", fontsize=8)
    for box, name, place in zip(scene.boxes, scene.names, scene.colours, strict=True):
        x0, y0, x1, y1 = box
        paint = _colour(place)
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, lw=1.2, ec=paint))
        style = {"facecolor": paint, "edgecolor": "none", "pad": 0.6, "alpha": 0.85}
        axis.text(x0, y0, name, fontsize=5.5, color=ANNOTATED, va="bottom", bbox=style)


def _colour(place: int) -> str:
    return PALETTE[place % len(PALETTE)]
