"""Accuracy in which every class weighs the same."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_per_class(predicted: Tensor, labels: Tensor) -> float:
    """Return the mean over classes of the share of a class's images that are predicted right.

    Classes without an image do not count; where all have equally many, it is the top-1 accuracy.

    Args:
        predicted: (N,) class indices.
        labels: (N,) class indices.

    Raises:
        ValueError: if there is no image, or the shapes differ.
    """
    if predicted.shape != labels.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"predicted {tuple(predicted.shape)} and labels {tuple(labels.shape)} must be (N,), "
            "N at least 1."
        )
    images = torch.bincount(labels)
    right = torch.bincount(labels[predicted == labels], minlength=len(images))
    present = images > 0
    return float((right[present].double() / images[present]).mean())
