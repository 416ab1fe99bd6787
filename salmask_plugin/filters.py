"""Gaussian blur and its complement, the high-pass filter, as exact banded matrix products.

A separable blur with reflected borders is linear along each axis, so it is one (H, H) and one
(W, W) matrix. Two batched matrix products are faster than depth-wise convolutions on CPUs and need
no padded copy; the result equals ``kornia.filters.gaussian_blur2d`` with ``border_type="reflect"``.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from kornia.filters import get_gaussian_kernel1d
from torch import Tensor, nn

from salmask_plugin.checks import number, whole_number
from salmask_plugin.precision import autocast_off, in_float
from salmask_plugin.types import Images, check_images

PAPER_VIEW_SIZE = 224
"""Side of the views in pixels for which the paper's kernel sizes are meant."""
UNFILTERED_EVALUATION = (
    "This masking filters both views in training, and an unmodified module does not filter in "
    "evaluation: put the filter before its backbone there, "
    "nn.Sequential(masking.view_filter, backbone), or the features are those of images it was "
    "never trained on."
)
"""What a callback warns of: it masks a module's views and cannot change its evaluation."""


def gaussian_blur(images: Images, kernel_size: int, sigma: float) -> Images:
    """Blur each channel with a truncated Gaussian, borders reflected.

    Args:
        images: (B, C, H, W). Half precision is computed in float32 and returned as it came.
        kernel_size: taps per axis, odd and at least 3.
        sigma: standard deviation in pixels, > 0.

    Raises:
        ValueError: if the images are not floating point (B, C, H, W), or the kernel does not fit
            into them (reflection needs ``kernel_size // 2 < min(H, W)``).
    """
    check_images(images)
    height, width = images.shape[-2:]
    if kernel_size // 2 >= min(height, width):
        raise ValueError(
            f"kernel_size={kernel_size} is too large for a view of {height}x{width} px: "
            f"at most {2 * min(height, width) - 1}. The paper's kernels are meant for "
            f"{PAPER_VIEW_SIZE} px; kernel_for_view() scales them to smaller views."
        )
    # Autocast would run the products in half precision, and only where a host switched it on.
    with autocast_off(images.device):
        pixels = in_float(images)
        rows = blur_matrix(height, kernel_size, sigma, pixels.device, pixels.dtype)
        columns = blur_matrix(width, kernel_size, sigma, pixels.device, pixels.dtype)
        blurred: Tensor = rows @ pixels @ columns.T
        return blurred.to(images.dtype)


def kernel_for_view(kernel_size: int, sigma: float, view_size: int) -> tuple[int, float]:
    """Scale a kernel of the paper (224 px) to views of another size.

    Returns:
        The nearest odd number of taps (at least 3: one tap blurs nothing, and a high-pass filter
        would then return zeros) and sigma in pixels of the new view.

    Raises:
        ValueError: if ``view_size`` is not positive.
    """
    view_size = whole_number(view_size, "view_size")
    scale = view_size / PAPER_VIEW_SIZE
    return max(3, 2 * int(kernel_size * scale / 2) + 1), sigma * scale


def check_kernel(kernel_size: int, sigma: float) -> tuple[int, float]:
    """Return the kernel; raise ValueError unless it is odd, of at least 3 taps, and sigma > 0."""
    kernel_size = whole_number(kernel_size, "kernel_size", at_least=3)
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size={kernel_size} must be odd.")
    return kernel_size, number(sigma, "sigma", above=0)


class HighPassFilter(nn.Module):
    """Subtract the blurred view: keep edges and texture, drop illumination and large colour areas.

    Applied after normalisation; being linear, it equals filtering before up to 1/std. It is not
    idempotent: never filter twice. Stateless, so a host's checkpoint does not change; an exported
    backbone carries it as its first layer.

    Args:
        kernel_size: taps per axis, odd.
        sigma: standard deviation in pixels.

    References:
        Chin et al., WACV 2024, section 3.2 (https://arxiv.org/abs/2309.12757), after MSCN
        (https://arxiv.org/abs/2206.07700). Kernel 11 and sigma 5 at 224 px from the released code,
        https://github.com/joycenerd/Saliency-Guided-Masking-for-ConvNets/tree/c6e62b8.
    """

    def __init__(self, kernel_size: int = 11, sigma: float = 5.0) -> None:
        super().__init__()
        self.kernel_size, self.sigma = check_kernel(kernel_size, sigma)

    def forward(self, images: Images) -> Images:
        """Return ``images - blur(images)``, (B, C, H, W)."""
        return images - gaussian_blur(images, self.kernel_size, self.sigma)

    def extra_repr(self) -> str:
        """Say the kernel in ``print(module)``."""
        return f"kernel_size={self.kernel_size}, sigma={self.sigma}"


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def blur_matrix(
    size: int, kernel_size: int, sigma: float, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """The matrix of one axis. torch.compile looks through a cache, and would build it per step."""
    return _cached_matrix(size, kernel_size, sigma, device, dtype)


@lru_cache(maxsize=32)
def _cached_matrix(
    size: int, kernel_size: int, sigma: float, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """(size, size) matrix that blurs a column of pixels with reflected borders."""
    with torch.inference_mode(False), torch.no_grad():
        kernel = get_gaussian_kernel1d(kernel_size, sigma, dtype=torch.float64)[0]
        output = torch.arange(size)[:, None].expand(size, kernel_size)
        source = (output + torch.arange(kernel_size) - kernel_size // 2).abs()
        source = size - 1 - (size - 1 - source).abs()
        matrix = torch.zeros(size, size, dtype=torch.float64)
        matrix.index_put_((output, source), kernel.expand(size, kernel_size), accumulate=True)
        return matrix.to(device=device, dtype=dtype)
