"""What is stored of a localizer: its maps, scaled, and its description."""

from __future__ import annotations

import numpy as np
import torch

from salmask_plugin.localizers.map_store import Maps
from salmask_plugin.types import Images, Localizer


def scaled_maps(localizer: Localizer, images: Images) -> Maps:
    """Return the maps (B, h, w) of images, each scaled to [0, 1], float32 on the host.

    Half precision then ranks them well, and neither Eq. 1 nor a rank changes. A constant map
    becomes zeros: it ranks nothing either way.
    """
    maps = localizer(images).float()
    low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
    scaled = (maps - low) / torch.where(high > low, high - low, 1.0)
    return np.asarray(scaled.cpu().numpy())


def describe(localizer: Localizer) -> tuple[str, str, str]:
    """Return (repr, trained_on, digest of the weights or "none") for a manifest."""
    digest_of = getattr(getattr(localizer, "network", None), "weights_sha256", None)
    digest = digest_of() if digest_of is not None else "none"
    return repr(localizer), str(getattr(localizer, "trained_on", "unknown")), digest
