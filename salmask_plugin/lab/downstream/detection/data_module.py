"""Where a process' pictures come from, at whatever round training stands."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from salmask_plugin.lab.downstream.detection import Schedule
from salmask_plugin.lab.downstream.detection.batches import (
    RoundSampler,
    detection_train_loader,
    detection_val_loader,
)
from salmask_plugin.lab.downstream.detection.instances import InstanceSplits
from salmask_plugin.lab.downstream.training import share_of_batch


class DetectionData(pl.LightningDataModule):
    """Hand the trainer its loaders; training goes on at the round it is at, after a resume too.

    Args:
        splits: the data set.
        schedule: says batch and rounds.
        masks: targets have masks.
        seed: of the order and the mirroring.
        workers: worker processes of each loader.
    """

    def __init__(
        self, splits: InstanceSplits, schedule: Schedule, *, masks: bool, seed: int, workers: int
    ) -> None:
        super().__init__()
        self._splits = splits
        self._schedule = schedule
        self._masks = masks
        self._seed = seed
        self._workers = workers

    def train_dataloader(self) -> Any:
        """Return the loader of the rounds to come; Lightning says ``set_epoch`` from the next."""
        assert self.trainer is not None
        finished: int = self.trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        return self._train_loader(self._schedule.round_steps, finished, self._seed)

    def precise_dataloader(self) -> Any:
        """Return training batches to take BatchNorm's statistics from: the first of the stream."""
        return self._train_loader(self._schedule.precise_batches, 0, self._seed)

    def val_dataloader(self) -> Any:
        """Return this process' share of the test pictures, each once, in small batches."""
        assert self.trainer is not None
        return detection_val_loader(
            self._splits.val,
            batch_size=min(
                2, share_of_batch(self._schedule.batch_size, self.trainer.world_size, unit="images")
            ),
            workers=self._workers,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )

    def _train_loader(self, steps: int, finished: int, seed: int) -> Any:
        assert self.trainer is not None
        batch = share_of_batch(self._schedule.batch_size, self.trainer.world_size, unit="images")
        sampler = RoundSampler(
            len(self._splits.train),
            batch_size=batch,
            steps=steps,
            seed=seed,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
            round_=finished,
        )
        return detection_train_loader(
            self._splits.train,
            masks=self._masks,
            sampler=sampler,
            batch_size=batch,
            seed=seed,
            workers=self._workers,
        )
