"""kNN evaluation by lightly's KNNClassifier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from lightly.utils.benchmarking import KNNClassifier, MetricCallback, knn_predict
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.evaluation.class_accuracy import mean_per_class
from salmask_plugin.adapters.lightly.evaluation.features import check_labels, extract_features
from salmask_plugin.adapters.lightly.evaluation.trainer import in_memory, quiet_trainer
from salmask_plugin.adapters.lightly.online import topk_for


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
        ValueError: if k or a label is out of range.
    """
    train = extract_features(model, train_loader, device=device)
    val = extract_features(model, val_loader, device=device)
    check_labels(train[1], val[1], num_classes=num_classes)
    if not 1 <= k <= len(train[1]):
        raise ValueError(f"k={k} must be in [1, {len(train[1])}], the number of training images.")
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be positive.")
    classifier = KNNClassifier(
        model=None,
        num_classes=num_classes,
        knn_k=k,
        knn_t=temperature,
        train_dataloader_idx=0,
        val_dataloader_idx=1,
        topk=topk_for(num_classes),
    )
    metrics = MetricCallback()
    with quiet_trainer(epochs=1, callbacks=[metrics], progress=progress) as trainer:
        trainer.validate(
            classifier, dataloaders=[in_memory(*train), in_memory(*val)], verbose=False
        )
    # Lightning adds "/dataloader_idx_1" to the names where there are several loaders.
    accuracy = {name.split("/")[0]: values[-1] for name, values in metrics.val_metrics.items()}
    protocol = {
        "classifier": "lightly.utils.benchmarking.KNNClassifier",
        "k": k,
        "temperature": temperature,
        "similarity": "cosine",
        "train_images": len(train[1]),
        "val_images": len(val[1]),
    }
    return KNNResult(
        top1=accuracy["val_knn_top1"],
        mean_per_class=mean_per_class(
            predicted_classes(
                val[0],
                F.normalize(train[0], dim=1).T,
                train[1],
                num_classes=num_classes,
                k=k,
                temperature=temperature,
            ),
            val[1],
        ),
        top5=accuracy.get("val_knn_top5"),
        protocol=protocol,
    )


def predicted_classes(
    features: Tensor,
    bank: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    k: int,
    temperature: float,
) -> Tensor:
    """Return the classes (N,) that lightly's kNN answers.

    Args:
        features: (N, D), not normalised.
        bank: (D, M) of the training images, each normalised.
        labels: (M,) of the training images.
        num_classes: number of classes.
        k: neighbours.
        temperature: of the votes.
    """
    answers = [
        knn_predict(F.normalize(batch, dim=1), bank, labels, num_classes, k, temperature)[:, 0]
        for batch in torch.split(features, 512)
    ]
    return torch.cat(answers)
