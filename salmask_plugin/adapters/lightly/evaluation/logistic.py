"""Linear evaluation without a schedule: logistic regression on frozen features."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from salmask_plugin.adapters.lightly.evaluation.batches import check_labels
from salmask_plugin.adapters.lightly.evaluation.class_accuracy import mean_per_class
from salmask_plugin.adapters.lightly.evaluation.features import extract_features
from salmask_plugin.adapters.lightly.evaluation.logistic_regression import (
    WEIGHT_DECAYS,
    LogisticProbe,
    choose_logistic,
    top1,
)


@dataclass(frozen=True)
class LogisticResult:
    """Accuracies in [0, 1] on the validation images.

    Attributes:
        top1: share of the images that are classified right.
        mean_per_class: the same where every class weighs the same.
        weight_decay: the one chosen.
        protocol: the settings, as plain values.
    """

    top1: float
    mean_per_class: float
    weight_decay: float
    protocol: dict[str, Any]


def logistic_evaluation(
    model: nn.Module,
    train_loader: Iterable[Sequence[Any]],
    val_loader: Iterable[Sequence[Any]],
    *,
    num_classes: int,
    weight_decays: Sequence[float] = WEIGHT_DECAYS,
    held_out: float = 0.1,
    probe: LogisticProbe | None = None,
    device: torch.device | str | None = None,
) -> LogisticResult:
    """Classify frozen features by logistic regression; the validation images are read once.

    Unlike :func:`linear_evaluation` it has no rate, no schedule and no seed, and takes seconds. It
    is not the paper's protocol.

    Args:
        model: images -> features.
        train_loader: batches (images, labels, ...), not augmented, nothing dropped.
        val_loader: the same of the validation images.
        num_classes: number of classes.
        weight_decays: candidates, judged on ``held_out`` of the training images.
        held_out: share of every class.
        probe: fitted before by ``choose_logistic`` on these images in this way.
        device: where features are computed; None is where the model is.

    Raises:
        ValueError: if a label, a weight decay or the share is out of range.
    """
    train = extract_features(model, train_loader, device=device)
    val = extract_features(model, val_loader, device=device)
    check_labels(train[1], val[1], num_classes=num_classes)
    probe = probe or choose_logistic(
        *train, num_classes=num_classes, weight_decays=weight_decays, held_out=held_out
    )
    logits = probe(val[0])
    listed = ", ".join(f"{value:g}" for value in weight_decays)
    protocol = {
        "classifier": "logistic regression on standardised features, L-BFGS",
        "weight_decay": f"best of {listed} on {held_out:g} of the training images",
        "train_images": len(train[1]),
        "val_images": len(val[1]),
    }
    return LogisticResult(
        top1(logits, val[1]), mean_per_class(logits.argmax(1), val[1]), probe.weight_decay, protocol
    )
