"""Mean-per-class accuracy of lightly's classifiers after each epoch; they know top-k alone."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor

from salmask_plugin.adapters.lightly.evaluation.class_accuracy import mean_per_class


class PerClassAccuracy(Callback):
    """Read the classifier's answers to the validation images where they come out of its head.

    Attributes:
        curve: mean-per-class accuracy after each epoch.
    """

    def __init__(self) -> None:
        self.curve: list[float] = []
        self._predicted: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._hook: Any = None

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to the head."""
        self._predicted, self._labels = [], []
        head: Any = pl_module.classification_head
        self._hook = head.register_forward_hook(
            lambda module, inputs, output: self._predicted.append(output.argmax(1).cpu())
        )

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep the labels."""
        self._labels.append(batch[1].cpu())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add the epoch's accuracy."""
        self._hook.remove()
        if trainer.sanity_checking:
            return
        self.curve.append(mean_per_class(torch.cat(self._predicted), torch.cat(self._labels)))
