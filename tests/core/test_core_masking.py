from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.pixels import mask_loop
from torch import Tensor

from salmask_plugin import (
    BlurFill,
    FocalMask,
    GridMask,
    HighPassFilter,
    Masking,
    MaskMixture,
    MeanFill,
    NoiseFill,
    SaliencyMasking,
    UniformLocalizer,
)
from salmask_plugin.masks.pixels import to_pixels

FILLS = [MeanFill(), BlurFill(kernel_size=7, sigma=2.0), NoiseFill()]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]


@dataclass(frozen=True)
class Given:
    """A sampler that returns the mask it was built with."""

    mask: Tensor

    def __call__(self, saliency: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.mask


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("size", "grid"), [((12, 21), (4, 7)), ((13, 10), (4, 3)), ((9, 8), (1, 1)), ((6, 5), (8, 5))]
)
def test_equals_the_loop_over_pixels(make_images, generator, size, grid, channels):
    images = make_images(2, *size).double()
    cells = torch.rand((2, channels, *grid), generator=generator) < 0.4
    fill = BlurFill(3, 1.0)
    masked, mask = Masking(Given(cells), fill)(images, torch.zeros(2, *grid))
    expected = mask_loop(images.numpy(), cells.numpy(), fill(images).numpy())
    assert np.array_equal(masked.numpy(), expected)
    assert mask.shape == (2, channels, *size)


@pytest.mark.parametrize("fill", FILLS, ids=lambda fill: type(fill).__name__)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("per_channel", [False, True])
def test_unmasked_pixels_are_untouched_and_masked_ones_show_the_fill(
    make_images, make_saliency, fill, dtype, per_channel
):
    images, saliency = make_images(4, 56, 35).to(dtype), make_saliency(4, 7, 5)
    before = images.clone()
    masking = Masking(GridMask((0.2, 0.4), per_channel=per_channel), fill)
    masked, mask = masking(images, saliency, torch.Generator().manual_seed(7))
    assert torch.equal(images, before)  # defect B7: the released functions write in place
    assert masked.dtype == dtype
    assert mask.dtype == torch.bool
    everywhere = mask.expand_as(images)
    assert torch.equal(masked[~everywhere], images[~everywhere])
    replay = torch.Generator().manual_seed(7)
    masking.sampler(saliency, replay)
    content = fill(images, replay).expand_as(images)
    assert torch.equal(masked[everywhere], content[everywhere])


def released_fill(images: Tensor, mask: Tensor) -> Tensor:
    """Released rule (defect B7): write into the argument."""
    images[mask.expand_as(images)] = 0.0
    return images


def test_in_place_masking_fails_the_property(make_images):
    """Defect B7: with it, the clean view a second branch needs is gone."""
    images = make_images(2, 8, 8)
    before = images.clone()
    released_fill(images, torch.ones(2, 1, 8, 8, dtype=torch.bool))
    assert not torch.equal(images, before)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(32, 512), st.integers(32, 96), st.integers(1, 16), st.integers(1, 9), st.booleans()
)
def test_any_size_and_grid(height, width, rows, columns, swap):
    if swap:
        height, width = width, height
    images = torch.randn(1, 3, height, width)
    saliency = torch.rand(1, rows, columns)
    generator = torch.Generator().manual_seed(height)
    masked, mask = Masking(GridMask((0.3, 0.5), background=False), MeanFill())(
        images, saliency, generator
    )
    assert masked.shape == images.shape
    assert mask.shape == (1, 1, height, width)
    assert mask.any()  # every cell covers a pixel
    assert torch.equal(masked[:, :, ~mask[0, 0]], images[:, :, ~mask[0, 0]])


