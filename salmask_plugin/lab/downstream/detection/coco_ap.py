"""Average precision as COCO defines it, computed by COCO's own code."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from salmask_plugin.lab.data.outlines import coco_tools
from salmask_plugin.lab.downstream.detection.detections import Detections
from salmask_plugin.lab.downstream.detection.instances import Instances

Kind = Literal["bbox", "segm"]
NAMES = ("ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large")
"""The first six of the numbers that COCO's code summarises."""


def coco_average_precision(
    found: Sequence[Detections],
    truth: Sequence[Instances],
    num_classes: int,
    kind: Kind = "bbox",
) -> dict[str, float]:
    """Return AP over thresholds 0.50 to 0.95, AP50, AP75 and AP by size, each a share in [0, 1].

    Args:
        found: of every picture.
        truth: of the same pictures; ignored objects are crowds.
        num_classes: object classes; those without an object enter no mean.
        kind: boxes or masks.

    Returns:
        The six numbers; those by size only where objects of that size exist.

    Raises:
        ValueError: if the pictures differ in number, or masks are asked for and an outline is
            missing or none of its picture.
        ImportError: without pycocotools.

    References:
        https://cocodataset.org/#detection-eval
    """
    if len(found) != len(truth):
        raise ValueError(f"{len(found)} pictures with detections, {len(truth)} with objects.")
    results = _results(found, kind)
    with contextlib.redirect_stdout(io.StringIO()):
        annotated = _annotated(truth, num_classes, kind)
        if not results:
            return dict.fromkeys(NAMES[:3], 0.0)
        evaluation = coco_tools("cocoeval").COCOeval(annotated, annotated.loadRes(results), kind)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    # -1 stands for "no object of this size".
    values = zip(NAMES, evaluation.stats[: len(NAMES)].tolist(), strict=True)
    return {name: value for name, value in values if value >= 0}


def _annotated(truth: Sequence[Instances], num_classes: int, kind: Kind) -> Any:
    """Return the objects in COCO's own structure; image ids are places, category ids from 1."""
    annotations: list[dict[str, Any]] = []
    for image, instances in enumerate(truth):
        # Checked here, for COCO's code checks nothing.
        outlines = instances.checked_outlines() if kind == "segm" else ()
        for place in range(len(instances)):
            entry = {
                "id": len(annotations) + 1,
                "image_id": image,
                "category_id": int(instances.labels[place]) + 1,
                "bbox": _corner_and_size(instances.boxes[place]),
                "area": float(instances.areas[place]),
                "iscrowd": int(instances.ignored[place]),
            }
            if kind == "segm":
                entry["segmentation"] = outlines[place]
            annotations.append(entry)
    data = coco_tools("coco").COCO()
    data.dataset = {
        "info": {},
        "images": [
            {"id": image, "width": instances.size[0], "height": instances.size[1]}
            for image, instances in enumerate(truth)
        ],
        "annotations": annotations,
        "categories": [{"id": label + 1, "name": str(label)} for label in range(num_classes)],
    }
    data.createIndex()
    return data


def _results(found: Sequence[Detections], kind: Kind) -> list[dict[str, Any]]:
    results = []
    for image, detections in enumerate(found):
        if kind == "segm" and detections.masks is None:
            raise ValueError("the detector gave no masks; kind='segm' needs them.")
        for place in range(len(detections)):
            entry: dict[str, Any] = {
                "image_id": image,
                "category_id": int(detections.labels[place]) + 1,
                "score": float(detections.scores[place]),
            }
            if kind == "bbox":
                entry["bbox"] = _corner_and_size(detections.boxes[place])
            else:
                assert detections.masks is not None
                entry["segmentation"] = detections.masks[place]
            results.append(entry)
    return results


def _corner_and_size(box: np.ndarray[Any, Any]) -> list[float]:
    x0, y0, x1, y1 = box.tolist()
    return [x0, y0, x1 - x0, y1 - y0]
