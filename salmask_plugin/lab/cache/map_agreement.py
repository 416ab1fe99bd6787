"""How far the saliency of whole images, carried into a view, is that of the view itself."""

from __future__ import annotations

import torch
from torch import Tensor

from salmask_plugin.lab.measures.audit.coverage import agreement
from salmask_plugin.masking import PAPER_TOLERANCE
from salmask_plugin.masks import foreground
from salmask_plugin.masks.pixels import to_pixels
from salmask_plugin.types import Saliency


def measure_agreement(
    cached: Saliency,
    online: Saliency,
    objects: Tensor | None = None,
    *,
    tolerance: float = PAPER_TOLERANCE,
) -> dict[str, Tensor]:
    """Compare two maps of each view by their foregrounds (Eq. 1).

    Args:
        cached: (B, h, w), at least two views of different images.
        online: (B, h, w), of the same views.
        objects: (B, 1, H, W) bool, where the views' objects are known.
        tolerance: of Eq. 1.

    Returns:
        Name -> (B,) float64, NaN where undefined: ``iou`` of the two foregrounds, ``iou_other``
        with the cached foreground of the view before it in the batch (what agreement by chance and
        by the centre alone would be), ``gamma_cached`` and ``gamma_online`` (foreground's share of
        the cells), ``gamma_difference`` (cached minus online), and with objects ``object_cached``
        and ``object_online``, each foreground's IoU with the object in pixels.

    Raises:
        ValueError: if the shapes differ or there is one view alone.

    References:
        Chin et al., WACV 2024, section 3.1, Eq. 1.
    """
    if cached.shape != online.shape or len(cached) < 2:
        raise ValueError(
            f"cached {tuple(cached.shape)} and online {tuple(online.shape)} must have the same "
            "shape (B, h, w) with B at least 2."
        )
    found = {
        "cached": foreground(cached, tolerance)[:, None],
        "online": foreground(online, tolerance)[:, None],
    }
    gamma = {name: cells.double().mean((1, 2, 3)) for name, cells in found.items()}
    values = {
        "iou": agreement(found["cached"], found["online"]).iou,
        "iou_other": agreement(torch.roll(found["cached"], 1, 0), found["online"]).iou,
        "gamma_cached": gamma["cached"],
        "gamma_online": gamma["online"],
        "gamma_difference": gamma["cached"] - gamma["online"],
    }
    if objects is not None:
        # Enlarged to the objects' pixels as masks are.
        size = objects.float()
        for name, cells in found.items():
            values[f"object_{name}"] = agreement(to_pixels(cells, size), objects).iou
    return values
