"""Which images of an epoch a process sees, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sized

import numpy as np
import torch
from torch.utils.data import DistributedSampler


class EpochSampler(DistributedSampler[tuple[int, int]]):
    """Shuffled (epoch, index) pairs, from (seed, epoch) alone, shared out among the processes.

    Every process takes every ``world_size``-th entry of the same permutation; the remainder of
    ``len(images) / world_size`` is left out, and differs from epoch to epoch. A DistributedSampler,
    because Lightning replaces every other kind when it trains on several devices.

    Args:
        images: anything with a length.
        seed: the run's seed, >= 0.
        epoch: epochs finished so far; later :meth:`set_epoch` says it, before the iterator is made.
        rank: this process; None asks torch.distributed (0 where that is not running).
        world_size: number of processes; None asks likewise.

    Raises:
        ValueError: if there are fewer images than processes, or rank is not below world_size.
    """

    def __init__(
        self,
        images: Sized,
        *,
        seed: int,
        epoch: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        running = torch.distributed.is_available() and torch.distributed.is_initialized()
        if rank is None:
            rank = torch.distributed.get_rank() if running else 0
        if world_size is None:
            world_size = torch.distributed.get_world_size() if running else 1
        if not 0 <= rank < world_size:
            raise ValueError(f"rank={rank} must be at least 0 and below world_size={world_size}.")
        if len(images) < world_size:
            raise ValueError(f"{len(images)} image(s) are too few for {world_size} processes.")
        super().__init__(images, world_size, rank, shuffle=True, seed=seed, drop_last=True)  # type: ignore[arg-type]
        self._images = images
        self.set_epoch(epoch)

    def __len__(self) -> int:
        return len(self._images) // self.num_replicas

    def __iter__(self) -> Iterator[tuple[int, int]]:
        epoch = self.epoch
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self._images))
        mine = order[self.rank : len(self) * self.num_replicas : self.num_replicas]
        return iter([(epoch, index) for index in mine.tolist()])

    def set_epoch(self, epoch: int) -> None:
        """Say how many epochs are finished. Lightning calls it before every epoch but the first.

        Raises:
            ValueError: if epoch is negative.
        """
        if epoch < 0:
            raise ValueError(f"epoch={epoch} must be at least 0.")
        super().set_epoch(epoch)

    def check_batch(self, batch_size: int) -> None:
        """Raise ValueError if this process has fewer images than one batch."""
        if len(self) < batch_size:
            raise ValueError(
                f"batch_size={batch_size} is larger than the {len(self)} training images that each "
                f"of {self.num_replicas} process(es) has: an epoch would have no batch."
            )
