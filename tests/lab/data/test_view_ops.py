"""Operations on a batch with choices of its own against PIL and torchvision, image by image."""

import math

import pytest
import torch
from PIL import ImageFilter
from torchvision.transforms.v2 import functional as F

from salmask_plugin.lab.data import (
    ViewDraws,
    ViewRecipe,
    apply_views,
    draw_views,
    uniforms_of_epoch,
)
from salmask_plugin.lab.data.device.colours import jitter
from salmask_plugin.lab.data.device.geometry import along_both, blur, blur_sums, crop_and_resize

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


def shares(start, extent, stored, size):
    """(size, stored) of PIL's rule in double precision: every stored pixel in every result."""
    step = extent / size
    centre = start + (torch.arange(size).double()[:, None] + 0.5) * step
    pixel = torch.arange(stored).double()
    near = (1 - (pixel + 0.5 - centre).abs() / max(step, 1)).clamp(min=0)
    inside = (pixel + 1).clamp(max=start + extent) - pixel.clamp(min=start)
    weight = near * inside.clamp(0, 1)
    return weight / weight.sum(dim=1, keepdim=True)


@pytest.mark.parametrize(("size", "scaled"), [(5, 1.0), (24, 1.0), (24, 1.7), (80, 0.3)])
def test_crops_leave_out_no_pixel_that_counts(pictures, sizes, draws, size, scaled):
    """Where pictures were resized, too: the box then falls between their pixels."""
    box = (draws.box * scaled).round().clamp(min=1)
    owned = (sizes * scaled).round()
    box[:, :2] = box[:, :2].minimum(owned - box[:, 2:])
    crops = crop_and_resize(pictures.float(), box, draws.flipped, owned, size)
    for n in range(0, N, 5):
        left, top, width, height = box[n].double().tolist()
        across, down = W / owned[n, 0].item(), H / owned[n, 1].item()
        rows = shares(top * down, height * down, H, size)
        columns = shares(left * across, width * across, W, size)
        expected = rows @ pictures[n].double() @ columns.T
        expected = expected.flip(2) if draws.flipped[n] else expected
        torch.testing.assert_close(crops[n].double(), expected, rtol=0, atol=2e-3)  # of 255


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


@pytest.mark.parametrize("size", [3, 12, 13, 14, 30])
def test_a_blur_of_known_reach_is_the_blur_of_any_reach(size):
    sigma = torch.tensor([0.0, 0.1, 1.0, math.sqrt(2), 1.7, 2.0])
    views = torch.rand(6, 3, size, size, generator=torch.Generator().manual_seed(0))
    near = along_both(views, blur_sums(sigma, size, 2.0))
    torch.testing.assert_close(near, blur(views, sigma), rtol=0, atol=1e-6)
    assert blur_sums(sigma, size, 2.0).weight.shape == (6, size, min(size, 13))
    assert not torch.allclose(near[2:], views[2:], atol=0.01)


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
