"""kNN evaluation by the answers of lightly's KNNClassifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import log
from typing import Any

import torch
import torch.nn.functional as F
from lightly.utils.benchmarking import knn_predict
from lightly.utils.benchmarking.topk import mean_topk_accuracy
from torch import Tensor, nn
from tqdm import tqdm

from salmask_plugin.adapters.lightly.evaluation.batches import check_labels
from salmask_plugin.adapters.lightly.evaluation.class_accuracy import mean_per_class
from salmask_plugin.adapters.lightly.evaluation.features import extract_features
from salmask_plugin.adapters.lightly.online import topk_for
from salmask_plugin.checks import number, whole_number

LARGEST_EXPONENT = 88.0
"""Beyond it exp is no number of single precision, in which lightly counts votes."""


@dataclass(frozen=True)
class KNNResult:
    """Accuracies in [0, 1].

    Attributes:
        top1: share of the validation images whose class leads the neighbours' votes.
        mean_per_class: the same where every class weighs the same.
        top5: share whose class is among the first five; None with fewer than five classes.
        protocol: the settings, as plain values.
    """

    top1: float
    mean_per_class: float
    top5: float | None
    protocol: dict[str, Any]


def knn_evaluation(
    model: nn.Module,
    train_loader: Iterable[Sequence[Any]],
    val_loader: Iterable[Sequence[Any]],
    *,
    num_classes: int,
    k: int = 200,
    temperature: float = 0.1,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> KNNResult:
    """Classify each validation image by its k nearest training images.

    Nearness is the cosine of the features; a neighbour's vote weighs exp(cosine / temperature).

    Args:
        model: images -> features.
        train_loader: batches (images, labels, ...), not augmented, nothing dropped.
        val_loader: the same of the validation images.
        num_classes: number of classes.
        k: neighbours, at most the number of training images.
        temperature: of the votes.
        device: where features are computed; None is where the model is.
        progress: show a progress bar.

    Raises:
        ValueError: if k, the temperature or a label is out of range.
    """
    check_knn(k, temperature)
    train = extract_features(model, train_loader, device=device)
    val = extract_features(model, val_loader, device=device)
    check_labels(train[1], val[1], num_classes=num_classes)
    check_knn(k, temperature, images=len(train[1]))
    ranked = ranked_classes(
        val[0],
        F.normalize(train[0], dim=1).T.contiguous(),
        train[1],
        num_classes=num_classes,
        k=k,
        temperature=temperature,
        progress=progress,
    )
    accuracy = mean_topk_accuracy(ranked, val[1], topk_for(num_classes))
    protocol = {
        "classifier": "lightly.utils.benchmarking.KNNClassifier",
        "k": k,
        "temperature": temperature,
        "similarity": "cosine",
        "train_images": len(train[1]),
        "val_images": len(val[1]),
    }
    return KNNResult(
        top1=accuracy[1].item(),
        mean_per_class=mean_per_class(ranked[:, 0], val[1]),
        top5=accuracy[5].item() if 5 in accuracy else None,
        protocol=protocol,
    )


def check_knn(k: int, temperature: float, *, images: int | None = None) -> None:
    """Raise ValueError unless ``k`` of the training images can vote with that temperature.

    ``images``: how many there are, where it is known.
    """
    k, temperature = whole_number(k, "k"), number(temperature, "temperature", above=0)
    if images is not None and k > images:
        raise ValueError(f"k={k} must be in [1, {images}], the number of training images.")
    least = 1 / (LARGEST_EXPONENT - log(k))
    if temperature < least:
        raise ValueError(
            f"temperature={temperature} must be at least {least:.4f}: with a smaller one the votes "
            f"of k={k} neighbours, each exp(cosine / temperature), would be infinite."
        )


def ranked_classes(
    features: Tensor,
    bank: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    k: int,
    temperature: float,
    progress: bool = False,
) -> Tensor:
    """Return the classes that lightly's kNN answers, the first five at most: (N, 5).

    Args:
        features: (N, D), not normalised.
        bank: (D, M) of the training images, each normalised.
        labels: (M,) of the training images.
        num_classes: number of classes.
        k: neighbours.
        temperature: of the votes.
        progress: show a progress bar.
    """
    answers = [
        knn_predict(F.normalize(batch, dim=1), bank, labels, num_classes, k, temperature)[:, :5]
        for batch in tqdm(torch.split(features, 512), disable=not progress)
    ]
    return torch.cat(answers)
