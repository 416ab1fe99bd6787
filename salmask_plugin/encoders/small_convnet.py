"""A plain ConvNet of seven convolutions that learns visibly in minutes on one CPU core."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from salmask_plugin.checks import whole_number, whole_numbers
from salmask_plugin.localizers.weights import is_whole

SMALL_WIDTHS = (24, 32, 96, 192)
"""Channels of the stem and of the three groups: 0.63 M parameters."""


class SmallConvNet(nn.Module):
    """A 3x3 stem and three groups, each halving the side: 4 x 4 cells at 32 px, 6 x 6 at 48 px.

    A group is convolution, 2 x 2 max-pooling, BatchNorm, ReLU, convolution, BatchNorm, ReLU. All
    convolutions are 3x3 with padding 1 and no bias. The groups are called ``layer1`` to ``layer3``;
    a :class:`~salmask_plugin.MomentumLocalizer` reads ``layer3``.

    Args:
        widths: channels of the stem and of the groups; the last one is the dimension of the
            features.
        in_channels: of the images.

    Raises:
        ValueError: unless there are four positive widths and a channel.

    References:
        The plain stacks of Simonyan and Zisserman, "Very deep convolutional networks", ICLR 2015,
        https://arxiv.org/abs/1409.1556, pooled in front of the normalisation to save time.
    """

    def __init__(self, widths: Sequence[int] = SMALL_WIDTHS, in_channels: int = 3) -> None:
        super().__init__()
        widths = whole_numbers(widths, "widths")
        if len(widths) != 4:
            raise ValueError(f"widths={list(widths)} must be four numbers of channels, at least 1.")
        in_channels = whole_number(in_channels, "in_channels")
        stem, *groups = widths
        self.widths = widths
        self.stem = nn.Sequential(_convolution(in_channels, stem), nn.BatchNorm2d(stem), nn.ReLU())
        previous = [stem, *groups]
        self.layer1, self.layer2, self.layer3 = (
            _group(before, after) for before, after in zip(previous, groups, strict=False)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, D) of images (B, C, H, W) of at least 8 px a side."""
        maps: Tensor = self.layer3(self.layer2(self.layer1(self.stem(images))))
        return maps.mean((-2, -1))


def small_convnet(
    widths: Sequence[int] = SMALL_WIDTHS, in_channels: int = 3
) -> tuple[SmallConvNet, int]:
    """Return a randomly initialised small encoder and the dimension of its features."""
    network = SmallConvNet(widths, in_channels)
    return network, network.widths[-1]


def widths_of(state: Mapping[str, Tensor]) -> tuple[int, ...] | None:
    """Return the widths of the small encoder whose tensors these are; None if it is none.

    Every tensor must have its whole shape: who builds a network of these widths then needs no more
    memory than the tensors take.
    """
    shapes = _template()
    if state.keys() != shapes.keys():
        return None
    first = [state[f"{name}.0.weight"].shape for name in ("stem", "layer1", "layer2", "layer3")]
    if any(len(shape) != 4 for shape in first):
        return None
    widths = tuple(shape[0] for shape in first)
    meant = dict(zip(_PLACES, (first[0][1], *widths), strict=True))
    fits = all(
        tuple(value.shape) == tuple(meant.get(side, side) for side in shapes[name])
        and value.numel()
        and is_whole(value)
        for name, value in state.items()
    )
    return widths if fits else None


_PLACES = (2, 5, 7, 11, 13)
"""Stand for the images' channels and the widths in a shape: none of them is a kernel's side."""


@cache
def _template() -> dict[str, tuple[int, ...]]:
    """The shapes of a small encoder's tensors, in terms of ``_PLACES``."""
    with torch.random.fork_rng(devices=[]):
        network = SmallConvNet(_PLACES[1:], _PLACES[0])
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def _convolution(before: int, after: int) -> nn.Conv2d:
    convolution = nn.Conv2d(before, after, kernel_size=3, padding=1, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution


def _group(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        _convolution(before, after),
        nn.MaxPool2d(2),
        nn.BatchNorm2d(after),
        nn.ReLU(),
        _convolution(after, after),
        nn.BatchNorm2d(after),
        nn.ReLU(),
    )
