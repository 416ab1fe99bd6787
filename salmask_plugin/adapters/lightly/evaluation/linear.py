"""Linear evaluation by lightly's LinearClassifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightly.utils.benchmarking import LinearClassifier, MetricCallback
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly.evaluation.features import (
    check_labels,
    device_of,
    extract_features,
    unchanged,
)
from salmask_plugin.adapters.lightly.evaluation.trainer import in_memory, quiet_trainer
from salmask_plugin.adapters.lightly.online import topk_for


@dataclass(frozen=True)
class LinearResult:
    """Accuracies in [0, 1] on the validation images.

    Attributes:
        top1: top-1 after the last epoch.
        top1_best: top-1 of the best epoch. Chosen on the validation images, as most tables do.
        best_epoch: that epoch, counted from 0.
        curve: top-1 after each epoch.
        protocol: the settings, as plain values.
    """

    top1: float
    top1_best: float
    best_epoch: int
    curve: tuple[float, ...]
    protocol: dict[str, Any]


class SteppedLinearClassifier(LinearClassifier):
    """lightly's LinearClassifier with MoCo's schedule: the rate drops tenfold at some epochs.

    Args:
        milestones: those epochs, counted from 0.
        classifier: arguments of lightly's class.

    References:
        https://github.com/facebookresearch/moco/tree/7397dfe, main_lincls.py.
    """

    def __init__(self, *, milestones: Sequence[int], **classifier: Any) -> None:
        super().__init__(**classifier)
        self.milestones = list(milestones)

    def configure_optimizers(self) -> Any:
        """SGD with momentum 0.9 and no weight decay, as in lightly's class."""
        optimizer = SGD(self.get_trainable_parameters(), lr=self.get_effective_lr(), momentum=0.9)
        return [optimizer], [MultiStepLR(optimizer, milestones=self.milestones, gamma=0.1)]


def linear_evaluation(
    model: nn.Module,
    train_loader: DataLoader[Any],
    val_loader: DataLoader[Any],
    *,
    num_classes: int,
    feature_dim: int,
    epochs: int = 100,
    learning_rate: float = 1.0,
    batch_size: int = 256,
    milestones: Sequence[int] = (),
    augment: bool = True,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> LinearResult:
    """Train a linear classifier on the frozen model's features.

    SGD, momentum 0.9, no weight decay; rate ``learning_rate * batch_size / 256``; lightly's
    initialisation of the head. The defaults are the paper's for SimCLR; its MoCo rows use
    ``learning_rate=30, milestones=(60, 80)``.

    Args:
        model: images -> (B, feature_dim) features.
        train_loader: batches (images, labels, ...), augmented and shuffled.
        val_loader: batches (images, labels, ...), not augmented.
        num_classes: number of classes.
        feature_dim: D of the features.
        epochs: of the classifier.
        learning_rate: for a batch of 256.
        batch_size: of the classifier's training.
        milestones: epochs at which the rate drops tenfold. Empty is lightly's cosine per step.
        augment: False computes the features of both loaders once and trains on those: much faster,
            and for a ``train_loader`` that does not augment.
        seed: of the head's initialisation and, without ``augment``, of the order of the images.
            The caller's random state is restored.
        device: where to run; None is where the model is.
        progress: show progress bars.

    Raises:
        ValueError: if a number is out of range; with ``augment``, if ``batch_size`` is not the
            loader's; without, if a label or ``feature_dim`` does not fit the features.
        RuntimeError: if the frozen model has changed.
    """
    if epochs < 1 or not learning_rate > 0 or batch_size < 1:
        raise ValueError(
            f"epochs={epochs} and batch_size={batch_size} must be at least 1, "
            f"learning_rate={learning_rate} positive."
        )
    if augment and train_loader.batch_size != batch_size:
        raise ValueError(
            f"batch_size={batch_size} must be the train_loader's {train_loader.batch_size}: "
            "the learning rate is scaled by it."
        )
    target = device_of(model) if device is None else torch.device(device)
    frozen: nn.Module = model
    train, val = train_loader, val_loader
    devices = [target] if target.type == "cuda" else []
    with unchanged(model), torch.random.fork_rng(devices=devices):
        if not augment:
            features = [extract_features(model, x, device=target) for x in (train, val)]
            check_labels(*(labels for _, labels in features), num_classes=num_classes)
            check_features(features[0][0].shape[1], feature_dim)
            frozen = nn.Identity()
            train = in_memory(*features[0], batch_size=batch_size, shuffle=True)
            val = in_memory(*features[1])
        torch.manual_seed(seed)
        settings = {
            "model": frozen,
            "batch_size_per_device": batch_size,
            "lr": learning_rate,
            "feature_dim": feature_dim,
            "num_classes": num_classes,
            "topk": topk_for(num_classes),
        }
        classifier = (
            SteppedLinearClassifier(milestones=milestones, **settings)
            if milestones
            else LinearClassifier(**settings)
        )
        metrics = MetricCallback()
        accelerator = "cpu" if target.type == "cpu" else "auto"
        with quiet_trainer(
            epochs=epochs, callbacks=[metrics], accelerator=accelerator, progress=progress
        ) as trainer:
            trainer.fit(classifier, train_dataloaders=train, val_dataloaders=val)
    curve = tuple(metrics.val_metrics["val_top1"])
    best = max(range(len(curve)), key=curve.__getitem__)
    protocol = {
        "classifier": "lightly.utils.benchmarking.LinearClassifier",
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "effective_learning_rate": learning_rate * batch_size / 256,
        "schedule": f"x0.1 at epochs {list(milestones)}" if milestones else "cosine per step",
        "momentum": 0.9,
        "weight_decay": 0.0,
        "augment": augment,
        "seed": seed,
    }
    return LinearResult(curve[-1], curve[best], best, curve, protocol)


def check_features(found: int, feature_dim: int) -> None:
    """Raise ValueError unless the features have the announced dimension."""
    if found != feature_dim:
        raise ValueError(f"feature_dim={feature_dim}, but the model's features have {found}.")
