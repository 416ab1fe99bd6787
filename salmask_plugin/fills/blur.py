"""Fill with the view's own strongly blurred content."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from salmask_plugin.filters import check_kernel, gaussian_blur
from salmask_plugin.types import Images


@dataclass(frozen=True)
class BlurFill:
    """Show the same place of the blurred view.

    Args:
        kernel_size: taps per axis, odd; at 224 px.
        sigma: standard deviation in pixels. The paper says *variance* 10 (sigma 3.16), its code
            sigma 10; the code's reading is the default because 31 taps fit it.

    References:
        Chin et al., WACV 2024, section 3.2 ("strong blur").
    """

    kernel_size: int = 31
    sigma: float = 10.0

    def __post_init__(self) -> None:
        kernel_size, sigma = check_kernel(self.kernel_size, self.sigma)
        object.__setattr__(self, "kernel_size", kernel_size)
        object.__setattr__(self, "sigma", sigma)

    def __call__(self, images: Images, generator: torch.Generator | None = None) -> Tensor:
        """Return the blurred images, (B, C, H, W).

        Raises:
            ValueError: if a view is too small for the kernel.
        """
        return gaussian_blur(images, self.kernel_size, self.sigma)
