"""Fine-tuning of the whole network by lightly's FinetuneClassifier."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
from lightly.utils.benchmarking import FinetuneClassifier, MetricCallback
from torch import nn
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly.evaluation.batches import CheckBatches, check_not_empty
from salmask_plugin.adapters.lightly.evaluation.diverged import RefuseDiverged
from salmask_plugin.adapters.lightly.evaluation.features import device_of
from salmask_plugin.adapters.lightly.evaluation.per_class import PerClassAccuracy
from salmask_plugin.adapters.lightly.evaluation.trainer import quiet_trainer
from salmask_plugin.adapters.lightly.online import topk_for
from salmask_plugin.adapters.lightly.refusals import expect_features
from salmask_plugin.checks import number, whole_number


@dataclass(frozen=True)
class FinetuneResult:
    """Accuracies in [0, 1] on the validation images.

    Attributes:
        top1: top-1 after the last epoch.
        top1_best: top-1 of the best epoch, chosen on the validation images.
        mean_per_class: after the last epoch.
        curve: top-1 after each epoch.
        protocol: the settings, as plain values.
    """

    top1: float
    top1_best: float
    mean_per_class: float
    curve: tuple[float, ...]
    protocol: dict[str, Any]


class TrainingFinetuneClassifier(FinetuneClassifier):
    """lightly's class with the network in training mode.

    lightly leaves the mode as it comes, and Lightning (2.2 and later) does not change it: a network
    in eval mode would be fine-tuned with frozen BatchNorm statistics.

    Args:
        nesterov: as SimCLR's fine-tuning; lightly's own is without.
        classifier: arguments of lightly's class.
    """

    def __init__(self, *, nesterov: bool = False, **classifier: Any) -> None:
        super().__init__(**classifier)
        self.nesterov = nesterov

    def on_train_epoch_start(self) -> None:
        """Train every layer."""
        self.model.train()

    def configure_optimizers(self) -> Any:
        """Lightly's optimizer and schedule."""
        optimizers, schedules = super().configure_optimizers()
        for group in optimizers[0].param_groups:
            group["nesterov"] = self.nesterov
        return optimizers, schedules


def finetune_evaluation(
    model: nn.Module,
    train_loader: DataLoader[Any],
    val_loader: DataLoader[Any],
    *,
    num_classes: int,
    feature_dim: int,
    epochs: int = 30,
    learning_rate: float = 0.05,
    batch_size: int = 256,
    nesterov: bool = False,
    seed: int = 0,
    device: torch.device | str | None = None,
    progress: bool = False,
) -> FinetuneResult:
    """Train a copy of the model with a linear classifier on top; the model itself stays as it is.

    SGD with momentum 0.9, no weight decay, rate ``learning_rate * batch_size / 256``, cosine per
    step: lightly's settings, which are SimCLR's but for the Nesterov momentum.

    Args:
        model: images -> (B, feature_dim) features.
        train_loader: batches (images, labels, ...), augmented and shuffled.
        val_loader: batches (images, labels, ...), not augmented.
        num_classes: number of classes.
        feature_dim: D of the features.
        epochs: of the training. SimCLR: 60 with 1 % of the labels, 30 with 10 % and with all.
        learning_rate: for a batch of 256.
        batch_size: the train_loader's.
        nesterov: Nesterov momentum.
        seed: of the head's initialisation. The caller's random state is restored.
        device: where to run; None is where the model is.
        progress: show progress bars.

    Raises:
        TypeError: if a batch is of another form, such as one of two views.
        ValueError: if a number is out of range, a label or ``feature_dim`` does not fit, a loader
            gives no batch, ``batch_size`` is not the loader's, or the last batch would hold a
            single image, which BatchNorm cannot normalise.
        FloatingPointError: if the training diverges.

    References:
        Chen et al. (SimCLR), https://arxiv.org/abs/2002.05709, appendix B.5.
    """
    images = len(train_loader.dataset)  # type: ignore[arg-type]
    check_finetune(
        epochs=epochs,
        learning_rate=learning_rate,
        batch_size=batch_size,
        images=0 if train_loader.drop_last else images,
    )
    if train_loader.batch_size != batch_size:
        raise ValueError(
            f"batch_size={batch_size} must be the train_loader's {train_loader.batch_size}: "
            "the learning rate is scaled by it."
        )
    check_not_empty(train_loader, val_loader)
    target = device_of(model) if device is None else torch.device(device)
    copy = deepcopy(model)
    for parameter in copy.parameters():
        parameter.requires_grad_(True)
    metrics, per_class = MetricCallback(), PerClassAccuracy()
    with torch.random.fork_rng(devices=[target] if target.type == "cuda" else []):
        torch.manual_seed(seed)
        classifier = TrainingFinetuneClassifier(
            model=copy,
            batch_size_per_device=batch_size,
            lr=learning_rate,
            feature_dim=feature_dim,
            num_classes=num_classes,
            topk=topk_for(num_classes),
            nesterov=nesterov,
        )
        expect_features(classifier.classification_head)
        with quiet_trainer(
            epochs=epochs,
            callbacks=[
                CheckBatches(num_classes),
                metrics,
                per_class,
                RefuseDiverged(learning_rate),
            ],
            device=target,
            progress=progress,
        ) as trainer:
            trainer.fit(classifier, train_dataloaders=train_loader, val_dataloaders=val_loader)
    curve = tuple(metrics.val_metrics["val_top1"])
    protocol = {
        "classifier": "lightly.utils.benchmarking.FinetuneClassifier, in training mode",
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "effective_learning_rate": learning_rate * batch_size / 256,
        "schedule": "cosine per step",
        "momentum": 0.9,
        "nesterov": nesterov,
        "weight_decay": 0.0,
        "seed": seed,
    }
    return FinetuneResult(curve[-1], max(curve), per_class.curve[-1], curve, protocol)


def check_finetune(
    *, epochs: int = 1, learning_rate: float = 1.0, batch_size: int = 2, images: int = 0
) -> None:
    """Raise ValueError for a number out of range, or a last batch of a single image.

    Args:
        epochs: of the training.
        learning_rate: for a batch of 256.
        batch_size: of the training.
        images: that it trains on, none of them dropped; 0: not known, or the last are dropped.
    """
    whole_number(epochs, "epochs")
    whole_number(batch_size, "batch_size", at_least=2)
    number(learning_rate, "learning_rate", above=0)
    if images % batch_size == 1:
        raise ValueError(
            f"batch_size={batch_size} leaves a last batch of one of the {images} images, which "
            "BatchNorm cannot normalise; choose another."
        )
