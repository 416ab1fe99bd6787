"""Views of a batch of pictures, each with choices of its own, on the batch's device."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from salmask_plugin.lab.data.device.colours import change_colours, colours_of
from salmask_plugin.lab.data.device.draws import ViewDraws
from salmask_plugin.lab.data.device.geometry import along_both, blur_sums, crop_sums
from salmask_plugin.lab.data.device.recipe import ViewRecipe

AT_ONCE = 2**18
"""Numbers in the pictures or views that a CPU works on at once: 1 MiB, a part of its cache."""


def apply_views(
    pictures: Tensor,
    draws: ViewDraws,
    sizes: Tensor,
    recipe: ViewRecipe,
    which: Tensor | None = None,
) -> Tensor:
    """Return normalised views of the pictures, float32 (N, 3, size, size).

    The operations are those of lightly's transforms in their order, in floating point where PIL
    rounds to 8 bits after each. On a CPU a few views are made at a time, and what they do not want
    is left out; elsewhere all at once, and the host waits for nothing.

    Args:
        pictures: uint8 (M, 3, H, W); whole pictures, resized or not.
        draws: what to do for each of N views.
        sizes: (N, 2) width and height in the pixels that ``draws.box`` counts, float.
        recipe: gives the views' size, mean, std and largest sigma.
        which: int64 (N,), the picture that each view shows; None if each shows its own, M = N.
    """
    device, size = pictures.device, recipe.size
    height, width = pictures.shape[-2:]
    order, parts = _parts(draws, 3 * max(height * width, size**2))
    which = order if which is None else which[order]
    draws, sizes = draws.of(order), sizes[order]
    rows, columns = crop_sums(draws.box, draws.flipped, sizes, (height, width), size)
    rows = rows._replace(weight=rows.weight / 255)
    colours = colours_of(draws)
    effects = colours.effects() if _host_reads(device) else None
    blurs = blur_sums(draws.sigma, size, recipe.blur_sigmas[1])
    mean, std = _channels(recipe.mean, device), _channels(recipe.std, device)
    views = torch.empty(len(sizes), 3, size, size, device=device)
    for part, blurred in parts:
        shown = pictures.index_select(0, which[part]).float()
        some = along_both(shown, rows.of(part), columns.of(part))
        # Rows and columns have changed places in memory, which is the same to colours and blur.
        known = None if effects is None else effects[part]
        some = change_colours(some.mT, colours.of(part), known).sub_(mean).div_(std)
        if blurred:
            some = along_both(some, blurs.of(part))
        views.index_copy_(0, order[part], some.mT)
    return views


def _host_reads(device: torch.device) -> bool:
    """Whether the host reads values of the draws: on a GPU it would wait for them."""
    return device.type == "cpu"


def _parts(draws: ViewDraws, numbers: int) -> tuple[Tensor, list[tuple[slice, bool]]]:
    """An order of the views; slices of it to be made at once, and whether they are blurred.

    Views that want the same are neighbours. Turned hues and blurs are never mixed with others, so
    that a view is the same to the last bit whatever views are made beside it.

    Args:
        draws: of the views.
        numbers: in a picture or a view, whichever is larger.
    """
    if not _host_reads(draws.hue.device):
        return torch.arange(len(draws.hue), device=draws.hue.device), [(slice(None), True)]
    group = 2 * (draws.hue != 0).int() + (draws.sigma > 0)
    operations = (draws.order * torch.tensor([64, 16, 4, 1])).sum(dim=1)
    order = (256 * group + operations).argsort(stable=True)
    at_once = max(1, AT_ONCE // numbers)
    parts: list[tuple[slice, bool]] = []
    begin = 0
    for number, count in enumerate(group.bincount(minlength=4).tolist()):
        pieces = math.ceil(count / at_once)
        ends = [begin + count * piece // pieces for piece in range(pieces + 1)] if pieces else []
        parts += [(slice(*both), number % 2 == 1) for both in pairwise(ends)]
        begin += count
    return order, parts


@lru_cache(maxsize=16)
def _channels(values: tuple[float, float, float], device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values).view(3, 1, 1).to(device)
