"""Batch normalisation folded into the convolutions before it: the same features in less time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import FrozenBatchNorm2d


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold every BatchNorm of ``network`` into the convolution registered right before it.

    In eval mode BatchNorm is a scale and a shift per channel, which the convolution can do itself.
    Features change by rounding only. An activation that lives inside the norm (timm's
    ``BatchNormAct2d``) stays.

    The order of registration must be the order of execution, as in torchvision's and timm's
    ConvNets; :func:`same_features` checks that.

    Args:
        network: in eval mode; changed in place.

    Returns:
        The network.
    """
    for parent in list(network.modules()):
        for (_, convolution), (name, norm) in pairwise(list(parent.named_children())):
            if _fits(convolution, norm):
                _fold(convolution, norm)
                setattr(parent, name, getattr(norm, "act", nn.Identity()))
    return network


def same_features(first: nn.Module, second: nn.Module, method: str, *, side: int = 96) -> bool:
    """Whether two networks give the same features of one noise image, to float32 rounding."""
    noise = torch.randn(
        (1, 3, side, side),
        generator=torch.Generator("cpu").manual_seed(0),
        device="cpu",
        dtype=torch.float32,
    )
    with torch.no_grad():
        expected, found = (getattr(network, method)(noise) for network in (first, second))
    scale = float(expected.abs().max())
    return bool((expected - found).abs().max() <= 1e-3 * max(scale, 1e-6))


def _fits(convolution: nn.Module, norm: Any) -> bool:
    return (
        isinstance(convolution, nn.Conv2d)
        and isinstance(norm, nn.BatchNorm2d | FrozenBatchNorm2d)
        and norm.running_mean is not None
        and norm.running_mean.numel() == convolution.out_channels
    )


def _fold(convolution: nn.Module, norm: Any) -> None:
    assert isinstance(convolution, nn.Conv2d)
    weight, bias = fuse_conv_bn_weights(
        convolution.weight,
        convolution.bias,
        norm.running_mean,
        norm.running_var,
        norm.eps,
        norm.weight,
        norm.bias,
    )
    convolution.weight = nn.Parameter(weight.detach(), requires_grad=False)
    convolution.bias = nn.Parameter(bias.detach(), requires_grad=False)
