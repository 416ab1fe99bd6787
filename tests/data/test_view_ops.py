"""Operations on a batch with choices of its own against PIL and torchvision, image by image."""

import colorsys
import dataclasses
import math

import pytest
import torch
from oracles.waiting import NoWaiting
from PIL import ImageFilter
from torchvision.transforms.v2 import functional as F

from salmask_plugin.data import (
    ViewDraws,
    ViewRecipe,
    apply_views,
    draw_views,
    uniforms_of_epoch,
    view_ops,
)
from salmask_plugin.data.view_colours import jitter
from salmask_plugin.data.view_geometry import along_both, blur, blur_sums, crop_and_resize

SIMCLR = {
    "scale": (0.08, 1.0),
    "brightness": (0.2, 1.8),
    "contrast": (0.2, 1.8),
    "saturation": (0.2, 1.8),
    "hue": (-0.2, 0.2),
}
N, H, W, SIZE = 48, 42, 55, 24


@pytest.fixture
def pictures(make_images):
    """Smooth pictures with some noise, uint8 (N, 3, H, W)."""
    images = make_images(N, H, W)
    images = (images - images.amin()) / (images.amax() - images.amin())
    turned = [image.roll(n % 3, 0) for n, image in enumerate(images)]
    return (torch.stack(turned) * 255).round().to(torch.uint8)


@pytest.fixture
def sizes():
    return torch.tensor([[W, H]]).float().repeat(N, 1)


@pytest.fixture
def draws(sizes):
    return draw_views(uniforms_of_epoch(11, 0, N)[:, 0], sizes, ViewRecipe(SIZE, **SIMCLR))


def crop_of(picture, box, flipped, size=SIZE):
    left, top, width, height = map(int, box.tolist())
    view = F.resized_crop(F.to_pil_image(picture), top, left, height, width, [size, size])
    return F.horizontal_flip(view) if flipped else view


def jittered(view, draws, n):
    change = (
        lambda x: F.adjust_brightness(x, draws.brightness[n].item()),
        lambda x: F.adjust_contrast(x, draws.contrast[n].item()),
        lambda x: F.adjust_saturation(x, draws.saturation[n].item()),
        lambda x: F.adjust_hue(x, draws.hue[n].item()),
    )
    for operation in draws.order[n].tolist():
        view = change[operation](view)
    return view


def as_float(view):
    return F.pil_to_tensor(view).float() / 255


def levels(a, b):
    return (a - b).abs() * 255


@pytest.mark.parametrize("size", [17, 24, 64])
def test_crops_are_pils_up_to_its_rounding(pictures, sizes, draws, size):
    before = pictures.clone()
    crops = crop_and_resize(pictures.float() / 255, draws.box, draws.flipped, sizes, size)
    theirs = torch.stack(
        [as_float(crop_of(pictures[n], draws.box[n], draws.flipped[n], size)) for n in range(N)]
    )
    assert draws.flipped.any()
    assert not draws.flipped.all()
    assert levels(crops, theirs).max() <= 1.01
    assert torch.equal(pictures, before)


def test_a_crop_of_a_resized_picture_shows_the_same_place(pictures, sizes, draws):
    """Decoded to a square first, which changes the aspect ratio of the pixels but not the crop."""
    smooth = F.gaussian_blur(pictures, [9, 9], [2.0, 2.0])
    square = torch.stack(
        [F.pil_to_tensor(F.to_pil_image(picture).resize((40, 40), 2)) for picture in smooth]
    )
    from_square = crop_and_resize(square.float() / 255, draws.box, draws.flipped, sizes, SIZE)
    full = crop_and_resize(smooth.float() / 255, draws.box, draws.flipped, sizes, SIZE)
    elsewhere = crop_and_resize(
        smooth.float() / 255, draws.box.roll(1, 0), draws.flipped, sizes, SIZE
    )
    assert levels(from_square, full).mean() < 1
    assert levels(elsewhere, full).mean() > 5


def test_a_crop_smaller_than_a_stored_pixel_is_that_pixel(pictures):
    sizes = torch.tensor([[5500.0, 4200.0]]).repeat(N, 1)
    box = torch.tensor([[1210.0, 830.0, 40.0, 30.0]]).repeat(N, 1)
    crops = crop_and_resize(pictures.float(), box, torch.zeros(N, dtype=torch.bool), sizes, 6)
    assert torch.allclose(crops, pictures[:, :, 8:9, 12:13].float().expand_as(crops), atol=1e-3)


