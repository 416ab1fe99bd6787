import pytest
import torch

from salmask_plugin import FocalMask
from salmask_plugin.masks.pixels import to_pixels

VIEW = torch.zeros(1, 3, 224, 224)


@pytest.mark.parametrize(
    ("sampler", "side", "share"),
    [
        (FocalMask(), 200, 1 - (200 / 224) ** 2),  # 20.3 % masked: all but the window
        (FocalMask(130 / 224, inside=True), 130, (130 / 224) ** 2),  # 33.7 %: the window
    ],
)
def test_windows_of_the_paper_are_exact_at_224_pixels(sampler, side, share, generator):
    mask = to_pixels(sampler(torch.zeros(9, 7, 7), generator), VIEW)
    assert mask.shape == (9, 1, 224, 224)
    assert mask.double().mean((1, 2, 3)).tolist() == pytest.approx([share] * 9, abs=1e-12)
    window = mask if sampler.inside else ~mask
    assert (window.any(3).sum(2) == side).all()
    assert (window.any(2).sum(2) == side).all()
    assert (window.sum((1, 2, 3)) == side * side).all()  # a filled rectangle
    assert round(100 * share, 1) in (20.3, 33.7)


def test_every_place_is_equally_likely_and_axes_are_drawn_apart(generator):
    mask = FocalMask(0.75, inside=True)(torch.zeros(26000, 1, 2), generator)  # 16 x 32 lattice
    top = mask[:, 0].any(2).int().argmax(1)
    left = mask[:, 0].any(1).int().argmax(1)
    for start, places in ((top, 5), (left, 9)):
        share = torch.bincount(start, minlength=places) / len(start)
        assert len(share) == places
        assert (share - 1 / places).abs().max() < 0.01
    assert abs(torch.corrcoef(torch.stack((top, left)).float())[0, 1]) < 0.03


def test_places_do_not_depend_on_the_saliency(make_saliency):
    peaked, flat = make_saliency(6), torch.zeros(6, 7, 7)
    masks = [FocalMask()(s, torch.Generator().manual_seed(4)) for s in (peaked, flat)]
    assert torch.equal(*masks)


def test_inside_is_the_complement():
    maps = torch.zeros(6, 5, 9)
    keep = FocalMask(0.6)(maps, torch.Generator().manual_seed(4))
    lose = FocalMask(0.6, inside=True)(maps, torch.Generator().manual_seed(4))
    assert torch.equal(keep, ~lose)


def test_whole_view_and_tiny_window(generator):
    maps = torch.zeros(4, 3, 3)
    assert not FocalMask(1.0)(maps, generator).any()
    assert (FocalMask(1e-9, inside=True)(maps, generator).sum((1, 2, 3)) == 1).all()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (4, 5)])
@pytest.mark.parametrize("size", [200 / 224, 130 / 224])
def test_the_area_is_kept_on_average_where_the_lattice_does_not_fit(generator, shape, size):
    mask = FocalMask(size, inside=True)(torch.zeros(5000, *shape), generator)
    assert mask.float().mean().item() == pytest.approx(size**2, abs=0.003)
    sides = torch.stack((mask[:, 0].any(2).sum(1), mask[:, 0].any(1).sum(1)), 1)
    exact = size * 16 * torch.tensor(shape)
    assert (sides - exact).abs().max() < 1
    nearest = FocalMask(size, inside=True, rounding="nearest")(torch.zeros(9, *shape), generator)
    assert (nearest.sum((1, 2, 3)) == exact.round().prod()).all()


@pytest.mark.parametrize("size", [0.0, -0.5, 1.01, float("nan")])
def test_size_out_of_range_is_an_error(size):
    with pytest.raises(ValueError, match=r"size=.* must be above 0 and at most 1"):
        FocalMask(size)


def test_rows_and_columns_are_rounded_apart(generator):
    """Sides of 1 or 2 of 16, each by a toss of its own: 1.5 x 1.5 on average; of one toss 2.5."""
    mask = FocalMask(size=1.5 / 16, inside=True)(torch.zeros(4000, 1, 1), generator)
    areas = mask.flatten(1).sum(1)
    assert set(areas.tolist()) == {1, 2, 4}
    assert abs(areas.double().mean().item() - 2.25) < 0.07  # four standard errors
