"""Training of one linear classifier on a frozen model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightly.utils.benchmarking import LinearClassifier, MetricCallback
from pytorch_lightning import Callback
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly.evaluation.batches import CheckBatches, check_not_empty
from salmask_plugin.adapters.lightly.evaluation.trainer import quiet_trainer
from salmask_plugin.adapters.lightly.online import topk_for
from salmask_plugin.adapters.lightly.refusals import expect_features


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


def fit_classifier(
    frozen: nn.Module,
    train: DataLoader[Any],
    val: DataLoader[Any],
    *,
    learning_rate: float,
    feature_dim: int,
    num_classes: int,
    epochs: int,
    batch_size: int,
    milestones: Sequence[int],
    head_std: float | None,
    seed: int,
    device: torch.device,
    progress: bool,
    callbacks: Sequence[Callback] = (),
) -> tuple[float, ...]:
    """Train one head on the frozen model and return its top-1 on ``val`` after each epoch.

    Changes the global random state; see :func:`linear_evaluation` for the arguments.
    """
    check_not_empty(train, val)
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
    expect_features(classifier.classification_head)
    if head_std is not None:
        nn.init.normal_(classifier.classification_head.weight, std=head_std)
        nn.init.zeros_(classifier.classification_head.bias)
    metrics = MetricCallback()
    with quiet_trainer(
        epochs=epochs,
        callbacks=[CheckBatches(num_classes), metrics, *callbacks],
        device=device,
        progress=progress,
    ) as trainer:
        trainer.fit(classifier, train_dataloaders=train, val_dataloaders=val)
    return tuple(metrics.val_metrics["val_top1"])
