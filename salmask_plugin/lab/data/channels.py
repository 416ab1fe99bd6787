"""How many channels pictures have, and by what each is normalised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from salmask_plugin.localizers.frozen import IMAGENET_MEAN, IMAGENET_STD

MEASURED = 256
"""Pictures that statistics are measured on."""
DIGITS = 4
FIRST_THREE = (0, 1, 2)


class ChannelsError(ValueError):
    """What is said of a data set's channels cannot be."""


@dataclass(frozen=True)
class Channels:
    """The channels of a data set's pictures.

    Attributes:
        mean: per channel, subtracted from the values as they are read: 8-bit and 16-bit values from
            0 to 1, floating point as in the file.
        std: per channel, divided by, above 0.

    Raises:
        ValueError: if they differ in length, are empty, or a deviation is not above 0.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(map(float, self.mean)))
        object.__setattr__(self, "std", tuple(map(float, self.std)))
        if len(self.mean) != len(self.std) or not self.mean:
            raise ValueError(
                f"mean={list(self.mean)} and std={list(self.std)} must have one value per channel."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.std).all()):
            raise ValueError(f"mean={list(self.mean)} and std={list(self.std)} must be finite.")
        if min(self.std) <= 0:
            raise ValueError(f"std={list(self.std)} must be above 0.")

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.mean)

    @property
    def black(self) -> tuple[float, ...]:
        """What a value of 0 is after normalisation."""
        return tuple(-mean / std for mean, std in zip(self.mean, self.std, strict=True))

    def normalised(self, image: Tensor) -> Tensor:
        """Return (C, H, W) with mean 0 and deviation 1 over the data set."""
        mean, std = (torch.tensor(values)[:, None, None] for values in (self.mean, self.std))
        return (image - mean) / std


RGB = Channels()
"""Pictures in colour, 8 bits; what every data set has that does not say otherwise."""


def chosen_channels(
    images: Any,
    channels: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Channels:
    """Return the channels that a data set is said to have.

    Args:
        images: of the training split.
        channels: how many.
        mean: see :class:`Channels`; None for RGB.
        std: see :class:`Channels`; None for RGB.

    Raises:
        ChannelsError: if statistics are given for RGB, are not as many as the channels, or are
            missing for others; the sentence then says what was measured.
    """
    if channels == RGB.count:
        if mean is not None or std is not None:
            raise ChannelsError("mean and std are for other channels: RGB has ImageNet's.")
        return RGB
    if mean is None or std is None:
        found, deviations = statistics_of(images)
        raise ChannelsError(
            f"mean and std of the {channels} channels are not set. Of "
            f"{min(len(images), MEASURED):,} training pictures they are: "
            f"data.mean={_listed(found)} data.std={_listed(deviations)}; add these words, or "
            "those of your whole collection."
        )
    for name, values in (("mean", mean), ("std", std)):
        if len(values) != channels:
            raise ChannelsError(f"{name} has {len(values)} values for {channels} channels.")
    return Channels(tuple(mean), tuple(std))


def statistics_of(images: Any) -> tuple[list[float], list[float]]:
    """Return mean and deviation of each channel, over up to 256 pictures spread over the set.

    Each picture counts alike. A channel that is the same everywhere gets the deviation 1.

    Args:
        images: gives ((C, H, W), class index).
    """
    places = np.unique(np.linspace(0, len(images) - 1, MEASURED).round().astype(int)).tolist()
    # One picture after the other: 256 of many channels together fill a machine's memory.
    means, squares = [], []
    for place in places:
        values = images[place][0].double().flatten(1)
        means.append(values.mean(1))
        squares.append(values.square().mean(1))
    mean, square = torch.stack(means).mean(0), torch.stack(squares).mean(0)
    std = (square - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > 1e-12, std, 1.0)
    return [_rounded(value) for value in mean.tolist()], [_rounded(v) for v in std.tolist()]


def shown_bands(channels: int, bands: Sequence[int] = FIRST_THREE) -> list[int]:
    """Return the three channels that a picture for people shows: ``bands`` where these are three.

    One channel is shown grey; of two the first.
    """
    wanted = list(bands) if len(bands) == 3 else list(FIRST_THREE)
    return wanted if max(wanted) < channels else [0, 0, 0]


def size_of(image: Image.Image | Tensor) -> tuple[int, int]:
    """Return (width, height) of a picture in pixels."""
    if isinstance(image, Image.Image):
        return image.size
    return image.shape[-1], image.shape[-2]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _listed(values: Sequence[float]) -> str:
    return "[" + ",".join(f"{value:g}" for value in values) + "]"
