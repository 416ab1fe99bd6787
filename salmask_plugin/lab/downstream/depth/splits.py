"""What a depth data set is: three frames in a row to train on, and pictures with known depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
