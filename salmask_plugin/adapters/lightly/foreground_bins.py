"""How the foreground's share of the grid is spread over images: a mean hides both its extremes."""

from __future__ import annotations

from itertools import pairwise

from pytorch_lightning import LightningModule
from torch import Tensor, tensor

EDGES = (0.05, 0.2, 0.4, 0.6, 0.8, 0.95)
"""Ends of the bins: of an image in the first, saliency marks nearly nothing; in the last, all."""
BIN_NAMES = tuple(
    f"foreground_{low:.2f}_to_{high:.2f}"
    for low, high in zip((0.0, *EDGES), (*EDGES, 1.0), strict=True)
)
"""Names of the logged bins. A bin holds its upper end and not its lower one."""


class ForegroundBins:
    """Count images by their foreground's share, on their device; log the bins as shares of images.

    A localizer that marks everything in half of the images and finds the object in the others has
    an unremarkable mean; here it fills the last bin to one half.
    """

    def __init__(self) -> None:
        self._edges: Tensor | None = None
        self._above: Tensor | None = None
        self._images = 0
        self._last = 0

    def add(self, objects: Tensor) -> None:
        """Count a batch of foregrounds, bool (B, h, w); nothing is read by the host."""
        shares = objects.flatten(1).float().mean(1)
        if self._edges is None or self._edges.device != shares.device:
            self._edges = tensor(EDGES, device=shares.device)
            self._above = None if self._above is None else self._above.to(shares.device)
        above = (shares[:, None] > self._edges).sum(0)
        self._above = above if self._above is None else self._above + above
        self._images += len(shares)

    def log(self, module: LightningModule) -> None:
        """Log what was counted since the last call, as part of the epoch's means, and forget it."""
        for name, share in self.take().items():
            module.log(
                name, share, on_step=False, on_epoch=True, sync_dist=True, batch_size=self._last
            )

    def take(self) -> dict[str, float]:
        """Return name -> share of the images counted since the last call; empty without any."""
        if self._above is None or not self._images:
            return {}
        above = [self._images, *self._above.tolist(), 0]
        shares = [(more - less) / self._images for more, less in pairwise(above)]
        self._last, self._images, self._above = self._images, 0, None
        return dict(zip(BIN_NAMES, shares, strict=True))
