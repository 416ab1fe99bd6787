"""The detector as Lightning trains it."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from salmask_plugin.lab.downstream.detection import C4Detector, Schedule, detections_of
from salmask_plugin.lab.downstream.detection.batches import DetectionBatch
from salmask_plugin.seeding import step_generator

LOSSES = ("loss_classifier", "loss_box_reg", "loss_mask", "loss_objectness", "loss_rpn_box_reg")


class DetectionModule(pl.LightningModule):
    """One step of the schedule per batch; every draw of a step comes from (seed, rank, step).

    torchvision's parts draw sizes, anchors and regions from the global generators. They are seeded
    at each step, so that a resumed run draws what an uninterrupted one would.

    Args:
        detector: the model.
        schedule: of the optimizer.
        seed: of the run.
    """

    def __init__(self, detector: C4Detector, schedule: Schedule, seed: int) -> None:
        super().__init__()
        self.detector = detector
        self._schedule = schedule
        self._seed = seed

    def forward(self, batch: DetectionBatch) -> Any:
        """Return losses in training, else the detections of each picture."""
        images = [image.float() / 255 for image in batch.images]
        return self.detector(images, batch.targets or None)

    def training_step(self, batch: DetectionBatch, batch_idx: int) -> Tensor:
        """Return the sum of the losses.

        Raises:
            RuntimeError: if it is not finite.
        """
        draws = step_generator(self._seed, self.global_rank, self.global_step)
        torch.manual_seed(draws.initial_seed())
        losses: dict[str, Tensor] = self(batch)
        total: Tensor = torch.stack(list(losses.values())).sum()
        if not torch.isfinite(total):
            parts = ", ".join(f"{name} {float(value):.3g}" for name, value in losses.items())
            raise RuntimeError(
                f"The loss is not finite at step {self.global_step} ({parts}); try a smaller "
                "schedule.learning_rate or a longer warm-up."
            )
        logged = {"train_loss": total.detach()}
        logged |= {name: value.detach() for name, value in losses.items()}
        self.log_dict(logged, batch_size=len(batch))
        return total

    def validation_step(self, batch: DetectionBatch, batch_idx: int) -> dict[str, Any]:
        """Return what is found in each picture."""
        return {"found": [detections_of(output) for output in self(batch)]}

    def configure_optimizers(self) -> Any:
        """Return the schedule's optimizer, its rate set at every step."""
        optimizer, rates = self._schedule.optimizer_of(self.detector)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "step"}}
