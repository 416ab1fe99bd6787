"""Views as pictures: what a network sees, made visible to people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]

_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


def display_view(
    view: Array,
    *,
    mean: Sequence[float] = _IMAGENET_MEAN,
    std: Sequence[float] = _IMAGENET_STD,
) -> Array:
    """Return a normalised view (3, H, W) as a picture (H, W, 3) uint8.

    Values that a fill or an augmentation pushed out of range are shown as black or white.

    Args:
        view: (3, H, W) float.
        mean: of the normalisation, per channel.
        std: of the normalisation, per channel.
    """
    _require_view(view)
    image = view * np.reshape(std, (3, 1, 1)) + np.reshape(mean, (3, 1, 1))
    return _to_uint8(image)


def display_filtered(view: Array) -> Array:
    """Return a high-pass view (3, H, W) as a picture (H, W, 3) uint8, its contrast stretched.

    Zero is mid-grey; the 99th percentile of the magnitudes reaches black or white. Without the
    stretch a filtered view is a uniform grey to the eye.

    Args:
        view: (3, H, W) float, as the encoder gets it.
    """
    _require_view(view)
    reach = float(np.percentile(np.abs(view), 99))
    return _to_uint8(0.5 + view / (2 * reach) if reach > 0 else np.full(view.shape, 0.5))


def _to_uint8(image: Array) -> Array:
    pixels: Array = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0)
    return pixels


def _require_view(view: Array) -> None:
    if not isinstance(view, np.ndarray):
        raise ValueError(
            f"view is a {type(view).__name__}; it must be an array (3, H, W): tensor.cpu().numpy()."
        )
    if view.ndim != 3 or view.shape[0] != 3:
        raise ValueError(f"view has shape {view.shape}; it must be (3, H, W).")
