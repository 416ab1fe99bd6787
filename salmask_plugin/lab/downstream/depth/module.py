"""Depth as Lightning trains it."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

from salmask_plugin.lab.downstream.depth import DepthSchedule, Monodepth, depth_loss
from salmask_plugin.lab.downstream.depth.batches import DepthBatch
from salmask_plugin.precision import autocast_off
from salmask_plugin.seeding import step_generator

DEPTH_LOSSES = ("photometric", "smoothness", "moving")


class DepthModule(pl.LightningModule):
    """One step per batch of triplets; the loss is in full precision whatever the trainer's is.

    Args:
        model: the networks.
        schedule: of the optimizer.
        seed: of the noise in the loss.
    """

    def __init__(self, model: Monodepth, schedule: DepthSchedule, seed: int) -> None:
        super().__init__()
        self.model = model
        self._schedule = schedule
        self._seed = seed

    def training_step(self, batch: DepthBatch, batch_idx: int) -> Tensor:
        """Return the loss.

        Raises:
            RuntimeError: if it is not finite.
        """
        frames, inputs = batch.frames.float() / 255, batch.inputs.float() / 255
        disparities = self.model(inputs[:, 1])
        motions = self.model.motions(inputs)
        with autocast_off(self.device):
            loss = depth_loss(
                [disparity.float() for disparity in disparities],
                frames,
                motions,
                batch.cameras,
                min_depth=self.model.range[0],
                max_depth=self.model.range[1],
                generator=step_generator(self._seed, self.global_rank, self.global_step),
            )
        if not torch.isfinite(loss.total):
            raise RuntimeError(
                f"The loss is not finite at step {self.global_step}; try a smaller "
                "schedule.learning_rate."
            )
        logged = {"train_loss": loss.total.detach()}
        logged |= {name: getattr(loss, name).detach() for name in DEPTH_LOSSES}
        self.log_dict(logged, batch_size=len(frames))
        return loss.total

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> dict[str, Any]:
        """Return inverse depths, up to a scale, with their pictures' places in the set."""
        indices, images = batch
        return {"indices": indices.tolist(), "found": self.model.inverse_depth(images / 255).cpu()}

    def configure_optimizers(self) -> Any:
        """Return the schedule's optimizer, its rate set after every epoch."""
        optimizer, rates = self._schedule.optimizer_of(self.model)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": rates, "interval": "epoch"}}
