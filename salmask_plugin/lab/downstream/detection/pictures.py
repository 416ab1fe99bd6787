"""The figure of a few test pictures, from detections and annotations."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from salmask_plugin.lab.data.outlines import decoded, outline_masks
from salmask_plugin.lab.downstream.detection import Detections
from salmask_plugin.lab.downstream.detection.figure import Scene, draw_detections
from salmask_plugin.lab.downstream.detection.instances import InstanceSplits
from salmask_plugin.lab.results.store import write_atomically

PICTURES = 6
SHOWN_SCORE = 0.5
AT_LEAST = 2
"""So many boxes are shown whatever their score: an early detector is sure of nothing."""


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
