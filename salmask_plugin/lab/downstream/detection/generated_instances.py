"""Generated pictures as a detection data set: one object each, its box and outline exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmask_plugin.lab.data.generated import GeneratedImages, generated
from salmask_plugin.lab.data.outlines import outline_of
from salmask_plugin.lab.downstream.detection.instances import Instances, InstanceSplits


def generated_instances(
    train_images: int = 400,
    val_images: int = 80,
    classes: int = 4,
    size: int = 96,
    seed: int = 0,
) -> InstanceSplits:
    """Draw the pictures of :func:`generated` and take box and outline from the object's mask.

    Args:
        train_images: pictures in the training split.
        val_images: pictures in the other split.
        classes: number of classes, 2 to 32.
        size: side of the square pictures in pixels, at least 24.
        seed: of everything.

    Raises:
        ValueError: if an argument is out of range.
    """
    splits = generated(
        train_images=train_images, val_images=val_images, classes=classes, size=size, seed=seed
    )
    assert isinstance(splits.train, GeneratedImages)
    assert isinstance(splits.val, GeneratedImages)
    return InstanceSplits(
        GeneratedInstanceImages(splits.train, "train"),
        GeneratedInstanceImages(splits.val, "val"),
        splits.classes,
        "generated",
        metric="coco",
        has_outlines=True,
    )


class GeneratedInstanceImages:
    """One split of :func:`generated_instances`.

    Args:
        images: with masks.
        split: its name, for messages.
    """

    def __init__(self, images: GeneratedImages, split: str) -> None:
        self._images = images
        found = []
        for index, label in enumerate(images.labels):
            mask = np.asarray(images.with_mask(index)[1]) > 0
            found.append(_instance(mask, label, f"{split} {index}"))
        self.instances = tuple(found)

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Image.Image:
        return self._images[index][0]


def _instance(mask: NDArray[np.bool_], label: int, name: str) -> Instances:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    return Instances(
        boxes=np.array([box], np.float64),
        labels=np.array([label], np.int64),
        ignored=np.zeros(1, bool),
        learned=np.ones(1, bool),
        areas=np.array([mask.sum()], np.float64),
        outlines=(outline_of(mask),),
        size=(mask.shape[1], mask.shape[0]),
        name=name,
    )
