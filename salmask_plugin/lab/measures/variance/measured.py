"""What is measured of an encoder: which views of which images, and what embeds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from salmask_plugin.lab.data import ImageSplits, TwoViewDataset
from salmask_plugin.lab.data.splits import images_of
from salmask_plugin.lab.data.worker_loader import batches_loader
from salmask_plugin.lab.errors import UserError
from salmask_plugin.lab.runs.band_channels import transform_of, views_of
from salmask_plugin.lab.settings.settings import Settings
from salmask_plugin.running_statistics import frozen_running_statistics


@dataclass(frozen=True)
class Measured:
    """What is measured of an encoder.

    Attributes:
        images: at most so many.
        views: r, of each image.
        split: which of the data set's images.
        layer: whose output.
        batch_norm: statistics of the batch, as in training, or the running ones.
    """

    images: int = 1000
    views: int = 32
    split: Literal["train", "val"] = "val"
    layer: Literal["projection", "backbone"] = "projection"
    batch_norm: Literal["batch", "running"] = "batch"


@dataclass(frozen=True)
class Encoder:
    """What embeds the views.

    Attributes:
        backbone: of the run's online branch, without the run's view filter.
        head: its projection head.
        layer: "projection" or "backbone".
        batch_norm: "batch" normalises by the batch at hand, in the module's own groups, and updates
            nothing; "running" is the module's eval mode.
    """

    backbone: nn.Module
    head: nn.Module
    layer: str
    batch_norm: str

    @torch.no_grad()
    def __call__(self, views: Tensor) -> Tensor:
        """Return embeddings (B, D)."""
        by_batch = self.batch_norm == "batch"
        for network in (self.backbone, self.head):
            network.train(by_batch)
        # In eval mode no layer is in training, and there is nothing to keep from changing.
        with frozen_running_statistics(self.backbone, self.head):
            features: Tensor = self.backbone(views).flatten(1)
            embeddings: Tensor = self.head(features) if self.layer == "projection" else features
        return embeddings


def image_groups(
    settings: Settings, splits: ImageSplits, measured: Measured
) -> Iterator[list[Tensor]]:
    """Yield the r views of one batch of images after the other, each (B, 3, H, W).

    Images are drawn by the seed, so that classes mix in a batch. Every batch holds one view of each
    of its images, as in training; an incomplete last batch is left out.
    """
    images = images_of(splits, measured.split)
    size = batch_size(settings, splits, measured)
    order = np.random.default_rng(settings.seed).permutation(len(images))[: measured.images]
    groups = [order[start : start + size].tolist() for start in range(0, len(order), size)]
    epochs = (measured.views + 1) // 2
    keys = [
        [(epoch, index) for index in group]
        for group in groups
        if len(group) == size
        for epoch in range(epochs)
    ]
    transform = views_of(transform_of(settings), splits.channels)
    samples = TwoViewDataset(images, transform, seed=settings.seed)
    loader = batches_loader(samples, keys, workers=settings.workers, seed=settings.seed)
    views: list[Tensor] = []
    for pair, _, _ in loader:
        views += pair
        if len(views) == 2 * epochs:
            yield views[: measured.views]
            views = []


def batch_size(settings: Settings, splits: ImageSplits, measured: Measured) -> int:
    """Return the run's batch size, or all images where there are fewer."""
    images = images_of(splits, measured.split)
    size = min(settings.loader.batch_size, measured.images, len(images))
    if size < 2:
        raise UserError(f"--images {measured.images}: at least 2 images are needed.")
    return int(size)