def test_colours_change_as_in_torchvision_in_each_views_own_order(pictures, draws):
    views = pictures.float() / 255
    theirs = torch.stack([jittered(views[n], draws, n) for n in range(N)])
    ours = jitter(views, draws)
    assert len({tuple(order) for order in draws.order.tolist()}) > 15
    assert levels(ours, theirs).max() < 0.2
    assert levels(views, theirs).mean() > 5


def test_the_order_matters(pictures, draws):
    """Otherwise the test above would not see a wrong order."""
    views = pictures.float() / 255
    turned = ViewDraws(**{**vars(draws), "order": draws.order.flip(1)})
    assert levels(jitter(views, turned), jitter(views, draws)).max() > 10


def test_blur_is_pils_up_to_its_rounding(pictures):
    square = pictures[..., :H]
    sigma = torch.linspace(0.1, 2.5, N)
    sigma[5] = 0
    theirs = torch.stack(
        [
            as_float(F.to_pil_image(square[n]).filter(ImageFilter.GaussianBlur(sigma[n].item())))
            for n in range(N)
        ]
    )
    ours = blur(square.float() / 255, sigma)
    assert levels(ours, theirs).max() < 3.5  # three passes a side, each rounded
    assert levels(ours, theirs).mean() < 0.4
    assert torch.equal(ours[5], square[5].float() / 255)
    assert levels(ours, square.float() / 255).mean() > 2


@pytest.mark.parametrize("recipe", [ViewRecipe(SIZE), ViewRecipe(SIZE, **SIMCLR)])
def test_whole_views_are_pils_up_to_the_rounding_of_eight_operations(pictures, sizes, recipe):
    draws = draw_views(uniforms_of_epoch(2, 5, N)[:, 1], sizes, recipe)
    theirs = []
    for n in range(N):
        view = jittered(crop_of(pictures[n], draws.box[n], draws.flipped[n]), draws, n)
        view = F.rgb_to_grayscale(view, 3) if draws.grey[n] else view
        sigma = draws.sigma[n].item()
        theirs.append(as_float(view.filter(ImageFilter.GaussianBlur(sigma)) if sigma else view))
    mean, std = torch.tensor(recipe.mean), torch.tensor(recipe.std)
    views = apply_views(pictures, draws, sizes, recipe)
    assert views.dtype == torch.float32
    ours = views * std[:, None, None] + mean[:, None, None]
    apart = levels(ours, torch.stack(theirs))
    assert apart.mean() < 2
    # PIL's hue has 256 steps.
    assert apart.mean(dim=(1, 2, 3)).max() < 5


def only(hue, order=(3, 0, 1, 2)):
    """Draws that turn the hue by so many turns and do nothing else."""
    one, many = torch.ones(len(hue)), len(hue)
    return ViewDraws(
        box=torch.zeros(many, 4),
        flipped=one.bool(),
        order=torch.tensor([order]).repeat(many, 1),
        brightness=one,
        contrast=one,
        saturation=one,
        hue=hue,
        grey=one.bool(),
        sigma=one,
    )


def test_half_a_turn_of_hue_is_the_complement():
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(1, 3, 2, 2)
    draws = only(torch.tensor([0.5]), order=(2, 3, 1, 0))
    cyan = torch.tensor([0.0, 1.0, 1.0])[:, None, None].expand(1, 3, 2, 2)
    assert torch.allclose(jitter(red, draws), cyan, atol=1e-6)
    assert math.isclose(jitter(red, draws).sum().item(), 8, abs_tol=1e-5)


