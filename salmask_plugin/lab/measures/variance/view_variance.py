"""How far do the embeddings of one image's views spread?"""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, eq=False)
class ViewVariance:
    """Spread of the views of each image.

    Attributes:
        variance: (n,) float64, variance over views, averaged over the D dimensions.
        mean_cosine: (n,) float64, mean cosine over all pairs of distinct views.
        views: r, views per image.
        dimension: D.
    """

    variance: Tensor
    mean_cosine: Tensor
    views: int
    dimension: int


def view_variance(embeddings: Tensor) -> ViewVariance:
    """Measure the variance of L2-normalised embeddings over the views of each image.

    With unit vectors and the unbiased estimator, the variance of an image is exactly
    (1 - mean cosine of its pairs of views) / D. So it cannot exceed 1 / (D - D / r), and values of
    encoders with another D do not compare.

    Args:
        embeddings: (n, r, D) with r >= 2; normalised here, in float64.

    Raises:
        ValueError: if the shape is another one, or an embedding is zero or not finite.

    References:
        Wang et al., "On the Importance of Asymmetry for Siamese Representation Learning", CVPR
        2022; Chin et al., WACV 2024, Table 7.
    """
    if embeddings.ndim != 3 or embeddings.shape[1] < 2:
        raise ValueError(
            f"embeddings have shape {tuple(embeddings.shape)}; (n, r, D) with r >= 2 is needed."
        )
    wide = embeddings.double()
    if not (wide.isfinite().all() and (wide != 0).any(-1).all()):
        raise ValueError(
            "embeddings have a vector that is zero or not finite: it has no direction."
        )
    units = F.normalize(wide, dim=-1, eps=0.0)
    views, dimension = units.shape[1:]
    variance = units.var(1, correction=1).mean(-1)
    # The sum over all ordered pairs is the squared length of the sum, less the r own products.
    pairs = (units.sum(1).square().sum(-1) - views) / (views * (views - 1))
    return ViewVariance(variance, pairs, views, dimension)
