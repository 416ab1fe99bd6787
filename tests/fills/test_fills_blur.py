import numpy as np
import pytest
import torch
from kornia.filters import gaussian_blur2d
from oracles.pixels import blur_plane

from salmask_plugin import BlurFill


@pytest.mark.parametrize(("kernel_size", "sigma"), [(3, 0.7), (7, 5.0), (15, 2.0)])
def test_equals_the_convolution_by_loops(make_images, kernel_size, sigma):
    images = make_images(1, 9, 12, channels=2).double()
    expected = [blur_plane(plane, kernel_size, sigma) for plane in images[0].numpy()]
    actual = BlurFill(kernel_size, sigma)(images)[0].numpy()
    assert np.allclose(actual, expected, atol=1e-12)


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (64, 96), (224, 224), (512, 20), (17, 511)])
def test_equals_kornia(make_images, size):
    images = make_images(2, *size)
    expected = gaussian_blur2d(images, (31, 31), (10.0, 10.0), border_type="reflect")
    assert torch.allclose(BlurFill()(images), expected, atol=2e-5)


def test_spread_of_the_default_kernel():
    """31 taps cut sigma 10 down to an effective 7.6 px; the paper's variance 10 would be 3.16."""
    impulse = torch.zeros(1, 1, 101, 101, dtype=torch.float64)
    impulse[..., 50, 50] = 1
    profile = BlurFill()(impulse)[0, 0].sum(0)
    at = torch.arange(101) - 50
    assert (profile * at**2).sum().sqrt().item() == pytest.approx(7.59, abs=0.005)


def test_commutes_with_flips_and_with_normalisation(make_images):
    images = make_images().double()
    blur = BlurFill(kernel_size=9, sigma=3)
    assert torch.allclose(blur(images.flip(-1)), blur(images).flip(-1), atol=1e-12)
    assert torch.allclose(blur(images.flip(-2)), blur(images).flip(-2), atol=1e-12)
    assert torch.allclose(blur(images * 4.4 - 2.1), blur(images) * 4.4 - 2.1, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(make_images, dtype):
    images = make_images().to(dtype)
    expected = BlurFill(9, 3.0)(images.float()).to(dtype)
    assert torch.equal(BlurFill(9, 3.0)(images), expected)
    with torch.autocast("cpu", dtype=dtype):
        inside = BlurFill(9, 3.0)(images.float())
    assert torch.equal(inside, BlurFill(9, 3.0)(images.float()))


def test_smallest_view_of_the_default_kernel_is_16_pixels(make_images):
    assert BlurFill()(make_images(2, 16, 40)).shape == (2, 3, 16, 40)
    for size in ((15, 40), (40, 15)):
        message = rf"kernel_size=31 is too large for a view of {size[0]}x{size[1]} px: at most 29"
        with pytest.raises(ValueError, match=message):
            BlurFill()(make_images(2, *size))


@pytest.mark.parametrize(
    ("kernel_size", "sigma"), [(4, 1.0), (1, 1.0), (-3, 1.0), (3, 0.0), (3, float("nan"))]
)
def test_kernel_out_of_range_is_an_error(kernel_size, sigma):
    with pytest.raises(ValueError, match=r"kernel_size=|sigma="):
        BlurFill(kernel_size, sigma)
