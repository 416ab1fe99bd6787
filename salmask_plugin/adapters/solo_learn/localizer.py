"""From a localizer's name to the localizer, for the views solo-learn makes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from salmask_plugin import localizers
from salmask_plugin.adapters.solo_learn.settings import MaskingSettings
from salmask_plugin.localizers import SCDALocalizer, UniformLocalizer, pretrained
from salmask_plugin.localizers.frozen import IMAGENET_MEAN, IMAGENET_STD
from salmask_plugin.types import Images, Localizer, Saliency

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
IMAGENET: Statistics = (IMAGENET_MEAN, IMAGENET_STD)
NORMALISED_BY: dict[str, Statistics] = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "stl10": ((0.4914, 0.4823, 0.4466), (0.247, 0.243, 0.261)),
}
"""Mean and deviation by which solo-learn normalises views, where they are not ImageNet's."""

NEEDS_NO_ENCODER = ("resnet50", "efficientnet_lite0", "coco", "uniform", "center")


@dataclass(frozen=True)
class ImageNetViews:
    """Show a localizer ImageNet-normalised views, however the host normalised them.

    Args:
        localizer: expects ImageNet-normalised views.
        mean: what the host subtracted, per channel.
        std: what it then divided by.
    """

    localizer: Localizer
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @property
    def trained_on(self) -> str:
        """As the localizer inside says."""
        return trained_on(self.localizer)

    def __call__(self, images: Images) -> Saliency:
        """Return the maps of the images, (B, h, w)."""
        mean, std, to_mean, to_std = (
            torch.tensor(values, device=images.device).view(1, -1, 1, 1)
            for values in (self.mean, self.std, *IMAGENET)
        )
        return self.localizer((images.float() * std + mean - to_mean) / to_std)


def build_localizer(
    settings: MaskingSettings,
    *,
    normalised_by: Statistics = IMAGENET,
    key_encoder: nn.Module | None = None,
) -> Localizer:
    """Return the localizer that ``settings.localizer`` names.

    Without masks nothing is loaded. The global random state is left as it was.

    Args:
        settings: the validated node.
        normalised_by: (mean, std) of the host's views.
        key_encoder: of a momentum method, for "momentum".

    Raises:
        FileNotFoundError: if weights cannot be had; the message names the embedded alternative.
    """
    with torch.random.fork_rng():
        localizer = _build(settings, key_encoder)
    if isinstance(localizer, SCDALocalizer) and normalised_by != IMAGENET:
        return ImageNetViews(localizer, *normalised_by)
    return localizer


def _build(settings: MaskingSettings, key_encoder: nn.Module | None) -> Localizer:
    name = settings.localizer
    if name == "uniform" or not settings.masks:
        return UniformLocalizer(grid=settings.grid)
    if name == "center":
        return localizers.CenterLocalizer(grid=settings.grid)
    if name == "momentum":
        if key_encoder is None:
            raise ValueError("salmask.localizer=momentum needs a method with a momentum encoder.")
        # The encoder filters what it is shown by itself, where it is a high-pass one.
        return localizers.MomentumLocalizer(key_encoder, settings.momentum_layer)
    network: Callable[[Tensor], Tensor]
    if name == "efficientnet_lite0":
        network = pretrained.efficientnet_lite0()
    elif name == "coco":
        network = pretrained.coco_fasterrcnn_resnet50(weights_file=settings.localizer_weights)
    else:
        network = pretrained.torchvision_resnet50(weights_file=settings.localizer_weights)
    return SCDALocalizer(network, input_size=settings.localizer_input_size)


def trained_on(localizer: Any) -> str:
    """Return what a localizer has learned from, in words; "none" if it learned nothing."""
    return str(getattr(localizer, "trained_on", "none"))
