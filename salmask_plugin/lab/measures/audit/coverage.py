"""How much of the object and of the background do masks remove, where the object is known?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from salmask_plugin.masking import SaliencyMasking, foreground_tolerance
from salmask_plugin.masks import foreground
from salmask_plugin.masks.pixels import to_pixels
from salmask_plugin.types import Images, Saliency


@dataclass(frozen=True, eq=False)
class Agreement:
    """How well a region finds the object, one float64 value per image, NaN where undefined.

    Attributes:
        iou: pixels in both over pixels in either.
        precision: share of the region that is object.
        recall: share of the object that is in the region.
    """

    iou: Tensor
    precision: Tensor
    recall: Tensor


def removed_share(mask: Tensor, region: Tensor) -> Tensor:
    """Return the share of a region's pixels that a mask removes, (B,) float64.

    A pixel that is masked in one of three channels counts a third. NaN where the region is empty.

    Args:
        mask: (B, c, H, W) bool, True = masked; c is 1, the channels, or several masks' channels.
        region: (B, 1, H, W) bool.
    """
    removed = mask.double().mean(1, keepdim=True)
    return _ratio((removed * region).sum((1, 2, 3)), region.sum((1, 2, 3)))


def agreement(found: Tensor, objects: Tensor) -> Agreement:
    """Compare a region with the object, both (B, 1, H, W) bool."""
    both = (found & objects).sum((1, 2, 3))
    return Agreement(
        iou=_ratio(both, (found | objects).sum((1, 2, 3))),
        precision=_ratio(both, found.sum((1, 2, 3))),
        recall=_ratio(both, objects.sum((1, 2, 3))),
    )


def centre_box(shares: Tensor, height: int, width: int) -> Tensor:
    """Return a centred box with the view's aspect ratio and a given area: the control.

    Args:
        shares: (B,) of the view's area, in [0, 1].
        height: of the view in pixels.
        width: of the view in pixels.

    Returns:
        (B, 1, H, W) bool; a pixel belongs to the box if its centre does.
    """
    half = shares.double().sqrt()[:, None] / 2
    rows, columns = (
        ((torch.arange(side, device=shares.device) + 0.5) / side - 0.5).abs() <= half
        for side in (height, width)
    )
    return (rows[:, :, None] & columns[:, None, :])[:, None]


def measure_coverage(
    masking: SaliencyMasking,
    views: Images,
    objects: Tensor,
    saliency: Saliency,
    generator: torch.Generator | None = None,
) -> dict[str, Tensor]:
    """Mask views whose object is known, and measure what goes.

    Every view serves as query and as key, so that query masks and hard negatives are measured on
    the same view. The masks are those of a training step.

    Args:
        masking: the recipe; with ``branch="key"`` the key's mask is measured.
        views: (B, C, H, W) normalised.
        objects: (B, 1, H, W), above 0.5 = object.
        saliency: (B, h, w), the localizer's maps of ``views``.
        generator: of the masks.

    Returns:
        Name -> (B,) float64, NaN where undefined (no object, no background): ``object_area``,
        ``foreground`` (share of the view, the paper's gamma), ``query_object``,
        ``query_background``, ``negative_object``, ``negative_background`` (shares that are removed;
        absent for a part that the recipe lacks), ``iou``, ``precision``, ``recall`` of the
        foreground with the object, ``centre_iou``, ``centre_precision``, ``centre_recall`` of a
        centred box with the foreground's area, and precision minus ``object_area``, which is that
        of a foreground anywhere (``over_chance``), and minus the box's (``over_centre``).

    Raises:
        ValueError: if ``objects`` does not fit the views.

    References:
        Chin et al., WACV 2024, section 3.1, Eq. 1 and section 3.3.
    """
    if objects.shape != (len(views), 1, *views.shape[-2:]):
        raise ValueError(
            f"objects have shape {tuple(objects.shape)}; for views {tuple(views.shape)} it must be "
            f"{(len(views), 1, *views.shape[-2:])}."
        )
    is_object = objects > 0.5
    masked = masking(views, views, generator, saliency=(saliency, saliency))
    cells = foreground(saliency, foreground_tolerance(masking))[:, None]
    found = to_pixels(cells, views)
    size = found.double().mean((1, 2, 3))
    values = {"object_area": is_object.double().mean((1, 2, 3)), "foreground": size}
    query_mask = masked.query_mask if masked.query_mask is not None else masked.key_mask
    parts = {"query": query_mask}
    if masked.negative_masks is not None:
        parts["negative"] = masked.negative_masks.flatten(1, 2)
    for name, mask in parts.items():
        if mask is not None:
            values[f"{name}_object"] = removed_share(mask, is_object)
            values[f"{name}_background"] = removed_share(mask, ~is_object)
    box = centre_box(size, *views.shape[-2:])
    for prefix, region in (("", found), ("centre_", box)):
        compared = agreement(region, is_object)
        values[f"{prefix}iou"] = compared.iou
        values[f"{prefix}precision"] = compared.precision
        values[f"{prefix}recall"] = compared.recall
    values["over_chance"] = values["precision"] - values["object_area"]
    values["over_centre"] = values["precision"] - values["centre_precision"]
    return values


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """Part over whole in float64; 0 / 0 is NaN."""
    return part.double() / whole.double()
