"""The seven numbers of the Eigen split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from salmask_plugin.checks import check_choice

Crop = Literal["garg", "none"]
NEAREST, FARTHEST = 1e-3, 80.0
"""Metres that are measured; predictions are clamped to them."""
GARG = (0.40810811, 0.99189189, 0.03594771, 0.96405229)
"""Top, bottom, left and right of Garg's crop in shares of the sides."""


def depth_errors(
    predicted: NDArray[Any],
    truth: NDArray[Any],
    *,
    crop: Crop = "garg",
    median_scaling: bool = True,
) -> dict[str, float]:
    """Return the errors of one picture: three relative, one in metres, three shares.

    Pixels with a truth of more than 1e-3 and less than 80 m count. The prediction is multiplied by
    the ratio of the medians of truth and prediction over them, and then clamped to that range.

    Args:
        predicted: (H, W) above 0, in any unit.
        truth: (H, W) metres; 0 is unknown.
        crop: "garg": without sky, border and bonnet; "none": everywhere.
        median_scaling: False takes the prediction as metres.

    Raises:
        ValueError: for other shapes, predictions that are no depth, or no pixel that counts.

    References:
        Eigen et al. 2014, https://arxiv.org/abs/1406.2283, section 4.2; Garg et al. 2016,
        https://arxiv.org/abs/1603.04992.
    """
    check_choice(crop, "crop", Crop)
    if predicted.shape != truth.shape or truth.ndim != 2:
        raise ValueError(f"predicted {predicted.shape} and truth {truth.shape} must be (H, W).")
    counts = (truth > NEAREST) & (truth < FARTHEST)
    if crop == "garg":
        height, width = truth.shape
        inside = np.zeros_like(counts)
        top, bottom = (int(share * height) for share in GARG[:2])
        left, right = (int(share * width) for share in GARG[2:])
        inside[top:bottom, left:right] = True
        counts &= inside
    if not counts.any():
        raise ValueError("no pixel of the truth is between 1e-3 and 80 m inside the crop.")
    real, guess = truth[counts].astype(np.float64), predicted[counts].astype(np.float64)
    if not (np.isfinite(guess).all() and (guess > 0).all()):
        raise ValueError("predicted has values that are not above 0 and finite.")
    if median_scaling:
        guess = guess * (np.median(real) / np.median(guess))
    guess = guess.clip(NEAREST, FARTHEST)
    off = guess - real
    ratio = np.maximum(guess / real, real / guess)
    errors = {
        "abs_rel": np.mean(np.abs(off) / real),
        "sq_rel": np.mean(off**2 / real),
        "rmse": np.sqrt(np.mean(off**2)),
        "rmse_log": np.sqrt(np.mean((np.log(guess) - np.log(real)) ** 2)),
        "delta1": np.mean(ratio < 1.25),
        "delta2": np.mean(ratio < 1.25**2),
        "delta3": np.mean(ratio < 1.25**3),
    }
    return {name: float(value) for name, value in errors.items()}


@dataclass(frozen=True)
class DepthTest:
    """How a depth is compared with the truth; the defaults are Monodepth2's on the Eigen split.

    Attributes:
        crop: see :func:`depth_errors`.
        median_scaling: see :func:`depth_errors`.

    Raises:
        ValueError: if the crop is unknown.
    """

    crop: Crop = "garg"
    median_scaling: bool = True

    def __post_init__(self) -> None:
        check_choice(self.crop, "crop", Crop)

    def errors(self, inverse_depth: Tensor, truth: NDArray[Any]) -> dict[str, float]:
        """Return the errors of one prediction (h, w), enlarged to the truth's size (H, W)."""
        return depth_errors(
            1 / enlarged(inverse_depth, truth.shape),
            truth,
            crop=self.crop,
            median_scaling=self.median_scaling,
        )


def enlarged(inverse_depth: Tensor, size: tuple[int, ...]) -> NDArray[np.float32]:
    """Return a map (h, w) at another size (H, W), bilinear: the inverse depth is interpolated."""
    inverse = F.interpolate(
        inverse_depth[None, None].float(), size, mode="bilinear", align_corners=False
    )
    found: NDArray[np.float32] = inverse[0, 0].cpu().numpy()
    return found


def mean_errors(errors: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the mean over pictures: each counts the same, however many pixels it has.

    Raises:
        ValueError: if there is no picture.
    """
    if not errors:
        raise ValueError("errors must not be empty.")
    return {name: float(np.mean([found[name] for found in errors])) for name in errors[0]}