def test_hue_is_that_of_the_standard_library():
    """Also greys, ties between channels, black and white, and turns at the ends of their range."""
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.3, 1.0])] * 3)
    pixels = torch.cat([corners, torch.rand(60, 3, generator=torch.Generator().manual_seed(0))])
    turns = torch.tensor([-0.5, -0.31, -1e-4, 0.0, 0.1, 1 / 6, 0.5])
    ours = jitter(pixels.T[None, :, None].repeat(len(turns), 1, 1, 1), only(turns))
    for turn, view in zip(turns.tolist(), ours[:, :, 0].mT, strict=True):
        for pixel, mine in zip(pixels.tolist(), view, strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            theirs = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            torch.testing.assert_close(mine, torch.tensor(theirs), rtol=0, atol=1e-6)


@pytest.mark.parametrize("size", [3, 12, 13, 14, 30])
def test_a_blur_of_known_reach_is_the_blur_of_any_reach(size):
    sigma = torch.tensor([0.0, 0.1, 1.0, math.sqrt(2), 1.7, 2.0])
    views = torch.rand(6, 3, size, size, generator=torch.Generator().manual_seed(0))
    near = along_both(views, blur_sums(sigma, size, 2.0))
    torch.testing.assert_close(near, blur(views, sigma), rtol=0, atol=1e-6)
    assert blur_sums(sigma, size, 2.0).weight.shape == (6, size, min(size, 13))
    assert not torch.allclose(near[2:], views[2:], atol=0.01)


@pytest.mark.parametrize("recipe", [ViewRecipe(SIZE), ViewRecipe(SIZE, **SIMCLR)])
def test_a_view_is_the_same_bit_for_bit_whatever_is_made_beside_it(
    pictures, sizes, recipe, monkeypatch
):
    draws = draw_views(uniforms_of_epoch(2, 5, N)[:, 1], sizes, recipe)
    together = apply_views(pictures, draws, sizes, recipe)
    for at_once in (1, 5 * 3 * H * W, 2**40):
        monkeypatch.setattr(view_ops, "AT_ONCE", at_once)
        assert torch.equal(apply_views(pictures, draws, sizes, recipe), together)
    some = torch.tensor([7, 3, 7, 40])
    chosen = apply_views(pictures, draws.of(some), sizes[some], recipe, some)
    assert torch.equal(chosen, together[some])
    assert len({view.sum().item() for view in together}) == N


@pytest.mark.parametrize("recipe", [ViewRecipe(SIZE), ViewRecipe(SIZE, **SIMCLR)])
def test_without_a_look_at_the_draws_views_are_the_same(pictures, sizes, recipe, monkeypatch):
    """As on a GPU: all at once, everything done to each view."""
    draws = draw_views(uniforms_of_epoch(2, 5, N)[:, 1], sizes, recipe)
    looked = apply_views(pictures, draws, sizes, recipe)
    with pytest.raises(AssertionError, match="waits"), NoWaiting():
        apply_views(pictures, draws, sizes, recipe)
    monkeypatch.setattr(view_ops, "_host_reads", lambda device: False)
    with NoWaiting():
        blind = apply_views(pictures, draws, sizes, recipe)
    torch.testing.assert_close(blind, looked, rtol=0, atol=1e-5)


def test_colours_that_are_not_jittered_are_left_alone_bit_for_bit(pictures, sizes):
    """On a CPU; where the host does not look, hue is turned by nothing, up to rounding."""
    still = ViewRecipe(SIZE, jitter_probability=0, blur_probability=0, grey_probability=0)
    draws = draw_views(uniforms_of_epoch(2, 5, N)[:, 1], sizes, still)
    crops = crop_and_resize(pictures.float() / 255, draws.box, draws.flipped, sizes, SIZE)
    views = apply_views(
        pictures, draws, sizes, dataclasses.replace(still, mean=(0,) * 3, std=(1,) * 3)
    )
    torch.testing.assert_close(views, crops, rtol=0, atol=1e-6)
    assert torch.equal(jitter(crops, draws), crops)


def test_nothing_asks_the_device_for_a_value():
    """Tensors without values: whatever has to read one, fails."""
    recipe = ViewRecipe(SIZE)
    sizes = torch.empty(4, 2, device="meta")
    draws = draw_views(
        torch.empty(4, uniforms_of_epoch(0, 0, 1).shape[-1], device="meta"), sizes, recipe
    )
    pictures = torch.empty(4, 3, H, W, dtype=torch.uint8, device="meta")
    assert apply_views(pictures, draws, sizes, recipe).shape == (4, 3, SIZE, SIZE)
    assert draws.placements(sizes).shape == (4, 5)


@pytest.mark.gpu
def test_on_a_gpu_views_are_the_same_and_nothing_waits(pictures, sizes):
    recipe = ViewRecipe(SIZE)
    uniforms = uniforms_of_epoch(0, 0, N)[:, 0]
    here = apply_views(pictures, draw_views(uniforms, sizes, recipe), sizes, recipe)
    there = [tensor.cuda() for tensor in (pictures, uniforms, sizes)]
    apply_views(there[0], draw_views(there[1], there[2], recipe), there[2], recipe)
    torch.cuda.set_sync_debug_mode("error")
    try:
        views = apply_views(there[0], draw_views(there[1], there[2], recipe), there[2], recipe)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    apart = (views.cpu() - here).abs().mean(dim=(1, 2, 3))
    # A crop may be a pixel wider where a side falls on a half.
    assert (apart < 1e-3).float().mean() > 0.9
