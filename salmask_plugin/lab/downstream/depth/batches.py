"""Batches of three neighbouring frames, changed alike, and pictures to measure on."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.transforms.v2 import functional as F

from salmask_plugin.lab.data.sampling import EpochSampler
from salmask_plugin.lab.data.worker_loader import Loader, worker_loader
from salmask_plugin.lab.downstream.depth.splits import DepthImages, FrameTriplets

JITTER = (
    ("brightness", 0.2),
    ("contrast", 0.2),
    ("saturation", 0.2),
    ("hue", 0.1),
)
"""What is changed, and by how much at most; the order is drawn."""


class DepthBatch(NamedTuple):
    """Frames in the order before, middle, after.

    Attributes:
        frames: (B, 3, 3, H, W) uint8, what the loss compares.
        inputs: the same, recoloured in half of the samples: what the networks see.
        cameras: (B, 3, 3) in pixels, the first pixel's middle being (0, 0).
    """

    frames: Tensor
    inputs: Tensor
    cameras: Tensor


class DepthSamples(Dataset[DepthBatch]):
    """Triplets at the network's size; the draws depend on (seed, epoch, index) alone.

    Half of the samples are mirrored, the camera with them. Half are recoloured, all three frames by
    the same amounts.

    Args:
        triplets: what is read.
        height: of the frames in pixels.
        width: the same.
        seed: of the draws.

    References:
        Godard et al. 2019, https://arxiv.org/abs/1806.01260, section 4.
    """

    def __init__(self, triplets: FrameTriplets, *, height: int, width: int, seed: int) -> None:
        self._triplets = triplets
        self._size = (height, width)
        self._seed = seed

    def __len__(self) -> int:
        return len(self._triplets)

    def __getitem__(self, key: tuple[int, int]) -> DepthBatch:
        epoch, index = key
        rng = np.random.default_rng((self._seed, epoch, index))
        frames = torch.stack([resized(frame, *self._size) for frame in self._triplets[index]])
        camera = in_pixels(self._triplets.intrinsics(index), *self._size)
        if rng.random() < 0.5:
            frames = frames.flip(-1)
            camera[0, 2] = self._size[1] - 1 - camera[0, 2]
        return DepthBatch(frames, _recoloured(frames, rng), camera)


class DepthPictures(Dataset[tuple[int, Tensor]]):
    """Single pictures at the network's size, with their place in the set.

    Args:
        images: what is read.
        height: in pixels.
        width: the same.
    """

    def __init__(self, images: DepthImages, *, height: int, width: int) -> None:
        self._images = images
        self._size = (height, width)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[int, Tensor]:
        return index, resized(self._images[index], *self._size)


def depth_train_loader(
    samples: DepthSamples, sampler: EpochSampler, *, batch_size: int, workers: int = 0
) -> Loader:
    """Return batches of triplets in the sampler's order; an incomplete last one is left out.

    Raises:
        ValueError: if an epoch would have no batch.
    """
    sampler.check_batch(batch_size)
    return worker_loader(samples, sampler, batch_size=batch_size, workers=workers, drop_last=True)


def depth_test_loader(
    pictures: DepthPictures,
    *,
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> Loader:
    """Return batches of every ``world_size``-th picture, each once."""
    places = range(rank, len(pictures), world_size)
    return worker_loader(pictures, places, batch_size=batch_size, workers=workers)


def resized(image: Image.Image, height: int, width: int) -> Tensor:
    """Return a picture as (3, H, W) uint8, reduced with anti-aliasing."""
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    pixels: Tensor = F.pil_to_tensor(image)
    return pixels


def in_pixels(shares: np.ndarray[Any, Any], height: int, width: int) -> Tensor:
    """Return a camera in shares of the sides as (3, 3) in pixels from the first pixel's middle."""
    camera = torch.from_numpy(np.asarray(shares * [[width], [height], [1]], np.float32))
    camera[:2, 2] -= 0.5
    return camera


def _recoloured(frames: Tensor, rng: np.random.Generator) -> Tensor:
    amounts = {name: rng.uniform(-most, most) for name, most in JITTER}
    order = rng.permutation(len(JITTER))
    if rng.random() < 0.5:
        return frames.clone()
    for place in order:
        name = JITTER[place][0]
        if name == "hue":
            frames = F.adjust_hue(frames, amounts[name])
        else:
            frames = getattr(F, f"adjust_{name}")(frames, 1 + amounts[name])
    return frames
