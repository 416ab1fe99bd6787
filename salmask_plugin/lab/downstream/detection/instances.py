"""What a detection data set is: pictures, and the boxes, classes and outlines of their objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmask_plugin.lab.data.outline_checks import Outline, checked_outline
from salmask_plugin.lab.data.reading import read_image
from salmask_plugin.lab.data.text_files import shown

Metric = Literal["voc", "coco"]
KEPT_SHARE = 0.5
"""Share of a box that must lie in the picture; official annotations overhang by a pixel or less."""


@dataclass(frozen=True)
class Instances:
    """The annotated objects of one picture.

    Attributes:
        boxes: (N, 4) float64, x0, y0, x1, y1 in pixels; x1 and y1 are the first not inside.
        labels: (N,) class indices from 0.
        ignored: (N,) bool: counts neither as found nor as missed (VOC's difficult objects, COCO's
            crowds).
        learned: (N,) bool: trained on.
        areas: (N,) annotated area in pixels; the boxes' own where nothing else is annotated.
        outlines: of the N objects; None where the set has none.
        size: (width, height) of the picture in pixels.
        name: of the picture, for messages.
    """

    boxes: NDArray[np.float64]
    labels: NDArray[np.int64]
    ignored: NDArray[np.bool_]
    learned: NDArray[np.bool_]
    areas: NDArray[np.float64]
    outlines: tuple[Outline, ...] | None
    size: tuple[int, int]
    name: str

    def __len__(self) -> int:
        return len(self.labels)

    def checked_outlines(self) -> tuple[Outline, ...]:
        """Return the outlines, proven to be outlines in a picture of this size.

        Raises:
            ValueError: naming the picture and the object, if one is none, or there are none.
        """
        if self.outlines is None:
            raise ValueError(f"'{self.name}' has no outlines to make masks of.")
        checked = []
        for place, outline in enumerate(self.outlines):
            try:
                checked.append(checked_outline(outline, self.size))
            except ValueError as error:
                raise ValueError(f"'{self.name}', object {place}: {error}") from error
        return tuple(checked)


@runtime_checkable
class InstanceImages(Protocol):
    """A map-style set of 8-bit RGB pictures whose objects are known without decoding any."""

    @property
    def instances(self) -> Sequence[Instances]:
        """The objects of every picture."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image.Image: ...


@dataclass(frozen=True)
class InstanceSplits:
    """The pictures to learn detection from and those to test on.

    Attributes:
        train: pictures with at least one learned object.
        val: never trained on.
        classes: names in the order of the class indices, made fit to be written.
        name: of the data set, for records.
        metric: the benchmark's own way to average precision.
        has_outlines: whether both splits have outlines.
        notes: what was left out, in words.
    """

    train: InstanceImages
    val: InstanceImages
    classes: tuple[str, ...]
    name: str
    metric: Metric
    has_outlines: bool
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        object.__setattr__(self, "classes", tuple(shown(name) for name in self.classes))


class SomeInstanceImages:
    """Some pictures of a set, in a given order.

    Args:
        images: all of them.
        indices: which ones.
    """

    def __init__(self, images: InstanceImages, indices: Sequence[int]) -> None:
        self._images = images
        self._indices = tuple(indices)
        self.instances = tuple(images.instances[index] for index in self._indices)

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> Image.Image:
        return self._images[self._indices[index]]


def with_learnable_train(splits: InstanceSplits) -> InstanceSplits:
    """Leave training pictures without a learned object out, and say how many.

    Raises:
        ValueError: if none is left, or the validation split has no picture.
    """
    keep = [index for index, found in enumerate(splits.train.instances) if found.learned.any()]
    if not keep:
        raise ValueError(f"{splits.name}: no training image has an object to learn from.")
    if not len(splits.val):
        raise ValueError(f"{splits.name}: the validation split has no image.")
    left_out = len(splits.train) - len(keep)
    if not left_out:
        return splits
    note = f"{left_out} training images without an object to learn from are left out"
    return replace(
        splits, train=SomeInstanceImages(splits.train, keep), notes=(*splits.notes, note)
    )


def limited_instances(
    splits: InstanceSplits, *, limit_train: int | None, limit_val: int | None, seed: int
) -> InstanceSplits:
    """Return seeded subsets; None leaves a split whole. A smaller one is part of a larger one.

    Raises:
        ValueError: if a limit is below 1 or above the number of images.
    """
    parts = []
    for name, images, limit in (
        ("limit_train", splits.train, limit_train),
        ("limit_val", splits.val, limit_val),
    ):
        if limit is None:
            parts.append(images)
            continue
        if not 1 <= limit <= len(images):
            raise ValueError(
                f"{name}={limit} must be between 1 and {len(images)} (all images of the split), "
                "or null for all."
            )
        order = np.random.default_rng((seed, len(images))).permutation(len(images))
        parts.append(SomeInstanceImages(images, sorted(order[:limit].tolist())))
    return replace(splits, train=parts[0], val=parts[1])


def box_in_picture(
    box: Sequence[float], size: tuple[int, int], name: str
) -> tuple[float, float, float, float]:
    """Return the part of a box (x0, y0, x1, y1) that lies in the picture.

    Raises:
        ValueError: if the box has no area, or more than half of it lies outside.
    """
    x0, y0, x1, y1 = box
    if not (x1 > x0 and y1 > y0):
        raise ValueError(
            f"{name}: the box {list(box)} has no area; x0 < x1 and y0 < y1 are needed."
        )
    inside = (max(x0, 0.0), max(y0, 0.0), min(x1, float(size[0])), min(y1, float(size[1])))
    kept = max(inside[2] - inside[0], 0.0) * max(inside[3] - inside[1], 0.0)
    if kept < KEPT_SHARE * (x1 - x0) * (y1 - y0):
        raise ValueError(
            f"{name}: the box {list(box)} lies outside of the picture of {size[0]}x{size[1]} px."
        )
    return inside


class InstanceFiles:
    """Annotated pictures in files, which are decoded when asked for.

    Args:
        paths: of the pictures.
        instances: their objects.
    """

    def __init__(self, paths: Sequence[Path], instances: Sequence[Instances]) -> None:
        self._paths = tuple(paths)
        self.instances = tuple(instances)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Image.Image:
        image = read_image(self._paths[index])
        check_size(image, self.instances[index])
        return image


def check_size(image: Image.Image, found: Instances) -> None:
    """Compare a decoded picture with its annotation.

    Raises:
        ValueError: if their sizes differ: the boxes would be in wrong places.
    """
    if image.size != found.size:
        raise ValueError(
            f"'{found.name}' is {image.size[0]}x{image.size[1]} px, its annotation says "
            f"{found.size[0]}x{found.size[1]}."
        )
