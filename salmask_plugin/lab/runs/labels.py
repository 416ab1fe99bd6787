"""Whether a data set has the labels that evaluations need."""

from __future__ import annotations

from salmask_plugin.lab.data import ImageSplits
from salmask_plugin.lab.errors import UserError


def checked_splits(splits: ImageSplits) -> ImageSplits:
    """Return the splits as they are.

    Raises:
        UserError: if there are no labels, or only one class.
    """
    if splits.unlabelled:
        raise UserError(
            f"data {splits.name} has no labels, which every classification needs "
            f"({splits.unlabelled.rstrip('.')}); `salmask embed` shows an encoder without any."
        )
    if len(splits.classes) < 2:
        raise UserError(
            f"data {splits.name} has one class ({splits.classes[0]}); kNN and linear evaluation "
            "need at least two."
        )
    return splits
