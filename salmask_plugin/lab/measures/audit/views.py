"""Which views an audit looks at: crops or whole images, with the object's mask in each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from salmask_plugin.lab.data import ImageSplits, TwoViewDataset, WholeViews
from salmask_plugin.lab.data.splits import images_of
from salmask_plugin.lab.data.worker_loader import worker_loader
from salmask_plugin.lab.runs.band_channels import transform_of, views_of
from salmask_plugin.lab.runs.trained import device_for
from salmask_plugin.lab.settings.settings import Settings

KINDS = ("random crops", "whole images")
BATCH = 16


def measured_views(
    settings: Settings,
    splits: ImageSplits,
    kind: str,
    *,
    split: str,
    count: int,
    limits: tuple[float, float],
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield (views, object masks), one view per image, without those outside the limits.

    The images are drawn by the seed. A random crop is the first of the method's two views.
    """
    crops = kind == KINDS[0]
    channels = splits.channels
    transform: Any = (
        views_of(transform_of(settings), channels, placements=True)
        if crops
        else WholeViews(settings.view_size, channels)
    )
    images = images_of(splits, split)
    order = np.random.default_rng(settings.seed).permutation(len(images))[:count]
    samples = TwoViewDataset(images, transform, seed=settings.seed, masks=True)
    loader = worker_loader(
        samples,
        order.tolist(),
        batch_size=BATCH,
        workers=min(settings.workers, torch.get_num_threads()),
        seed=settings.seed,
    )
    device = device_for(settings)
    for views, _, masks, _ in loader:
        area = (masks[0] > 0.5).double().mean((1, 2, 3))
        keep = (area >= limits[0]) & (area <= limits[1])
        if keep.any():
            yield views[0][keep].to(device), masks[0][keep].to(device)
