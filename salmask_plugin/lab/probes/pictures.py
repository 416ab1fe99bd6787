"""The data of a classification task."""

from __future__ import annotations

import json
from collections import Counter
from functools import lru_cache
from typing import Any

from salmask_plugin.lab.data import ImageSplits, evaluation_loaders, labelled_share
from salmask_plugin.lab.runs.build import checked_splits
from salmask_plugin.lab.runs.node import build
from salmask_plugin.lab.settings.evaluation_request import EvaluationRequest

SHARE = "label_share"
"""A setting of a task that its function does not take itself."""


def splits_of(request: EvaluationRequest) -> ImageSplits:
    """Return the data of a task, with the share of labels that it may use.

    Raises:
        ValueError: for a split without images, a label without a class, or a share out of range.
    """
    return labelled_share(checked_data(request.data), request.options.get(SHARE, 1.0))


def checked_data(node: dict[str, Any], *, labelled: bool = True) -> ImageSplits:
    """Return the data set of a configuration node; the newest few are kept.

    Args:
        node: of the data set.
        labelled: whether labels are needed.

    Raises:
        ValueError: for a split without images, a label without a class, or no labels at all where
            they are needed.
    """
    splits = _built(json.dumps(node))
    return splits if splits.unlabelled and not labelled else checked_splits(splits)


@lru_cache(maxsize=4)
def _built(node: str) -> ImageSplits:
    splits = build(json.loads(node), ImageSplits)
    if splits.unlabelled:
        return splits
    for name, images in (("training", splits.train), ("validation", splits.val)):
        if not len(images):
            raise ValueError(f"{splits.name} has no {name} images.")
        strange = sorted(set(Counter(images.labels)) - set(range(len(splits.classes))))
        if strange:
            raise ValueError(
                f"{splits.name} has {name} images of class {strange[0]}; its {len(splits.classes)} "
                "classes count from 0."
            )
    return splits


def whole_pictures(request: EvaluationRequest, splits: ImageSplits) -> tuple[Any, Any]:
    """Return loaders of training and validation images, not augmented, in order."""
    return evaluation_loaders(
        splits,
        view_size=request.settings.view_size,
        workers=request.settings.workers,
    )
