"""Maps that look at no image: uniform, centre, given, another image's."""

import pytest
import torch
import torch.nn.functional as F

from salmask_plugin import (
    CenterLocalizer,
    GivenLocalizer,
    PermutedLocalizer,
    UniformLocalizer,
    foreground,
)
from salmask_plugin.localizers.area import coverage


def overlap(low, high, first, last):
    return max(0.0, min(high, last) - max(low, first))


def test_coverage_by_a_loop():
    start, end = torch.tensor([0.0, 0.13, 0.6]), torch.tensor([1.0, 0.77, 0.61])
    weights = coverage(start, end, cells=9, out=4)
    for b in range(3):
        width = (float(end[b]) - float(start[b])) / 4
        for o in range(4):
            low = float(start[b]) + o * width
            for c in range(9):
                expected = overlap(low, low + width, c / 9, (c + 1) / 9) / width
                assert float(weights[b, o, c]) == pytest.approx(expected, abs=2e-5)
    torch.testing.assert_close(weights.sum(-1), torch.ones(3, 4))


def test_uniform_is_all_foreground(make_images):
    saliency = UniformLocalizer(grid=(3, 5))(make_images())
    assert saliency.shape == (5, 3, 5)
    assert foreground(saliency).all()


@pytest.mark.parametrize(("grid", "size"), [((7, 7), 0.75), ((4, 9), 0.5), ((3, 8), 0.31)])
def test_centre_by_a_loop(make_images, grid, size):
    saliency = CenterLocalizer(grid=grid, size=size)(make_images())
    assert saliency.shape == (5, *grid)
    low, high = 0.5 - size / 2, 0.5 + size / 2
    for i in range(grid[0]):
        for j in range(grid[1]):
            expected = overlap(low, high, i / grid[0], (i + 1) / grid[0]) * grid[0]
            expected *= overlap(low, high, j / grid[1], (j + 1) / grid[1]) * grid[1]
            assert float(saliency[2, i, j]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("side", range(3, 17))
def test_centre_is_never_everything_at_the_default(make_images, side):
    marked = foreground(CenterLocalizer(grid=(side, side))(make_images(1)))[0]
    assert not marked[0, 0]
    assert marked[side // 2, side // 2]
    assert 0.4 < marked.float().mean() < 0.85


def test_small_centre_needs_tolerance_zero(make_images):
    saliency = CenterLocalizer(grid=(8, 8), size=0.25)(make_images(1))
    assert foreground(saliency).all()  # the trap that the docstring names
    assert foreground(saliency, tolerance=0).sum() == 4


@pytest.mark.parametrize("size", [0, 1, -0.5, 1.5])
def test_wrong_centre(size):
    with pytest.raises(ValueError, match="size="):
        CenterLocalizer(size=size)


@pytest.mark.parametrize("localizer", [UniformLocalizer, CenterLocalizer, GivenLocalizer])
@pytest.mark.parametrize("grid", [(0, 7), (7,), (1, 2, 3)])
def test_wrong_grid(localizer, grid):
    with pytest.raises(ValueError, match="grid="):
        localizer(grid=grid)


def test_given_averages_exactly():
    """30 x 23 pixels do not divide into 4 x 5 cells: every pixel is spread by its area."""
    masks = torch.zeros(2, 30, 23)
    masks[0, 4:19, 3:7] = 1  # an L
    masks[0, 15:19, 7:16] = 1
    masks[1] = torch.rand((30, 23), generator=torch.Generator().manual_seed(1))
    saliency = GivenLocalizer(grid=(4, 5))(masks)
    for b in range(2):
        for i in range(4):
            for j in range(5):
                total = 0.0
                for y in range(30):
                    rows = overlap(i * 30 / 4, (i + 1) * 30 / 4, y, y + 1)
                    if rows:
                        for x in range(23):
                            columns = overlap(j * 23 / 5, (j + 1) * 23 / 5, x, x + 1)
                            total += float(masks[b, y, x]) * rows * columns
                expected = total / (30 / 4 * 23 / 5)
                assert float(saliency[b, i, j]) == pytest.approx(expected, abs=1e-6)


def test_given_equals_pooling_where_cells_are_whole():
    masks = torch.rand((3, 1, 28, 21), generator=torch.Generator().manual_seed(2))
    expected = F.avg_pool2d(masks, (4, 3))[:, 0]
    torch.testing.assert_close(GivenLocalizer()(masks), expected)
    torch.testing.assert_close(GivenLocalizer()(masks[:, 0]), expected)


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
def test_given_constant_stays_constant(value):
    saliency = GivenLocalizer(grid=(7, 6))(torch.full((1, 1, 61, 53), value))
    assert saliency.min() == saliency.max() == torch.tensor(value)


def test_given_bool_equals_float():
    masks = torch.rand((2, 1, 20, 33), generator=torch.Generator().manual_seed(3)) > 0.6
    given = GivenLocalizer()
    assert torch.equal(given(masks), given(masks.float()))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(given(masks), given(masks.float()))


def test_given_refuses_views(make_images):
    with pytest.raises(ValueError, match="the masks of the views, not the views"):
        GivenLocalizer()(make_images())


class Distinct:
    """Map i holds the mean of image i."""

    trained_on = "toys"

    def __call__(self, images):
        return images.mean((1, 2, 3))[:, None, None].expand(-1, 2, 3)


def test_permuted_gives_no_image_its_own_map(make_images):
    images = make_images()
    own, other = Distinct()(images), PermutedLocalizer(Distinct())(images)
    for i in range(5):
        assert torch.equal(other[i], own[i - 1])
        assert not torch.equal(other[i], own[i])


def test_permuted_needs_two(make_images):
    with pytest.raises(ValueError, match="at least 2 views"):
        PermutedLocalizer(Distinct())(make_images(1))


def test_trained_on():
    assert UniformLocalizer().trained_on == CenterLocalizer().trained_on == "none"
    assert GivenLocalizer().trained_on == "the given masks"
    assert PermutedLocalizer(Distinct()).trained_on == "toys"
