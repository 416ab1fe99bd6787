"""ResNets as lightly's benchmarks use them: features, not classes; a stem for small images."""

from __future__ import annotations

from typing import Literal, get_args

import torchvision
from torch import nn

Stem = Literal["standard", "cifar", "cifar_pool"]
FEATURE_DIMS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048}


def resnet(name: str = "resnet50", *, stem: Stem = "standard") -> tuple[nn.Module, int]:
    """Return a randomly initialised torchvision ResNet without its classifier, and its feature_dim.

    Args:
        name: a key of ``FEATURE_DIMS``.
        stem: "cifar" has a 3x3 convolution of stride 1 and no max-pooling, for views of about
            32 px, which the standard stem shrinks to 1 x 1 before the last stage's end.
            "cifar_pool" keeps the max-pooling behind that convolution, for views of about 64 px.

    Raises:
        ValueError: on another name or stem.
    """
    if name not in FEATURE_DIMS:
        raise ValueError(f"name={name!r} must be one of {tuple(FEATURE_DIMS)}.")
    if stem not in get_args(Stem):
        raise ValueError(f"stem={stem!r} must be one of {get_args(Stem)}.")
    network = torchvision.models.get_model(name, weights=None)
    network.fc = nn.Identity()
    if stem != "standard":
        network.conv1 = nn.Conv2d(3, 64, kernel_size=3, stride=1, padding=1, bias=False)
        nn.init.kaiming_normal_(network.conv1.weight, mode="fan_out", nonlinearity="relu")
    if stem == "cifar":
        network.maxpool = nn.Identity()
    return network, FEATURE_DIMS[name]
