"""What a data set is to the rest of the package, and its class-balanced subsets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from PIL import Image

from salmask_plugin.lab.data.channels import RGB, Channels
from salmask_plugin.lab.data.text_files import shown


@runtime_checkable
class LabelledImages(Protocol):
    """A map-style data set of (8-bit RGB picture, class index)."""

    @property
    def labels(self) -> Sequence[int]:
        """The class index of every image, known without decoding any."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image.Image, int]: ...


@runtime_checkable
class MaskedImages(LabelledImages, Protocol):
    """Labelled images whose object is known pixel by pixel."""

    def with_mask(self, index: int) -> tuple[Image.Image, Image.Image, int]:
        """Return (picture, object mask of mode "L" with 255 = object, class index)."""


@dataclass(frozen=True)
class ImageSplits:
    """The images to learn from and the images to test on.

    Attributes:
        train: for pretraining, and with labels for kNN and linear evaluation.
        val: never trained on.
        classes: names in the order of the class indices, made fit to be written, see
            :func:`~salmask_plugin.lab.data.text_files.shown`.
        name: of the data set, for records and tables.
        has_masks: whether both splits are :class:`MaskedImages`.
        unlabelled: why there are no labels, as a sentence; None where there are. All images then
            count as one class, and ``val`` is empty.
        channels: of the pictures. Pictures of other channels than RGB are float32 (C, H, W).
    """

    train: LabelledImages
    val: LabelledImages
    classes: tuple[str, ...]
    name: str
    has_masks: bool = False
    unlabelled: str | None = None
    channels: Channels = RGB

    def __post_init__(self) -> None:
        # For records, tables and figures; the files are read by their own names.
        object.__setattr__(self, "classes", tuple(shown(name) for name in self.classes))


class ImageSubset:
    """Some images of a data set, in a given order.

    Args:
        images: all of them.
        indices: which ones.
    """

    def __init__(self, images: LabelledImages, indices: Sequence[int]) -> None:
        self.images = images
        self.indices = tuple(indices)
        self.labels = tuple(images.labels[index] for index in self.indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return self.images[self.indices[index]]

    def with_mask(self, index: int) -> tuple[Image.Image, Image.Image, int]:
        """As :meth:`MaskedImages.with_mask`, where the whole data set has masks."""
        if not isinstance(self.images, MaskedImages):
            raise ValueError("The images of this subset have no masks.")
        return self.images.with_mask(self.indices[index])


def images_of(splits: ImageSplits, split: str) -> LabelledImages:
    """Return the images of a split, "train" or "val".

    Raises:
        ValueError: if it has none, as "val" where there are no labels.
    """
    images = splits.train if split == "train" else splits.val
    if not len(images):
        raise ValueError(f"data {splits.name} has no {split} images; use --split train.")
    return images


def limited(
    splits: ImageSplits, *, limit_train: int | None, limit_val: int | None, seed: int
) -> ImageSplits:
    """Return the splits cut down to class-balanced subsets; None leaves a split whole.

    Raises:
        ValueError: if a limit is below the number of classes or above the number of images.
    """
    train, val = splits.train, splits.val
    classes = len(splits.classes)
    if limit_train is not None:
        _check_limit("limit_train", limit_train, classes, len(train))
        train = ImageSubset(train, balanced_indices(train.labels, limit_train, seed))
    if limit_val is not None:
        _check_limit("limit_val", limit_val, classes, len(val))
        val = ImageSubset(val, balanced_indices(val.labels, limit_val, seed))
    return replace(splits, train=train, val=val)


def first_classes(splits: ImageSplits, count: int | None) -> ImageSplits:
    """Return the splits cut down to their first ``count`` classes; None leaves them whole.

    Raises:
        ValueError: if the count is below 2 or above the number of classes.
    """
    if count is None:
        return splits
    if not 2 <= count <= len(splits.classes):
        raise ValueError(
            f"limit_classes={count} must be between 2 and {len(splits.classes)} (all classes), or "
            "null for all."
        )
    train, val = (
        ImageSubset(images, [i for i, label in enumerate(images.labels) if label < count])
        for images in (splits.train, splits.val)
    )
    return replace(splits, train=train, val=val, classes=splits.classes[:count])


def labelled_share(splits: ImageSplits, share: float, *, seed: int = 0) -> ImageSplits:
    """Return the splits with a class-balanced share of the training images: few-label protocols.

    At least one image of each class is kept. The choice depends on ``seed`` and the labels alone;
    a smaller share is contained in every larger one.

    Args:
        splits: the whole set.
        share: of the training images, in (0, 1].
        seed: of the choice, not of a run: all runs learn from the same images.

    Raises:
        ValueError: if the share is out of range, or a class has no training image at all.
    """
    if not 0 < share <= 1:
        raise ValueError(f"label_share={share} must be above 0 and at most 1.")
    if share == 1:
        return splits
    labels = splits.train.labels
    missing = sorted(set(range(len(splits.classes))) - set(labels))
    if missing:
        raise ValueError(
            f"{splits.name} has no training image of {len(missing)} classes, such as "
            f"{splits.classes[missing[0]]!r}."
        )
    count = max(len(splits.classes), round(share * len(labels)))
    return replace(splits, train=ImageSubset(splits.train, balanced_indices(labels, count, seed)))


def balanced_indices(labels: Sequence[int], count: int, seed: int) -> list[int]:
    """Choose ``count`` images with class counts as equal as the classes allow, in ascending order.

    Every class is shuffled once, then the classes give one image each in turn until the count is
    reached. A smaller choice is thus contained in every larger one of the same seed.
    """
    rng = np.random.default_rng((seed, len(labels)))
    classes = np.asarray(labels)
    turn = np.empty(len(classes), dtype=np.int64)
    order = np.empty(len(classes), dtype=np.int64)
    for place, label in enumerate(rng.permutation(np.unique(classes))):
        members = rng.permutation(np.flatnonzero(classes == label))
        turn[members] = np.arange(len(members))
        order[members] = place
    chosen = np.lexsort((order, turn))[:count]
    return sorted(chosen.tolist())


def _check_limit(name: str, limit: int, classes: int, available: int) -> None:
    if not classes <= limit <= available:
        raise ValueError(
            f"{name}={limit} must be between {classes} (one image per class) and {available} "
            "(all images of the split), or null for all."
        )
