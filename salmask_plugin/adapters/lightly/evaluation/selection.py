"""The linear classifier's learning rate, chosen without the validation images."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from salmask_plugin.adapters.lightly.evaluation.held_out import held_out_places
from salmask_plugin.adapters.lightly.evaluation.trainer import in_memory
from salmask_plugin.checks import numbers

Fit = Callable[..., tuple[float, ...]]


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
    numbers(candidates, "learning_rates", above=0)
    judged = held_out_places(labels, held_out)
    train = in_memory(features[~judged], labels[~judged], batch_size=batch_size, shuffle=True)
    val = in_memory(features[judged], labels[judged])
    scores = {rate: fit(train, val, learning_rate=rate)[-1] for rate in candidates}
    return max(candidates, key=lambda rate: scores[rate])
