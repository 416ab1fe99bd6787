import numpy as np
import pytest
import torch
from kornia.filters import gaussian_blur2d
from oracles.pixels import blur_plane

from salmask_plugin import HighPassFilter
from salmask_plugin.filters import gaussian_blur, kernel_for_view


def test_equals_the_view_minus_its_blur_by_loops(make_images):
    images = make_images(1, 13, 9, channels=2).double()
    expected = [plane - blur_plane(plane, 11, 5.0) for plane in images[0].numpy()]
    assert np.allclose(HighPassFilter()(images)[0].numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("size", [(32, 32), (96, 64), (224, 224), (511, 33), (7, 6)])
def test_equals_kornia(make_images, size):
    images = make_images(2, *size)
    blurred = gaussian_blur2d(images, (11, 11), (5.0, 5.0), border_type="reflect")
    assert torch.allclose(HighPassFilter()(images), images - blurred, atol=2e-6)


def test_constant_views_vanish():
    for value in (0.0, 1.0, -2.1):
        assert HighPassFilter()(torch.full((2, 3, 40, 31), value)).abs().max() < 1e-6


def test_is_linear_and_not_idempotent(make_images, generator):
    one = make_images().double()
    other = torch.randn(one.shape, generator=generator, dtype=torch.float64)
    highpass = HighPassFilter()
    together = highpass(2.5 * one - 0.7 * other)
    assert torch.allclose(together, 2.5 * highpass(one) - 0.7 * highpass(other), atol=1e-12)
    assert (highpass(highpass(one)) - highpass(one)).abs().max() > 0.05


def test_after_normalisation_equals_before_divided_by_the_deviation(make_images):
    images = make_images().double()
    mean, std = (
        torch.tensor(x, dtype=torch.float64)[:, None, None]
        for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    highpass = HighPassFilter()
    assert torch.allclose(highpass((images - mean) / std), highpass(images) / std, atol=1e-12)


def test_commutes_with_flips_but_channels_do_not_mix(make_images):
    images = make_images().double()
    highpass = HighPassFilter()
    assert torch.allclose(highpass(images.flip(-1)), highpass(images).flip(-1), atol=1e-12)
    assert torch.allclose(highpass(images[:, 1:2]), highpass(images)[:, 1:2], atol=1e-12)


def test_gradient(generator):
    images = torch.randn((1, 2, 5, 6), generator=generator, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(HighPassFilter(5, 1.0), (images,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_keeps_the_dtype_and_is_close_to_float64(make_images, dtype):
    images = make_images().to(dtype)
    filtered = HighPassFilter()(images)
    assert filtered.dtype == dtype
    assert (filtered - HighPassFilter()(images.double())).abs().max() < 4e-2


def test_is_stateless_and_says_its_kernel():
    highpass = HighPassFilter(9, 2.5)
    assert not highpass.state_dict()
    assert not list(highpass.parameters())
    assert "kernel_size=9, sigma=2.5" in repr(highpass)


def test_second_call_with_other_sizes_and_dtypes_uses_its_own_matrix(make_images):
    blurred = [
        gaussian_blur(make_images(1, *size).to(dtype), 5, 1.0)
        for size in ((8, 9), (9, 8), (8, 9))
        for dtype in (torch.float32, torch.float64)
    ]
    assert [tuple(x.shape[2:]) for x in blurred[::2]] == [(8, 9), (9, 8), (8, 9)]
    assert {x.dtype for x in blurred[1::2]} == {torch.float64}


def test_matrix_made_under_inference_mode_serves_training(make_images):
    images = make_images(1, 21, 22)
    with torch.inference_mode():
        HighPassFilter(7, 1.7)(images)
    HighPassFilter(7, 1.7)(images.requires_grad_()).sum().backward()
    assert images.grad is not None


def test_view_too_small_is_an_error(make_images):
    with pytest.raises(ValueError, match=r"kernel_size=11 is too large for a view of 5x40 px"):
        HighPassFilter()(make_images(1, 5, 40))


@pytest.mark.parametrize(("kernel_size", "sigma"), [(10, 5.0), (1, 5.0), (11, -1.0)])
def test_kernel_out_of_range_is_an_error(kernel_size, sigma):
    with pytest.raises(ValueError, match=r"kernel_size=|sigma="):
        HighPassFilter(kernel_size, sigma)


@pytest.mark.parametrize(
    ("view", "kernel_size", "sigma"),
    [
        (224, 11, 5.0),
        (96, 5, 5 * 96 / 224),
        (64, 3, 5 * 64 / 224),
        (32, 3, 5 / 7),
        (448, 23, 10.0),
    ],
)
def test_kernel_scales_with_the_pretraining_view(view, kernel_size, sigma):
    assert kernel_for_view(11, 5.0, view) == (kernel_size, pytest.approx(sigma))


def test_kernel_for_no_view_is_an_error():
    with pytest.raises(ValueError, match="view_size=0"):
        kernel_for_view(11, 5.0, 0)
