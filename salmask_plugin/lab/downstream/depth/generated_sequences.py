"""Rides through drawn rooms as a depth data set: no download, everything known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salmask_plugin.lab.downstream.depth.rooms import Array, Ride, camera_shares, draw_ride
from salmask_plugin.lab.downstream.depth.splits import DepthSplits, Triplet

MIN_SIDE = 32
_SPLITS = {"train": 0, "test": 1}


def generated_sequences(
    train_sequences: int = 24,
    test_sequences: int = 6,
    frames: int = 4,
    width: int = 96,
    height: int = 64,
    seed: int = 0,
) -> DepthSplits:
    """Draw rides through rooms with a floor, walls and boards, each room different.

    The camera rides forward 0.25 to 0.4 m per frame at a fixed height, swaying a little. Nothing
    else moves. All frames are drawn at once and kept.

    Args:
        train_sequences: rides to train on, ``frames - 2`` triplets each.
        test_sequences: rides through other rooms; every frame is measured on.
        frames: of a ride, at least 3.
        width: of the pictures in pixels, at least 32.
        height: the same.
        seed: of everything. A ride depends on (seed, split, number, frames, width, height) alone.

    Raises:
        ValueError: if an argument is out of range.
    """
    for name, value, least in (
        ("train_sequences", train_sequences, 1),
        ("test_sequences", test_sequences, 1),
        ("frames", frames, 3),
        ("width", width, MIN_SIDE),
        ("height", height, MIN_SIDE),
        ("seed", seed, 0),
    ):
        if value < least:
            raise ValueError(f"{name}={value} must be at least {least}.")
    train, test = (
        [
            draw_ride(np.random.default_rng((seed, _SPLITS[split], number)), frames, width, height)
            for number in range(count)
        ]
        for split, count in (("train", train_sequences), ("test", test_sequences))
    )
    return DepthSplits(RideTriplets(train), RideDepth(test), "generated rides")


class RideTriplets:
    """The frames of rides that have two neighbours; see :func:`generated_sequences`.

    Args:
        rides: of one size.
    """

    def __init__(self, rides: Sequence[Ride]) -> None:
        self._places = [(ride, frame) for ride in rides for frame in range(1, len(ride.images) - 1)]

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Triplet:
        ride, frame = self._places[index]
        before, now, after = (Image.fromarray(ride.images[frame + step]) for step in (-1, 0, 1))
        return before, now, after

    def depth(self, index: int) -> NDArray[np.float32]:
        """Return (H, W) metres of the middle frame."""
        ride, frame = self._places[index]
        depth: NDArray[np.float32] = ride.depths[frame]
        return depth

    def motion(self, index: int, step: int) -> Array:
        """Return the (4, 4) transform from the middle frame's camera to a neighbour's."""
        ride, frame = self._places[index]
        moved: Array = ride.cameras[frame + step] @ np.linalg.inv(ride.cameras[frame])
        return moved

    def intrinsics(self, index: int) -> Array:
        """Return the camera matrix (3, 3) in shares of width and height."""
        height, width = self._places[index][0].images.shape[1:3]
        return camera_shares(width, height)


class RideDepth:
    """All frames of rides, with their depth; see :func:`generated_sequences`.

    Args:
        rides: of one size.
    """

    def __init__(self, rides: Sequence[Ride]) -> None:
        self._images = np.concatenate([ride.images for ride in rides])
        self._depths = np.concatenate([ride.depths for ride in rides])

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> Image.Image:
        return Image.fromarray(self._images[index])

    def depth(self, index: int) -> NDArray[np.float32]:
        """Return (H, W) metres, known everywhere."""
        depth: NDArray[np.float32] = self._depths[index]
        return depth
