"""What a depth data set is: three frames in a row to train on, and pictures with known depth."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmask_plugin.lab.data import pixel_digest, split_identity, spot_checks

Triplet = tuple[Image.Image, Image.Image, Image.Image]
"""The frame before, the frame itself and the frame after, of one size."""


@runtime_checkable
class FrameTriplets(Protocol):
    """A map-style set of three frames of one camera, in the order of time."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Triplet: ...

    def intrinsics(self, index: int) -> NDArray[np.float64]:
        """Return the camera matrix (3, 3), its rows divided by the picture's width and height.

        The centre counts from the picture's corner: 0.5 is the middle of any picture.
        """


@runtime_checkable
class DepthImages(Protocol):
    """A map-style set of pictures with the depth that was measured in them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Image.Image: ...

    def depth(self, index: int) -> NDArray[np.float32]:
        """Return (H, W) metres at the depth's own resolution; 0 where nothing was measured."""


@dataclass(frozen=True)
class DepthSplits:
    """A depth data set.

    Attributes:
        train: what is learned from; no depth.
        test: what is measured on.
        name: for records.
        notes: for the user and the record, such as a camera that is not the picture's own.
    """

    train: FrameTriplets
    test: DepthImages
    name: str
    notes: tuple[str, ...] = ()


def identity_of(splits: DepthSplits) -> dict[str, Any]:
    """Return what tells a depth data set from another, as JSON.

    Of both splits the number, a digest of ``names`` where the set has them, and up to 16 entries:
    of those to train on the pixels and the camera, of the others the pixels and the depth.
    """
    train, test = splits.train, splits.test
    return {
        "train": _split(
            train, [_digest(train[p], train.intrinsics(p)) for p in spot_checks(len(train))]
        ),
        "test": _split(test, [_digest([test[p]], test.depth(p)) for p in spot_checks(len(test))]),
    }


def _split(images: FrameTriplets | DepthImages, pixels: list[str]) -> dict[str, Any]:
    names = getattr(images, "names", None)
    return split_identity(len(images), labels=None, names=names, pixels=pixels)


def _digest(pictures: Sequence[Image.Image], values: NDArray[Any]) -> str:
    parts = [str(pixel_digest(picture)) for picture in pictures]
    return " ".join([*parts, hashlib.sha256(np.ascontiguousarray(values).tobytes()).hexdigest()])
