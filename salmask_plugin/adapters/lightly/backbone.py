"""ResNets as lightly's benchmarks use them: features, not classes; a stem for small images."""

from __future__ import annotations

from typing import Literal

import torchvision
from torch import nn

from salmask_plugin.checks import check_choice, whole_number

Stem = Literal["standard", "cifar", "cifar_pool"]
FEATURE_DIMS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048}


def resnet(
    name: str = "resnet50", *, stem: Stem = "standard", in_channels: int = 3
) -> tuple[nn.Module, int]:
    """Return a randomly initialised torchvision ResNet without its classifier, and its feature_dim.

    Args:
        name: a key of ``FEATURE_DIMS``.
        stem: "cifar" has a 3x3 convolution of stride 1 and no max-pooling, for views of about
            32 px, which the standard stem shrinks to 1 x 1 before the last stage's end.
            "cifar_pool" keeps the max-pooling behind that convolution, for views of about 64 px.
        in_channels: of the views.

    Raises:
        ValueError: on another name or stem, or no channel.
    """
    if name not in FEATURE_DIMS:
        raise ValueError(f"name={name!r} must be one of {tuple(FEATURE_DIMS)}.")
    check_choice(stem, "stem", Stem)
    in_channels = whole_number(in_channels, "in_channels")
    network = torchvision.models.get_model(name, weights=None)
    network.fc = nn.Identity()
    if stem != "standard" or in_channels != 3:
        size, stride, padding = (7, 2, 3) if stem == "standard" else (3, 1, 1)
        network.conv1 = nn.Conv2d(in_channels, 64, size, stride, padding, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    if stem == "cifar":
        network.maxpool = nn.Identity()
    return network, FEATURE_DIMS[name]
