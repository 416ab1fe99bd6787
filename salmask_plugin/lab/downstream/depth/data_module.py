"""Where a process' frames come from, at whatever epoch training stands."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as pl

from salmask_plugin.lab.data import EpochSampler
from salmask_plugin.lab.downstream.depth.batches import (
    DepthPictures,
    DepthSamples,
    depth_test_loader,
    depth_train_loader,
)
from salmask_plugin.lab.downstream.depth.splits import DepthSplits
from salmask_plugin.lab.downstream.training import share_of_batch


class DepthData(pl.LightningDataModule):
    """Hand the trainer its loaders; training goes on at the epoch it is at, after a resume too.

    Args:
        splits: the data set.
        size: (height, width) of the networks' pictures.
        batch_size: of all processes.
        seed: of order and augmentation.
        workers: worker processes of each loader.
    """

    def __init__(
        self,
        splits: DepthSplits,
        size: tuple[int, int],
        *,
        batch_size: int,
        seed: int,
        workers: int,
    ) -> None:
        super().__init__()
        self._train = DepthSamples(splits.train, height=size[0], width=size[1], seed=seed)
        self._test = DepthPictures(splits.test, height=size[0], width=size[1])
        self._batch_size = batch_size
        self._seed = seed
        self._workers = workers

    def train_dataloader(self) -> Any:
        """Return the loader of the epochs to come; Lightning says ``set_epoch`` from the next."""
        assert self.trainer is not None
        finished: int = self.trainer.fit_loop.epoch_progress.current.processed  # type: ignore[attr-defined]
        sampler = EpochSampler(
            self._train,
            seed=self._seed,
            epoch=finished,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )
        return depth_train_loader(
            self._train, sampler, batch_size=self._share(), workers=self._workers
        )

    def val_dataloader(self) -> Any:
        """Return this process' share of the test pictures, each once."""
        assert self.trainer is not None
        return depth_test_loader(
            self._test,
            batch_size=self._share(),
            workers=self._workers,
            rank=self.trainer.global_rank,
            world_size=self.trainer.world_size,
        )

    def _share(self) -> int:
        assert self.trainer is not None
        return share_of_batch(self._batch_size, self.trainer.world_size, unit="triplets")
