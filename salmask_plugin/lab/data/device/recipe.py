"""What the two views of a picture are drawn from: the numbers of one augmentation."""

from __future__ import annotations

from dataclasses import dataclass, fields

from salmask_plugin.localizers.frozen import IMAGENET_MEAN, IMAGENET_STD

Range = tuple[float, float]


@dataclass(frozen=True)
class ViewRecipe:
    """Crop, flip, colour, grey, blur, normalise. The defaults are lightly's ``MoCoV2Transform``.

    Attributes:
        size: side of the square views in pixels.
        scale: share of the picture's area that a crop shows, (low, high) in (0, 1].
        ratio: width / height of a crop in the picture's pixels, (low, high), drawn on a log scale.
        flip_probability: how often a view is mirrored left to right.
        jitter_probability: how often colours are jittered, all four in a random order.
        brightness: (low, high) of the factor, both >= 0.
        contrast: the same.
        saturation: the same.
        hue: (low, high) of the rotation in turns, within -0.5 and 0.5.
        grey_probability: how often colours are dropped.
        blur_probability: how often a view is blurred.
        blur_sigmas: (low, high) in pixels of the view, > 0.
        mean: per channel, subtracted from values in [0, 1].
        std: per channel, divided by.

    Raises:
        ValueError: if a value is out of its range.

    References:
        He et al. (MoCo v2), https://arxiv.org/abs/2003.04297.
    """

    size: int
    scale: Range = (0.2, 1.0)
    ratio: Range = (3 / 4, 4 / 3)
    flip_probability: float = 0.5
    jitter_probability: float = 0.8
    brightness: Range = (0.6, 1.4)
    contrast: Range = (0.6, 1.4)
    saturation: Range = (0.6, 1.4)
    hue: Range = (-0.1, 0.1)
    grey_probability: float = 0.2
    blur_probability: float = 0.5
    blur_sigmas: Range = (0.1, 2.0)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size={self.size} must be at least 1 pixel.")
        for name in (field.name for field in fields(self) if "probability" in field.name):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}={getattr(self, name)} must be between 0 and 1.")
        for name, lowest, highest in (
            ("brightness", 0, float("inf")),
            ("contrast", 0, float("inf")),
            ("saturation", 0, float("inf")),
            ("hue", -0.5, 0.5),
        ):
            self._check_range(name, lowest <= getattr(self, name)[0], highest)
        self._check_range("scale", self.scale[0] > 0, 1)
        self._check_range("ratio", self.ratio[0] > 0, float("inf"))
        self._check_range("blur_sigmas", self.blur_sigmas[0] > 0, float("inf"))
        if min(self.std) <= 0:
            raise ValueError(f"std={self.std} must be positive.")

    def _check_range(self, name: str, low_is_allowed: bool, highest: float) -> None:
        low, high = getattr(self, name)
        if not (low_is_allowed and low <= high <= highest):
            raise ValueError(f"{name}={(low, high)} is no range (low, high) of allowed values.")
