"""Choose one of several fills per image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from salmask_plugin.mixtures import check_kinds, choose
from salmask_plugin.types import Fill, Images, check_images


@dataclass(frozen=True)
class FillMixture:
    """Show each image's masked places by one of ``fills``, chosen with probability ``weights``.

    Every fill is asked for the whole batch, so a mixture costs what its fills cost together.

    Args:
        fills: the kinds.
        weights: their probabilities, in the same order; they must sum to 1.

    Raises:
        ValueError: if the weights do not fit, or a fill shows nothing: what is not seen is not seen
            in the whole batch.

    References:
        Ours: an encoder stands the kind of occlusion that its masks showed, and no other
        (docs/results.md), so several are shown.
    """

    fills: Sequence[Fill]
    weights: Sequence[float]

    def __post_init__(self) -> None:
        fills, weights = check_kinds("fill", self.fills, self.weights)
        for index, fill in enumerate(fills):
            if getattr(fill, "unseen", False):
                raise ValueError(
                    f"fills[{index}]={type(fill).__name__} shows nothing, for some images; "
                    "it is a fill for all of them, or none."
                )
        object.__setattr__(self, "fills", fills)
        object.__setattr__(self, "weights", weights)

    @property
    def across_images(self) -> bool:
        """Whether one of them shows an image in another's place."""
        return any(getattr(fill, "across_images", False) for fill in self.fills)

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Tensor:
        """Return content (B, C, H, W), or what broadcasts to it, of one kind per image."""
        check_images(images)
        draw = torch.rand(
            (len(images), 1, 1, 1), generator=generator, dtype=torch.float32, device=images.device
        )
        return choose(draw, self.weights, [fill(images, generator) for fill in self.fills])
