"""The supervised reference: a ResNet and its classifier, trained on labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import StepLR

from salmask_plugin.adapters.lightly.logs import StepLog
from salmask_plugin.adapters.lightly.refusals import (
    check_backbone,
    expect_features,
    refuse_lost_activations,
)
from salmask_plugin.checks import number, whole_number
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.types import MaskedViews


class SupervisedClassifier(LightningModule):
    """Cross-entropy on the labels of one view per image: the first row of the paper's Table 9.

    A batch is ``(views, labels, ...)``, views (B, C, H, W): no second view, no masks.

    Args:
        backbone: images -> (B, feature_dim) features, or a map of that many values. It is trained
            in place.
        feature_dim: features of the backbone.
        num_classes: at least 2.
        masking: must be None; here so that all methods take it.
        seed: taken as by all methods; nothing here draws from it.
        learning_rate: for the whole batch, not scaled by it (the paper: 0.1 at 256).
        weight_decay: on all parameters; the paper gives none.
        decay_every: epochs after which the rate drops tenfold, again and again.

    Raises:
        ValueError: if there is a masking, or a number is out of range.

    References:
        Chin et al., WACV 2024, Table 9: SGD, 0.1 at a batch of 256, divided by 10 every 30 epochs,
        100 epochs. Momentum and weight decay are those of He et al., https://arxiv.org/abs/1512.03385.
    """

    def __init__(
        self,
        backbone: nn.Module,
        *,
        feature_dim: int,
        num_classes: int,
        masking: SaliencyMasking | None = None,
        seed: int = 0,
        learning_rate: float = 0.1,
        weight_decay: float = 1e-4,
        decay_every: int = 30,
    ) -> None:
        super().__init__()
        if masking is not None:
            raise ValueError(
                "method=supervised trains on one clean view per image and takes no masking: give "
                "masking=none, or choose mocov2 or simclr."
            )
        check_backbone(backbone)
        num_classes = whole_number(num_classes, "num_classes", at_least=2)
        self.learning_rate = number(learning_rate, "learning_rate", above=0)
        self.weight_decay = number(weight_decay, "weight_decay", at_least=0)
        self.decay_every = whole_number(decay_every, "decay_every")
        self.backbone = backbone
        self.classifier = nn.Linear(feature_dim, num_classes)
        expect_features(self.classifier)
        self.step_log = StepLog(masking)

    def setup(self, stage: str) -> None:
        """Refuse what would train another network."""
        refuse_lost_activations(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, feature_dim)."""
        features: Tensor = self.backbone(images).flatten(1)
        return features

    def classify(self, images: Tensor) -> Tensor:
        """Return logits (B, num_classes)."""
        logits: Tensor = self.classifier(self(images))
        return logits

    def training_step(self, batch: Sequence[Any], batch_idx: int) -> Tensor:
        """Return the loss of one batch."""
        images, labels = batch[0], batch[1]
        loss = F.cross_entropy(self.classify(images), labels)
        self.step_log.step(self, MaskedViews(images, images), loss=loss, step=self.global_step)
        return loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save nothing that came after a loss that is not finite.

        Raises:
            FloatingPointError: if the loss was not finite in any step so far.
        """
        self.step_log.finite.check()

    def on_train_end(self) -> None:
        """Look at the last losses, where ``max_steps`` ends a run inside an epoch."""
        self.step_log.finite.check()

    def configure_optimizers(self) -> Any:
        """SGD with momentum 0.9; the rate drops tenfold every ``decay_every`` epochs."""
        optimizer = torch.optim.SGD(
            self.parameters(), lr=self.learning_rate, momentum=0.9, weight_decay=self.weight_decay
        )
        return [optimizer], [StepLR(optimizer, step_size=self.decay_every, gamma=0.1)]
