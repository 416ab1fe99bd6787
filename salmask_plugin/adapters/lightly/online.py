"""lightly's online linear classifier, on features that compare with the baseline's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightly.utils.benchmarking import OnlineLinearClassifier
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.views import StepMasking, views_of
from salmask_plugin.running_statistics import frozen_running_statistics


def online_classifier(feature_dim: int, num_classes: int | None) -> OnlineLinearClassifier | None:
    """Return the classifier, or None without classes."""
    if num_classes is None:
        return None
    return OnlineLinearClassifier(
        feature_dim=feature_dim, num_classes=num_classes, topk=topk_for(num_classes)
    )


def topk_for(num_classes: int) -> tuple[int, ...]:
    """Return (1, 5), or (1,) with fewer than five classes, where lightly would fail."""
    return (1, 5) if num_classes >= 5 else (1,)


@torch.no_grad()
def online_features(backbone: nn.Module, masking: StepMasking, batch: Sequence[Any]) -> Tensor:
    """Features (B, feature_dim) of the clean, filtered query view.

    A classifier trained on masked features would be worse for reasons that are not the backbone's.
    """
    images = masking.filtered(views_of(batch)[masking.query_index])
    with frozen_running_statistics(backbone):
        features: Tensor = backbone(images).flatten(1)
    return features
