"""Average precision as Pascal VOC defines it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from salmask_plugin.checks import check_choice
from salmask_plugin.lab.downstream.detection.detections import Detections
from salmask_plugin.lab.downstream.detection.instances import Instances

Rule = Literal["11-point", "area"]
THRESHOLDS = tuple(round(0.5 + 0.05 * place, 2) for place in range(10))
_EPSILON = 1e-9  # of an area, where neither box has one

Array = NDArray[np.float64]


def voc_average_precision(
    found: Sequence[Detections],
    truth: Sequence[Instances],
    num_classes: int,
    rule: Rule = "11-point",
    thresholds: Sequence[float] = THRESHOLDS,
) -> dict[float, float]:
    """Return intersection-over-union threshold -> mean over classes of the average precision.

    Per class all detections are taken by falling score. One is right if the object it overlaps most
    is overlapped by more than the threshold and not taken yet; it is left out where that object is
    ignored, and wrong otherwise. The curve has a point for every threshold on the score, so that
    the order of equal scores does not matter. Classes without a counted object have no precision
    and enter no mean.

    Args:
        found: of every picture.
        truth: of the same pictures.
        num_classes: object classes.
        rule: "11-point", the mean of the best precisions from recall 0, 0.1, ... 1 on (VOC2007), or
            "area", the area below the falling envelope (VOC2010 on).
        thresholds: each in (0, 1).

    Raises:
        ValueError: if the pictures differ in number, the rule is unknown, or there is no object.

    References:
        Everingham et al. 2010, https://doi.org/10.1007/s11263-009-0275-4, section 4.2.
    """
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} pictures with detections, {len(truth)} with objects.")
    check_choice(rule, "rule", Rule)
    table = [_of_class(label, found, truth, rule, thresholds) for label in range(num_classes)]
    counted = [row for row in table if row is not None]
    if not counted:
        raise ValueError("No class has an object to be found.")
    return dict(zip(thresholds, np.mean(counted, axis=0).tolist(), strict=True))


def _of_class(
    label: int,
    found: Sequence[Detections],
    truth: Sequence[Instances],
    rule: Rule,
    thresholds: Sequence[float],
) -> list[float] | None:
    scores, overlaps, places, skips = [], [], [], []
    objects = first = 0
    for detections, instances in zip(found, truth, strict=True):
        mine, there = detections.labels == label, instances.labels == label
        ignored = instances.ignored[there]
        objects += int((~ignored).sum())
        table = _overlaps(detections.boxes[mine], instances.boxes[there])
        best = table.argmax(1) if table.shape[1] else np.zeros(len(table), np.int64)
        scores.append(detections.scores[mine])
        overlaps.append(table.max(1) if table.shape[1] else np.zeros(len(table)))
        places.append(first + best)
        skips.append(ignored[best] if table.shape[1] else np.zeros(len(table), bool))
        first += int(there.sum())
    if not objects:
        return None
    order = np.argsort(-np.concatenate(scores), kind="stable")
    score, overlap, place, skip = (
        np.concatenate(part)[order] for part in (scores, overlaps, places, skips)
    )
    return [_precision(score, overlap > limit, place, skip, objects, rule) for limit in thresholds]


def _precision(
    score: Array,
    hit: NDArray[np.bool_],
    place: NDArray[np.int64],
    skip: NDArray[np.bool_],
    objects: int,
    rule: Rule,
) -> float:
    right = np.zeros(len(hit), bool)
    hits = np.flatnonzero(hit & ~skip)
    # The first hit of every object, in the order of scores.
    right[hits[np.unique(place[hits], return_index=True)[1]]] = True
    counted = ~(hit & skip)
    last = np.diff(score[counted], append=-np.inf) != 0  # of its score
    rights = np.cumsum(right[counted])[last]
    recall = rights / objects
    precision = rights / (np.flatnonzero(last) + 1)
    # The best precision from each recall on.
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    if rule == "11-point":
        # Quotients, which are rounded alike where they are equal: 3 of 30 objects reach 1 / 10.
        points = np.searchsorted(recall, np.arange(11) / 10)
        return float(np.append(envelope, 0.0)[points].mean())
    steps = np.diff(recall, prepend=0.0)
    return float((steps * envelope).sum())


def _overlaps(boxes: Array, others: Array) -> Array:
    """(N, M) intersection over union."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = np.clip(high - low, 0, None).prod(2)
    areas = [(part[:, 2:] - part[:, :2]).prod(1) for part in (boxes, others)]
    overlaps: Array = common / np.maximum(areas[0][:, None] + areas[1][None] - common, _EPSILON)
    return overlaps
