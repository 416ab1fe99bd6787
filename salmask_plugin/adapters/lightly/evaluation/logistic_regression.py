"""A linear probe without a schedule: logistic regression on standardised features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from salmask_plugin.adapters.lightly.evaluation.held_out import held_out_places
from salmask_plugin.checks import number, numbers

WEIGHT_DECAYS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
"""Candidates, from nearly none to nearly a nearest-mean classifier."""
LARGEST = 1e6
"""Weight decay at which every weight is 0; single precision ends far above it."""
STEPS = 200
"""L-BFGS steps at the most; the loss has come to rest well before on features of one encoder."""


@dataclass(frozen=True)
class LogisticProbe:
    """A fitted classifier.

    Attributes:
        mean: (D,) of the training features.
        scale: (D,) of the training features, their standard deviation.
        weight: (classes, D), on standardised features.
        bias: (classes,).
        weight_decay: it was fitted with.
    """

    mean: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    weight_decay: float

    def __call__(self, features: Tensor) -> Tensor:
        """Return the logits (N, classes) of features (N, D)."""
        return F.linear((features - self.mean) / self.scale, self.weight, self.bias)


def fit_logistic(
    features: Tensor, labels: Tensor, *, num_classes: int, weight_decay: float
) -> LogisticProbe:
    """Minimise mean cross-entropy + weight_decay / 2 * ||weight||^2 by L-BFGS.

    The problem is convex: there is no seed, no rate and no schedule. Features are standardised by
    the training features' own mean and deviation; one that never varies is left out.

    Args:
        features: (N, D) float32.
        labels: (N,) in [0, num_classes).
        num_classes: number of classes.
        weight_decay: from 0 to 1e6, where all weights are 0; not on the bias.

    Raises:
        ValueError: if weight_decay is out of range.
    """
    number(weight_decay, "weight_decay", at_least=0, at_most=LARGEST)
    mean, scale = features.mean(0), features.std(0, correction=0)
    scale = torch.where(scale > 1e-6 * scale.max(), scale, torch.inf)
    standardised = (features - mean) / scale
    weight = features.new_zeros(num_classes, features.shape[1], requires_grad=True)
    bias = features.new_zeros(num_classes, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias],
        max_iter=STEPS,
        tolerance_grad=1e-6,
        tolerance_change=1e-8,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.cross_entropy(F.linear(standardised, weight, bias), labels)
        value = value + weight_decay / 2 * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        optimizer.step(loss)  # type: ignore[no-untyped-call]
    return LogisticProbe(mean, scale, weight.detach(), bias.detach(), weight_decay)


def choose_logistic(
    features: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    weight_decays: Sequence[float] = WEIGHT_DECAYS,
    held_out: float = 0.1,
) -> LogisticProbe:
    """Return the probe of all training features, its weight decay chosen on some of them.

    Candidates are fitted without the ``held_out`` images and judged on those; of equal candidates
    the first wins. The validation images take no part.

    Args:
        features: (N, D) float32 of the training images.
        labels: (N,).
        num_classes: number of classes.
        weight_decays: candidates; a single one needs no choice.
        held_out: share of every class that the choice is made on.

    Raises:
        ValueError: if there is no candidate, one is negative, or a class has a single image.
    """
    check_weight_decays(weight_decays)
    chosen = weight_decays[0]
    if len(weight_decays) > 1:
        judged = held_out_places(labels, held_out)

        def score(weight_decay: float) -> float:
            probe = fit_logistic(
                features[~judged],
                labels[~judged],
                num_classes=num_classes,
                weight_decay=weight_decay,
            )
            return top1(probe(features[judged]), labels[judged])

        scores = {weight_decay: score(weight_decay) for weight_decay in weight_decays}
        chosen = max(weight_decays, key=scores.__getitem__)
    return fit_logistic(features, labels, num_classes=num_classes, weight_decay=chosen)


def check_weight_decays(weight_decays: Sequence[float]) -> None:
    """Raise ValueError unless there are candidates, each in range."""
    numbers(weight_decays, "weight_decays", at_least=0, at_most=LARGEST)


def top1(logits: Tensor, labels: Tensor) -> float:
    """Return the share of rows whose largest logit is the label's."""
    return (logits.argmax(1) == labels).float().mean().item()
