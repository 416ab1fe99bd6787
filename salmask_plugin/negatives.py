"""What is encoded of the hard negatives: all of them, or less for less time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from salmask_plugin.checks import number, whole_number
from salmask_plugin.precision import in_float


@dataclass(frozen=True)
class NegativeEncoding:
    """Which hard negatives are encoded, and at what size. The defaults are the paper's: all, whole.

    A hard negative costs one forward of its image. Each setting saves a part of it, and each loses
    something:

    - ``side``: negatives shrunk to that share of the side. Objects and textures are then of another
      scale than in query and key, and BatchNorm normalises the negatives by other statistics. What
      a high-pass filter has left is fine, and shrinking removes much of it. The encoder must take
      views of that size.
    - ``every``: negatives in every n-th step alone. Fewer negatives, and the loss has another
      denominator from step to step, so that its curve has two levels.
    - ``share``: negatives for a part of the batch. The other images are contrasted with the queue's
      or the batch's negatives alone. BatchNorm sees fewer negatives at once.

    Nothing is drawn: all processes, and a resumed run, choose the same.

    Args:
        side: share of the views' side, in (0, 1]; sides are rounded to whole pixels.
        every: steps from one with negatives to the next, >= 1; the first step has them. Steps of
            the optimizer: batches that share one are treated alike.
        share: part of the batch, in (0, 1]; rounded, at least two images, since a single one has no
            statistics for the head's BatchNorm. It is the batch's first images: a part drawn at
            random where batches are shuffled.

    Raises:
        ValueError: if a value is out of its range.
    """

    side: float = 1.0
    every: int = 1
    share: float = 1.0

    def __post_init__(self) -> None:
        for name in ("side", "share"):
            share = number(getattr(self, name), name, above=0, at_most=1)
            object.__setattr__(self, name, share)
        object.__setattr__(self, "every", whole_number(self.every, "every"))

    @property
    def passes(self) -> float:
        """Forwards of the batch that one hard negative an image costs; 1 for the paper's form.

        A forward's work goes with the pixels. Beside it a MoCo v2 step takes 4, SimCLR's 6.
        """
        return self.side**2 * self.share / self.every

    def falls_on(self, step: int) -> bool:
        """Whether this step of the optimizer, counted from 0, has hard negatives."""
        return step % self.every == 0

    def chosen(self, negatives: Tensor) -> Tensor:
        """Return what is encoded of a step's hard negatives.

        Args:
            negatives: (B, M, C, H, W) images without their object, floating point.

        Returns:
            (N, M, C, h, w), those of the batch's first N images; the input where all is encoded.

        Raises:
            ValueError: if a side would be less than a pixel.
        """
        some = negatives[: self._count(len(negatives))]
        if self.side == 1:
            return some
        height, width = (round(self.side * length) for length in negatives.shape[-2:])
        if min(height, width) < 1:
            raise ValueError(
                f"side={self.side} of views {tuple(negatives.shape[-2:])} is less than a pixel."
            )
        flat = in_float(some.flatten(0, 1))
        small = F.interpolate(flat, (height, width), mode="bilinear", antialias=True)
        return small.to(some.dtype).view(*some.shape[:-2], height, width)

    def owners(self, batch: int, device: torch.device | str) -> Tensor | None:
        """Return (N,) int64, the images that :meth:`chosen` are of; None: all, in their order."""
        count = self._count(batch)
        return None if count == batch else torch.arange(count, device=device)

    def in_words(self) -> str:
        """Say it in a line, for records and reports."""
        side = "at full size" if self.side == 1 else f"at {self.side:g} of the side"
        step = "in every step" if self.every == 1 else f"in one step of {self.every}"
        part = "for all images" if self.share == 1 else f"for {self.share:g} of the batch"
        return f"{side}, {step}, {part}"

    def _count(self, batch: int) -> int:
        return min(batch, max(2, round(self.share * batch)))
