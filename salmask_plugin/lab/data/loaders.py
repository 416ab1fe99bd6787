"""Loaders for pretraining and for evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from salmask_plugin.crops import GuidedCrops
from salmask_plugin.lab.data.augment import evaluation_transform
from salmask_plugin.lab.data.sampling import EpochSampler
from salmask_plugin.lab.data.splits import ImageSplits, LabelledImages
from salmask_plugin.lab.data.two_view import OneViewDataset, Transform, TwoViewDataset
from salmask_plugin.lab.data.worker_loader import Collate, Loader, check_counts, worker_loader


def pretrain_loader(
    images: LabelledImages,
    transform: Transform,
    *,
    batch_size: int,
    seed: int,
    workers: int = 0,
    masks: bool = False,
    collate: Collate | None = None,
    crops: GuidedCrops | None = None,
    epoch: int = 0,
    rank: int | None = None,
    world_size: int | None = None,
) -> Loader:
    """Return batches of two views: ([view, view], labels, indices), incomplete batches left out.

    Order and augmentation depend on (seed, epoch, index) alone: the same with any number of
    workers and after a resume. Before each epoch call ``loader.sampler.set_epoch``; Lightning does
    so itself, but makes the first iterator earlier, hence ``epoch``. Building and iterating the
    loader draws nothing from the global generators.

    Args:
        images: the training images.
        transform: see :class:`TwoViewDataset`.
        batch_size: images per batch and process.
        seed: the run's seed.
        workers: worker processes; they live on from epoch to epoch.
        masks: batches are then ([view, view], labels, [mask, mask], indices).
        collate: batches are then what it makes of samples with placements, see
            :class:`TwoViewDataset`; it runs in the workers.
        crops: how the views are placed; see :class:`TwoViewDataset`.
        epoch: epochs finished so far: 0, or where a resumed run goes on.
        rank: see :class:`EpochSampler`.
        world_size: see :class:`EpochSampler`.

    Raises:
        ValueError: if a process has fewer images than one batch, or an argument is out of range.
    """
    check_counts(batch_size, workers)
    more = {"masks": masks, "placements": collate is not None}
    dataset = TwoViewDataset(images, transform, seed=seed, crops=crops, **more)
    sampler = EpochSampler(images, seed=seed, epoch=epoch, rank=rank, world_size=world_size)
    sampler.check_batch(batch_size)
    return worker_loader(
        dataset,
        sampler,
        batch_size=batch_size,
        workers=workers,
        seed=seed,
        drop_last=True,
        collate=collate,
    )


def evaluation_loaders(
    splits: ImageSplits,
    *,
    view_size: int,
    batch_size: int = 256,
    workers: int = 0,
    train_transform: Transform | None = None,
    seed: int = 0,
) -> tuple[Loader, Loader]:
    """Return loaders of (view, label) for (train, val), every image once.

    Val: the shorter side resized to 256/224 of the view, centre crop, ImageNet normalisation, in
    order. Train: the same, for kNN; or, with a ``train_transform``, shuffled anew in every epoch
    and augmented by it, for a linear probe.

    Args:
        splits: the data set.
        view_size: side of the views in pixels.
        batch_size: images per batch.
        workers: worker processes of each loader.
        train_transform: picture -> view, such as :func:`linear_train_transform`.
        seed: of shuffling and augmentation.

    Raises:
        ValueError: if an argument is out of range.
    """
    centre = evaluation_transform(view_size, splits.channels)
    train = OneViewDataset(splits.train, train_transform or centre, seed=seed)
    val = OneViewDataset(splits.val, centre, seed=seed)
    order = None if train_transform is None else EpochSampler(splits.train, seed=seed)
    return (
        worker_loader(train, order, batch_size=batch_size, workers=workers, seed=seed),
        worker_loader(val, None, batch_size=batch_size, workers=workers, seed=seed),
    )


@dataclass(frozen=True)
class TwoViewData:
    """Everything needed to build the pretraining loader, whenever a trainer asks for it.

    Attributes:
        splits: the data set.
        transform: of the two views.
        batch_size: images per batch and process.
        seed: the run's seed.
        workers: worker processes.
        masks: whether object masks travel with the views.
        collate: see :func:`pretrain_loader`.
        crops: see :func:`pretrain_loader`.
    """

    splits: ImageSplits
    transform: Transform
    batch_size: int
    seed: int
    workers: int = 0
    masks: bool = False
    collate: Collate | None = None
    crops: GuidedCrops | None = None

    def train_loader(
        self, epoch: int = 0, rank: int | None = None, world_size: int | None = None
    ) -> Loader:
        """Return :func:`pretrain_loader` of the training split from this epoch on."""
        return pretrain_loader(
            self.splits.train,
            self.transform,
            batch_size=self.batch_size,
            seed=self.seed,
            workers=self.workers,
            masks=self.masks,
            collate=self.collate,
            crops=self.crops,
            epoch=epoch,
            rank=rank,
            world_size=world_size,
        )


@dataclass(frozen=True)
class OneViewData:
    """The same as :class:`TwoViewData` for batches (view, label): training on labels.

    Attributes:
        splits: the data set.
        transform: picture -> view.
        batch_size: images per batch and process.
        seed: the run's seed.
        workers: worker processes.
    """

    splits: ImageSplits
    transform: Transform
    batch_size: int
    seed: int
    workers: int = 0

    def train_loader(
        self, epoch: int = 0, rank: int | None = None, world_size: int | None = None
    ) -> Loader:
        """Return the loader of the training split from this epoch on; see :func:`pretrain_loader`.

        Raises:
            ValueError: if a process has fewer images than one batch, or a number is out of range.
        """
        check_counts(self.batch_size, self.workers)
        images = self.splits.train
        sampler = EpochSampler(
            images, seed=self.seed, epoch=epoch, rank=rank, world_size=world_size
        )
        sampler.check_batch(self.batch_size)
        dataset = OneViewDataset(images, self.transform, seed=self.seed)
        return worker_loader(
            dataset,
            sampler,
            batch_size=self.batch_size,
            workers=self.workers,
            seed=self.seed,
            drop_last=True,
        )
