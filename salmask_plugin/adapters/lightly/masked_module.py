"""What MoCo v2 and SimCLR with masked views have in common besides their losses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lightly.utils.benchmarking import OnlineLinearClassifier
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from salmask_plugin.adapters.lightly.logs import StepLog
from salmask_plugin.adapters.lightly.loss import HardNegativeNTXentLoss
from salmask_plugin.adapters.lightly.online import online_features
from salmask_plugin.adapters.lightly.views import StepMasking
from salmask_plugin.types import MaskedViews


class MaskedModule(LightningModule):
    """Clean features, the end of a step, and checkpoints from which masks go on.

    A subclass sets the attributes and calls :meth:`end_step` with its loss.

    Attributes:
        backbone: the encoder that is kept.
        criterion: the loss.
        step_masking: masks of a step, by its number.
        step_log: what a step logs.
        online_classifier: lightly's, or None.
    """

    backbone: nn.Module
    criterion: HardNegativeNTXentLoss
    step_masking: StepMasking
    step_log: StepLog
    online_classifier: OnlineLinearClassifier | None

    def forward(self, images: Tensor) -> Tensor:
        """Return features (B, feature_dim) of clean images, behind the masking's view filter."""
        features: Tensor = self.backbone(self.step_masking.filtered(images)).flatten(1)
        return features

    def end_step(
        self,
        loss: Tensor,
        views: MaskedViews,
        batch: Sequence[Any],
        batch_idx: int,
        *,
        negatives: int,
    ) -> Tensor:
        """Log the step, count it, and return the loss with the online classifier's.

        Args:
            loss: of the method.
            views: that it is of.
            batch: that they are of.
            batch_idx: of the batch.
            negatives: of each query besides the hard ones.
        """
        self.step_log.step(
            self,
            views,
            self.criterion.statistics,
            loss=loss,
            step=self.step_masking.batches_seen,
            negatives=negatives,
        )
        self.step_masking.batches_seen += 1
        if self.online_classifier is None:
            return loss
        features = online_features(self.backbone, self.step_masking, batch)
        online_loss, metrics = self.online_classifier.training_step((features, batch[1]), batch_idx)
        self.log_dict(metrics, sync_dist=True, batch_size=len(features))
        return loss + online_loss

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the step, so that masks and key shuffles go on where they stopped.

        Raises:
            FloatingPointError: if the loss was not finite in any step so far.
        """
        self.step_log.finite.check()
        checkpoint["salmask_batches_seen"] = self.step_masking.batches_seen
        checkpoint["salmask_view_filter"] = self.step_masking.kernel

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on at the saved step."""
        self.step_masking.batches_seen = checkpoint["salmask_batches_seen"]

    def on_train_end(self) -> None:
        """Look at the last losses, where ``max_steps`` ends a run inside an epoch."""
        self.step_log.finite.check()
