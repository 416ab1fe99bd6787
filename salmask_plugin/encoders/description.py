"""What a reader of exported weights must know of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from salmask_plugin.encoders.backbone import PretrainedBackbone
from salmask_plugin.encoders.convnets import image_channels

Normalisation = Mapping[str, list[float]]
"""Mean and std of each channel."""
IMAGENET: Normalisation = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
"""What every loader of this package normalises RGB by."""


def describe(
    backbone: PretrainedBackbone, view_size: int, normalisation: Normalisation | None = None
) -> dict[str, Any]:
    """Return what a reader of the weights must know, as plain values.

    Raises:
        ValueError: if the normalisation is not one of the encoder's channels.
    """
    channels = image_channels(backbone.network)
    known = IMAGENET if normalisation is None else normalisation
    if {len(values) for values in known.values()} != {channels}:
        raise ValueError(
            f"the encoder takes {channels} channels, and the normalisation "
            f"{dict(known)} is of {len(known['mean'])}: give that of its images."
        )
    kernel = backbone.view_filter
    return {
        "architecture": backbone.architecture,
        "feature_dim": backbone.feature_dim,
        "in_channels": channels,
        "normalisation": dict(known),
        "view_size": view_size,
        "view_filter": None
        if kernel is None
        else {
            "kind": "images - gaussian_blur(images), after normalisation, borders reflected",
            "kernel_size": kernel.kernel_size,
            "sigma": kernel.sigma,
        },
        "fingerprint": backbone.fingerprint,
        "source": backbone.source,
    }
