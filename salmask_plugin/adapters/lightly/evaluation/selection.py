"""The linear classifier's learning rate, chosen without the validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from salmask_plugin.adapters.lightly.evaluation.trainer import in_memory

Fit = Callable[..., tuple[float, ...]]
SPLIT_SEED = 0
"""The same images are held out in every run, so that rows and seeds choose under equal terms."""


def choose_learning_rate(
    fit: Fit,
    features: Tensor,
    labels: Tensor,
    candidates: Sequence[float],
    *,
    batch_size: int,
    held_out: float,
) -> float:
    """Return the candidate with the best last-epoch accuracy on held-out training images.

    Of equal candidates the first wins.

    Args:
        fit: (train loader, val loader, learning_rate=...) -> top-1 after each epoch.
        features: (N, D) of the training images.
        labels: (N,).
        candidates: learning rates, positive.
        batch_size: of the classifier's training.
        held_out: share of every class, 0 < share < 1; at least one image of each.

    Raises:
        ValueError: if a number is out of range, or a class has a single image.
    """
    if not all(rate > 0 for rate in candidates):
        raise ValueError(f"learning_rates={list(candidates)} must all be positive.")
    judged = held_out_places(labels, held_out)
    train = in_memory(features[~judged], labels[~judged], batch_size=batch_size, shuffle=True)
    val = in_memory(features[judged], labels[judged])
    scores = {rate: fit(train, val, learning_rate=rate)[-1] for rate in candidates}
    return max(candidates, key=lambda rate: scores[rate])


def held_out_places(labels: Tensor, share: float) -> Tensor:
    """Return a bool (N,): ``share`` of every class, rounded, at least one image of it.

    Raises:
        ValueError: if the share is not in (0, 1), or would leave a class without images.
    """
    if not 0 < share < 1:
        raise ValueError(f"held_out={share} must be between 0 and 1.")
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    order = torch.rand(len(labels), generator=generator)
    judged = torch.zeros(len(labels), dtype=torch.bool)
    for label in sorted(set(labels.tolist())):
        members = (labels == label).nonzero().flatten()
        count = max(1, round(len(members) * share))
        if count >= len(members):
            raise ValueError(
                f"held_out={share} leaves class {label} without training images: it has "
                f"{len(members)}."
            )
        judged[members[order[members].argsort()[:count]]] = True
    return judged
