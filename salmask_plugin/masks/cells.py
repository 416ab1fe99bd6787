"""Cells of the saliency grid: which belong to the object, and how a share of them is drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from salmask_plugin.checks import number
from salmask_plugin.precision import in_float
from salmask_plugin.types import Saliency

Rounding = Literal["random", "nearest"]
"""How a share of the cells becomes a whole number: "random" keeps the share on average;
"nearest" (halves to even) does not: 15 % of 3x3 cells is always one cell, 11 %."""


def foreground(saliency: Saliency, tolerance: float = 0.6) -> Tensor:
    """Mark the cells that belong to the object (Eq. 1).

    A cell is foreground where its saliency is at least mean - tolerance * standard deviation of its
    own map (population deviation). At 0.6 about two thirds of a typical map are foreground. A
    constant map is all foreground; so is a map with a NaN or Inf, since it ranks nothing.

    Args:
        saliency: (B, h, w).
        tolerance: how many standard deviations below the mean still count; 0 is SCDA's own mean.

    Returns:
        (B, h, w) bool.

    Raises:
        ValueError: if ``saliency`` is not (B, h, w), or the tolerance is not finite.

    References:
        Chin et al., WACV 2024, Eq. 1. The released code sorts each row of the map first and so
        moves the foreground inside its row; see docs/paper_vs_code.md.
    """
    tolerance = number(tolerance, "tolerance")
    maps = ranked(saliency)
    deviation, mean = torch.std_mean(maps, dim=(1, 2), correction=0, keepdim=True)
    # The largest cells count whatever rounding or a strict tolerance says: never an empty object.
    return (maps >= mean - tolerance * deviation) | (maps == maps.amax((1, 2), keepdim=True))


def ranked(saliency: Saliency) -> Tensor:
    """Return the maps in float32 (float64 stays), those with a NaN or Inf replaced by zeros."""
    check_maps(saliency)
    maps = in_float(saliency)
    return torch.where(maps.isfinite().all(2).all(1)[:, None, None], maps, 0.0)


def check_maps(saliency: Saliency) -> None:
    """Raise ValueError unless the maps are (B, h, w) with at least one cell."""
    if saliency.ndim != 3 or 0 in saliency.shape[1:]:
        raise ValueError(
            f"saliency has shape {tuple(saliency.shape)}; it must be (B, h, w) with h, w >= 1."
        )


def uniform(
    shape: tuple[int, ...], device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Draw from U[0, 1) in float32, whatever torch's default type is: the bits decide the masks."""
    return torch.rand(shape, generator=generator, device=device, dtype=torch.float32)


@dataclass(frozen=True, eq=False)
class DrawnShare:
    """One share per image, and the draw that makes whole numbers of it.

    Attributes:
        share: (B, 1) float32 in [0, 1].
        toss: (B, 1) float32 in [0, 1), or None to round to the nearest, halves to even.
    """

    share: Tensor
    toss: Tensor | None

    def of(self, total: Tensor | int) -> Tensor:
        """Return the share of ``total``, (B, 1) or a number, as whole numbers: (B, 1) float32.

        With a toss, x becomes floor(x) + 1 with the probability of x's fraction, else floor(x). One
        toss serves every total of an image: what two totals differ by is rounded like that too, so
        the parts of a grid keep their shares, and a larger total never gets fewer cells.
        """
        exact = total * self.share
        if self.toss is None:
            return exact.round()
        whole = exact.floor()
        return whole + (self.toss < exact - whole)


def draw_share(
    ratio: tuple[float, float],
    saliency: Saliency,
    generator: torch.Generator | None,
    rounding: Rounding = "random",
) -> DrawnShare:
    """Draw one share per image uniformly from ``ratio``, and how it will be rounded."""
    low, high = ratio
    draws = 2 if rounding == "random" else 1
    shape = (draws, saliency.shape[0], 1)
    drawn = uniform(shape, saliency.device, generator)
    return DrawnShare(low + (high - low) * drawn[0], drawn[1] if draws == 2 else None)
