"""Hard negatives of a step, encoded: whether there are any now, of which images, at what size."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from salmask_plugin.adapters.recipe import check_encoding
from salmask_plugin.masking import SaliencyMasking
from salmask_plugin.negatives import NegativeEncoding
from salmask_plugin.running_statistics import frozen_running_statistics


class HardNegativeEncoder:
    """Encode hard negatives without gradient, in a forward that updates no running statistics.

    Args:
        encoding: what is encoded of them; None: all, whole, in every step.
        masking: of the run.

    Raises:
        ValueError: if it is no NegativeEncoding, or something is to be left out of hard negatives
            that nobody makes.
    """

    def __init__(self, encoding: NegativeEncoding | None, masking: SaliencyMasking | None) -> None:
        self.encoding = check_encoding(encoding, masking)

    def due(self, step: int) -> bool:
        """Whether the batches of this optimizer step have hard negatives."""
        return self.encoding.falls_on(step)

    @torch.no_grad()
    def __call__(
        self,
        negatives: Tensor | None,
        networks: Sequence[nn.Module],
        encode: Callable[[Tensor], Tensor],
    ) -> tuple[Tensor | None, ...]:
        """Return their projections (N, M, D), and whose they are where not all images have some.

        These are the loss' further arguments.

        Args:
            negatives: (B, M, C, H, W), or None without any.
            networks: that encode.
            encode: images (N, C, h, w) -> projections (N, D).
        """
        if negatives is None:
            return (None,)
        chosen = self.encoding.chosen(negatives)
        with frozen_running_statistics(*networks):
            encoded = torch.stack([encode(images) for images in chosen.unbind(1)], 1)
        owners = self.encoding.owners(len(negatives), encoded.device)
        return (encoded,) if owners is None else (encoded, owners)
