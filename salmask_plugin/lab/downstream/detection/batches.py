"""Batches for a detector: pictures of any size as they are, and targets in torchvision's words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from torchvision.transforms.functional import pil_to_tensor

from salmask_plugin.lab.data.outlines import outline_masks
from salmask_plugin.lab.data.worker_loader import Loader, worker_loader
from salmask_plugin.lab.downstream.detection.instances import InstanceImages


@dataclass(frozen=True)
class DetectionBatch:
    """Some pictures with their objects.

    Attributes:
        images: each (3, H, W) uint8, of its own size.
        targets: each with ``boxes`` (N, 4) float32, ``labels`` (N,) int64 from 1 (0 is background)
            and, where asked for, ``masks`` (N, H, W) uint8. Empty for validation.
        indices: of the pictures in their split.
    """

    images: list[Tensor]
    targets: list[dict[str, Tensor]]
    indices: list[int]

    def __len__(self) -> int:
        return len(self.images)

    def to(self, device: Any, non_blocking: bool = False) -> DetectionBatch:
        """Return the batch on another device."""
        images = [image.to(device, non_blocking=non_blocking) for image in self.images]
        targets = [
            {key: value.to(device, non_blocking=non_blocking) for key, value in target.items()}
            for target in self.targets
        ]
        return DetectionBatch(images, targets, self.indices)

    def pin_memory(self) -> DetectionBatch:
        """Return the batch in page-locked memory, for faster copies to a GPU."""
        images = [image.pin_memory() for image in self.images]
        targets = [
            {key: value.pin_memory() for key, value in target.items()} for target in self.targets
        ]
        return DetectionBatch(images, targets, self.indices)


class DetectionSamples(Dataset[tuple[Tensor, dict[str, Tensor], int]]):
    """Pictures with their learned objects; every second one, by a draw of its own, is mirrored.

    The draw depends on (seed, pass, index) alone.

    Args:
        images: the split.
        seed: of the mirroring.
        masks: targets have masks as well.
        train: False gives the pictures as they are, without targets.
    """

    def __init__(self, images: InstanceImages, *, seed: int, masks: bool, train: bool) -> None:
        self._images = images
        self._seed = seed
        self._masks = masks
        self._train = train

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, key: tuple[int, int]) -> tuple[Tensor, dict[str, Tensor], int]:
        turn, index = key
        image = self._images[index]
        if not self._train:
            return pil_to_tensor(image), {}, index
        mirrored = np.random.default_rng((self._seed, turn, index)).random() < 0.5
        picture, target = self._sample(image, index, mirrored)
        return picture, target, index

    def _sample(
        self, image: Image.Image, index: int, mirrored: bool
    ) -> tuple[Tensor, dict[str, Tensor]]:
        found = self._images.instances[index]
        keep = found.learned
        boxes = torch.from_numpy(found.boxes[keep]).float()
        target = {"boxes": boxes, "labels": torch.from_numpy(found.labels[keep] + 1)}
        picture = pil_to_tensor(image)
        if self._masks:
            assert found.outlines is not None
            chosen = [found.outlines[place] for place in np.flatnonzero(keep)]
            target["masks"] = torch.from_numpy(outline_masks(chosen, image.size))
        if mirrored:
            left, top, right, bottom = boxes.unbind(1)
            target["boxes"] = torch.stack((image.width - right, top, image.width - left, bottom), 1)
            picture = picture.flip(-1)
            if self._masks:
                target["masks"] = target["masks"].flip(-1)
        return picture, target


class RoundSampler(Sampler[tuple[int, int]]):
    """An endless stream of shuffled passes over the images, cut into rounds of equal length.

    Place p of the stream is place p % n of pass p // n, whose order depends on (seed, pass) alone.
    A batch over all processes is a run of the stream; each process takes its part of it.

    Args:
        count: images.
        batch_size: images per step and process.
        steps: of a round.
        seed: of the order.
        rank: this process.
        world_size: number of processes.
        round_: rounds finished so far; later :meth:`set_epoch` says it.
    """

    def __init__(
        self,
        count: int,
        *,
        batch_size: int,
        steps: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        round_: int = 0,
    ) -> None:
        self._count = count
        self._batch_size = batch_size
        self._steps = steps
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._round = round_

    def __len__(self) -> int:
        return self._steps * self._batch_size

    def set_epoch(self, epoch: int) -> None:
        """Say how many rounds are finished; Lightning calls a round an epoch."""
        self._round = epoch

    def __iter__(self) -> Iterator[tuple[int, int]]:
        first = self._round * self._steps
        known: dict[int, list[int]] = {}
        for step in range(first, first + self._steps):
            start = (step * self._world_size + self._rank) * self._batch_size
            for place in range(start, start + self._batch_size):
                turn, offset = divmod(place, self._count)
                if turn not in known:
                    rng = np.random.default_rng((self._seed, turn))
                    known = {**known, turn: rng.permutation(self._count).tolist()}
                    known = {key: order for key, order in known.items() if key >= turn - 1}
                yield turn, known[turn][offset]


def detection_train_loader(
    images: InstanceImages,
    *,
    masks: bool,
    sampler: RoundSampler,
    batch_size: int,
    seed: int,
    workers: int = 0,
) -> Loader:
    """Return batches of mirrored or plain pictures with targets, in the sampler's order."""
    samples = DetectionSamples(images, seed=seed, masks=masks, train=True)
    return worker_loader(samples, sampler, batch_size=batch_size, workers=workers, collate=collate)


def detection_val_loader(
    images: InstanceImages,
    *,
    batch_size: int,
    workers: int = 0,
    rank: int = 0,
    world_size: int = 1,
) -> Loader:
    """Return batches of plain pictures, every ``world_size``-th of the split, each once."""
    samples = DetectionSamples(images, seed=0, masks=False, train=False)
    keys = [(0, index) for index in range(rank, len(images), world_size)]
    return worker_loader(samples, keys, batch_size=batch_size, workers=workers, collate=collate)


def collate(samples: list[tuple[Tensor, dict[str, Tensor], int]]) -> DetectionBatch:
    """Join samples without stacking them."""
    images, targets, indices = zip(*samples, strict=True)
    return DetectionBatch(list(images), [found for found in targets if found], list(indices))
