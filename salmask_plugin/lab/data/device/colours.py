"""Brightness, contrast, saturation, hue and grey of a batch, each view with choices of its own."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from salmask_plugin.lab.data.device.draws import CONTRAST, HUE, SATURATION, ViewDraws

GREY = (0.2989, 0.587, 0.114)
"""Shares of red, green and blue in a grey: torchvision's, whose sum is 0.9999."""
BLENDS = 6
"""Three before hue and three after it, of which a view uses three."""


class Colours(NamedTuple):
    """What is done to the colours of each of N views.

    Three of the four operations blend a view with black, its mean grey or its greys, so that one
    formula serves them all. Hue is dear and done once: the blends that a view wants before it come
    first, then hue, then the others.

    Attributes:
        factor: (N, BLENDS), of the view itself; 1 where there is nothing to do.
        mean: (N, BLENDS), of its mean grey.
        grey: (N, BLENDS), of its greys.
        turned: bool (N, 1), whether hue is turned.
        shift: (N, 3), the turn as :func:`_turn_hue` wants it.
        dropped: bool (N, 1), whether all is made grey at the end.
    """

    factor: Tensor
    mean: Tensor
    grey: Tensor
    turned: Tensor
    shift: Tensor
    dropped: Tensor

    def of(self, part: slice) -> Colours:
        """Return those of some views."""
        return Colours(*(each[part] for each in self))

    def effects(self) -> Tensor:
        """Return bool (N, columns of all together), whether each does something."""
        return torch.cat([self.factor != 1, *(each != 0 for each in self[1:])], dim=1)

    def wanted(self, effects: Tensor | None) -> dict[str, list[bool]]:
        """Say which columns have an effect on some view; all, if effects are not known."""
        widths = {name: each.shape[1] for name, each in self._asdict().items()}
        known = [True] * sum(widths.values()) if effects is None else effects.any(dim=0).tolist()
        flags = iter(known)
        return {name: [next(flags) for _ in range(width)] for name, width in widths.items()}


def colours_of(draws: ViewDraws) -> Colours:
    """Sort out draws."""
    hue_place = (draws.order == HUE).int().argmax(dim=1, keepdim=True)
    turn = torch.arange(4, device=draws.hue.device)
    neutral = torch.ones_like(draws.hue)
    factors = torch.stack([draws.brightness, draws.contrast, draws.saturation, neutral], dim=1)
    factors = factors.gather(1, draws.order)
    before, after = factors.where(turn < hue_place, 1.0), factors.where(turn > hue_place, 1.0)
    factor = torch.cat([before[:, :3], after[:, 1:]], dim=1)
    operation = torch.cat([draws.order[:, :3], draws.order[:, 1:]], dim=1)
    return Colours(
        factor=factor,
        mean=(1 - factor).where(operation == CONTRAST, 0.0),
        grey=(1 - factor).where(operation == SATURATION, 0.0),
        turned=(draws.hue != 0)[:, None],
        shift=(6 * draws.hue[:, None] - 2 * turn[:3]).remainder(6) - 3,
        dropped=draws.grey[:, None],
    )


def change_colours(views: Tensor, colours: Colours, effects: Tensor | None = None) -> Tensor:
    """Return views with changed colours: a new tensor, or the same if there is nothing to do.

    Args:
        views: (N, 3, H, W) in [0, 1].
        colours: what to do.
        effects: :meth:`Colours.effects` where the host may read them, to leave out what changes no
            view; None does everything.
    """
    pixels = views.flatten(2)
    wanted = colours.wanted(effects)
    for number in range(BLENDS):
        if number == BLENDS // 2 and wanted["turned"][0]:
            pixels = _turn_hue(pixels, colours.shift)
        if not wanted["factor"][number]:
            continue
        blended = pixels * colours.factor[:, number, None, None]
        if wanted["mean"][number]:
            base = _greys(pixels.mean(dim=2)) * colours.mean[:, number]
            blended.add_(base[:, None, None])
        if wanted["grey"][number]:
            base = _greys(pixels).mul_(colours.grey[:, number, None])
            blended.add_(base[:, None])
        pixels = blended.clamp_(0, 1)
    if wanted["dropped"][0]:
        pixels = torch.where(colours.dropped[..., None], _greys(pixels)[:, None], pixels)
    return pixels.view(views.shape)


def jitter(views: Tensor, draws: ViewDraws) -> Tensor:
    """Change brightness, contrast, saturation and hue in each view's own order.

    Args:
        views: (N, 3, H, W) in [0, 1].
        draws: gives order and factors.
    """
    colours = colours_of(draws)
    return change_colours(views, colours._replace(dropped=torch.zeros_like(colours.dropped)))


def _greys(pixels: Tensor) -> Tensor:
    """(N, ...) from (N, 3, ...)."""
    red, green, blue = pixels.unbind(1)
    return (red * GREY[0]).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2])


def _turn_hue(pixels: Tensor, shift: Tensor) -> Tensor:
    """Turn the hue of each view (N, 3, P); value and chroma stay.

    On a circle of length 6, a channel is full within 1 of its own place (red 0, green 2, blue 4),
    empty beyond 2, and falls linearly between. All is multiplied by the chroma, so that nothing is
    divided by it. ``shift``, (N, 3), is the turn, seen from the point opposite to each channel.
    """
    red, green, blue = pixels.unbind(1)
    high = torch.maximum(red, green).maximum(blue)
    low = torch.minimum(red, green).minimum(blue)
    chroma = high - low
    # Chroma times (hue - 3), in [-3, 3]; with the shift in [-6, 6], so that one fold is enough.
    hue = (red - green).sub_(blue).add_(low).add_(chroma, alpha=2).copysign_(blue - green)
    channels = torch.addcmul(hue[:, None], chroma[:, None], shift[..., None])
    channels = channels.abs_().sub_(chroma[:, None], alpha=3).abs_().sub_((chroma - low)[:, None])
    return channels.clamp_(low[:, None], high[:, None])