@pytest.mark.parametrize("size", [(224, 224), (33, 47), (512, 32), (36, 45), (112, 112)])
@pytest.mark.parametrize("grid", [(7, 7), (16, 9), (1, 1), (112, 112)])
def test_enlarging_is_nearest_neighbour(generator, size, grid):
    mask = torch.rand((2, 3, *grid), generator=generator) < 0.5
    pixels = to_pixels(mask, torch.zeros(2, 3, *size))
    row = [r * grid[0] // size[0] for r in range(size[0])]
    column = [c * grid[1] // size[1] for c in range(size[1])]
    assert torch.equal(pixels, mask[:, :, row][:, :, :, column])


def test_cells_of_a_grid_that_does_not_divide_differ_by_one_pixel():
    cells = torch.eye(7, dtype=torch.bool)[:, None, :, None]  # one row of cells at a time
    heights = to_pixels(cells, torch.zeros(7, 3, 33, 30)).any(-1).sum((1, 2))
    assert heights.sum() == 33
    assert heights.max() - heights.min() == 1


def test_a_mask_at_the_size_of_the_view_is_taken_as_it_is(make_images):
    images = make_images(2, 21, 14)
    mask = torch.zeros(2, 1, 21, 14, dtype=torch.bool)
    mask[0, 0, 3, 5] = True
    assert to_pixels(mask, images) is mask


def test_batch_of_one_and_channels_other_than_three(make_images, make_saliency, generator):
    images = make_images(1, 28, 35, channels=4)
    masked, mask = Masking(GridMask(), MeanFill())(images, make_saliency(1), generator)
    assert masked.shape == (1, 4, 28, 35)
    assert mask.shape == (1, 1, 28, 35)


def test_masks_of_a_mixed_view_follow_the_object_when_it_is_flipped(make_images, make_saliency):
    """Masking commutes with flips as far as the draw does: a negative hides the flipped object."""
    images, saliency = make_images(4, 56, 56), make_saliency(4)
    whole_object = Masking(GridMask((1.0, 1.0), background=False), MeanFill())
    masked, mask = whole_object(images, saliency)
    flipped, flipped_mask = whole_object(images.flip(-1), saliency.flip(-1))
    assert torch.equal(flipped_mask, mask.flip(-1))
    assert torch.allclose(flipped, masked.flip(-1), atol=1e-6)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_map_without_a_ranking_is_masked_like_a_constant_one(make_images, bad, generator):
    saliency = torch.full((3, 7, 7), bad)
    masked, mask = Masking(GridMask((2 / 7, 2 / 7)), MeanFill())(
        make_images(3, 28, 28), saliency, generator
    )
    assert (mask.sum((1, 2, 3)) == 14 * 16).all()
    assert masked.isfinite().all()


def test_channels_last_views(make_images, make_saliency):
    images, saliency = make_images(2, 28, 28), make_saliency(2)
    results = [
        Masking(FocalMask(), BlurFill(5, 1.0))(x, saliency, torch.Generator().manual_seed(0))[0]
        for x in (images, images.to(memory_format=torch.channels_last))
    ]
    assert torch.allclose(*results, atol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_masking_compiles_with_a_mask_drawn_outside(make_images, generator):
    images = make_images(2, 28, 28)
    mask = torch.rand((2, 1, 28, 28), generator=generator) < 0.3
    apply: Callable[..., tuple[Tensor, Tensor]] = Masking(GridMask(), BlurFill(5, 1.0)).apply
    assert torch.allclose(torch.compile(apply)(images, mask)[0], apply(images, mask)[0], atol=1e-6)


HIGHPASS = MaskMixture((FocalMask(), GridMask(), GridMask(per_channel=True)), (0.20, 0.24, 0.56))


@pytest.mark.parametrize("channels", [1, 2, 4, 13])
def test_channels_drawn_apart_are_the_views_channels(make_images, generator, channels):
    """The high-pass recipe's kinds on grey, four-band and thirteen-band views."""
    images = make_images(40, 28, 28, channels)
    for sampler in (GridMask((0.3, 0.3), per_channel=True), HIGHPASS):
        masked, mask = Masking(sampler, NoiseFill())(images, torch.rand(40, 7, 7), generator)
        assert masked.shape == images.shape
        assert mask.shape == (40, channels, 28, 28)
        counts = mask.sum((2, 3))
        assert (counts == counts[:, :1]).all()
        if channels > 1:
            assert (mask[:, 0] != mask[:, -1]).flatten(1).any(1).sum() > 10


@pytest.mark.parametrize("channels", [1, 4, 13])
def test_whole_recipes_take_any_number_of_channels(make_images, generator, channels):
    query, key = make_images(6, 28, 28, channels), make_images(6, 28, 28, channels)
    part = Masking(HIGHPASS, NoiseFill())
    filtered = HighPassFilter(3, 1.0)
    for branch, negative in (("query", part), ("both", None)):  # high-pass, MSCN
        masking = SaliencyMasking(
            UniformLocalizer(), part, negative, view_filter=filtered, branch=branch
        )
        views = masking(query, key, generator)
        assert views.query.shape == views.key.shape == query.shape
        assert views.negatives is None or views.negatives.shape == (6, 1, *query.shape[1:])


def test_three_channels_are_drawn_as_a_sampler_alone_draws_them(make_images, make_saliency):
    maps = make_saliency(5)
    _, mask = Masking(HIGHPASS, MeanFill())(
        make_images(5, 112, 112), maps, torch.Generator().manual_seed(2)
    )
    assert torch.equal(mask, HIGHPASS(maps, torch.Generator().manual_seed(2)))


@pytest.mark.parametrize("shape", [(5, 3, 28, 28), (5, 4, 28, 27), (1, 4, 28, 28), (5, 28, 28)])
def test_a_mask_that_does_not_fit_the_images_is_an_error(make_images, shape):
    """Three channels of a sampler of one's own made three-channel views out of grey ones."""
    with pytest.raises(ValueError, match=r"mask has shape .* must be \(B, 1, H, W\)"):
        Masking(GridMask(), MeanFill()).apply(
            make_images(5, 28, 28, 4), torch.zeros(shape, dtype=torch.bool)
        )
