"""Fill with nothing: the encoder does not see the place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from salmask_plugin.types import Images, check_images


@dataclass(frozen=True)
class UnseenFill:
    """Mark the masked places of the query as not seen, at every resolution of its encoder.

    No fill is without an edge where it begins; here there is none, since no layer reads the place.
    The pixels are zeros; what hides them is the host, which encodes the query inside
    :func:`~salmask_plugin.visible_only` with ``MaskedViews.query_unseen``. Hosts that cannot do so
    refuse it, as does :class:`~salmask_plugin.SaliencyMasking` for keys and hard negatives.

    Not in the paper.
    """

    unseen: ClassVar[bool] = True
    """That the places are to be hidden from the encoder: what makes this more than zeros."""

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Tensor:
        """Return zeros (B, C, 1, 1), broadcastable to the images (B, C, H, W)."""
        check_images(images)
        return images.new_zeros((*images.shape[:2], 1, 1))
