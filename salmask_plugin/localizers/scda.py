"""Saliency as the summed activations of a network's last stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from salmask_plugin.checks import height_and_width, whole_number
from salmask_plugin.types import Images, Saliency, check_images


@dataclass(frozen=True)
class SCDALocalizer:
    """Sum the channels of a frozen network's last feature map.

    Args:
        network: views -> features (B, D, h, w), non-negative, i.e. after the activation function; a
            :class:`~salmask_plugin.localizers.frozen.FrozenNetwork`, as the factories of
            ``localizers.pretrained`` return it.
        input_size: the views are resized to it for the network alone, so that a 32 px view still
            has a useful grid. An int is the shorter side, the aspect ratio kept; (height, width) is
            exact; None leaves the views as they are. The grid is what the network makes of it:
            7 x 7 at 224 px and stride 32.

    References:
        Chin et al., WACV 2024, section 3.1; Wei et al., "Selective Convolutional Descriptor
        Aggregation", TIP 2017. Differs from the latter: no largest connected component.
    """

    network: Callable[[Images], Tensor]
    input_size: int | tuple[int, int] | None = 224

    def __post_init__(self) -> None:
        if isinstance(self.network, nn.Module):
            raise ValueError(
                f"network={type(self.network).__name__} is an nn.Module: wrap a pretrained one in "
                "FrozenNetwork, which freezes it and knows its normalisation; for the encoder that "
                "is being trained use MomentumLocalizer."
            )
        size = self.input_size
        if size is not None:
            check = whole_number if isinstance(size, Real) else height_and_width
            object.__setattr__(self, "input_size", check(size, "input_size"))

    @property
    def trained_on(self) -> str:
        """The data and labels behind the network's weights, in words."""
        return str(getattr(self.network, "trained_on", "unknown"))

    @torch.no_grad()
    def __call__(self, images: Images) -> Saliency:
        """Return the maps of views (B, C, H, W): float32, (B, h, w). One forward for all.

        Raises:
            ValueError: if the images are no views, or the map is 1 x 1, which ranks nothing.
        """
        check_images(images)
        size = self._size(images.shape[-2], images.shape[-1])
        resized = images
        if size != images.shape[-2:]:
            shrinks = size[0] < images.shape[-2] or size[1] < images.shape[-1]
            # float32: half-precision resampling is missing or coarse on some devices.
            resized = F.interpolate(images.float(), size, mode="bilinear", antialias=shrinks)
        return channel_sum(
            self.network(resized),
            hint=f"the network saw {size[0]} x {size[1]} px; set input_size to a larger value, "
            "such as 224",
        )

    def _size(self, height: int, width: int) -> tuple[int, int]:
        if self.input_size is None:
            return height, width
        if isinstance(self.input_size, tuple):
            return self.input_size
        shorter = min(height, width)
        return round(self.input_size * height / shorter), round(self.input_size * width / shorter)


def channel_sum(features: Tensor, *, hint: str) -> Saliency:
    """Sum features (B, D, h, w) over D in float32.

    Args:
        features: of a network.
        hint: what to do about a 1 x 1 map, for the error.

    Raises:
        ValueError: if the features are no map, or a 1 x 1 map.
    """
    if not isinstance(features, Tensor) or features.ndim != 4:
        shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
        raise ValueError(f"features are {shape}; a map (B, D, h, w) is needed for saliency.")
    if features.shape[-2:] == (1, 1):
        raise ValueError(f"The saliency map is 1 x 1 and ranks nothing: {hint}.")
    return features.sum(1, dtype=torch.float32)
