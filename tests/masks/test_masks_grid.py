import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.grid import cell_counts, grid_mask_per_image
from torch import Tensor

from salmask_plugin import GridMask, foreground


def map_with_objects(batch: int, rows: int, columns: int, object_cells: int) -> Tensor:
    """Maps whose foreground, at tolerance 0, is ``object_cells`` cells at scattered places.

    At 0.6 deviations a two-valued map with few object cells would be all foreground.
    """
    saliency = torch.zeros(batch, rows * columns)
    order = torch.randperm(rows * columns, generator=torch.Generator().manual_seed(rows))
    saliency[:, order[:object_cells]] = 1.0
    saliency = saliency.view(batch, rows, columns)
    assert (foreground(saliency, 0).sum((1, 2)) == object_cells).all()
    return saliency


def counts(saliency: Tensor, mask: Tensor, tolerance: float = 0.6) -> tuple[Tensor, Tensor]:
    """Masked (foreground, background) cells, each (B, C)."""
    objects = foreground(saliency, tolerance)[:, None]
    return (mask & objects).sum((2, 3)), (mask & ~objects).sum((2, 3))


# (rows, columns, object cells): N = 49 and others; one-cell pools on either side; gamma = 1.
POOLS = [
    (7, 7, 30),
    (7, 7, 49),
    (7, 7, 1),
    (7, 7, 48),
    (7, 7, 46),
    (3, 3, 5),
    (2, 2, 2),
    (8, 8, 41),
    (5, 9, 13),
    (16, 9, 100),
    (1, 1, 1),
]


@pytest.mark.parametrize("ratio", [0.0, 0.004, 0.01, 0.07, 0.13, 0.24, 0.47, 0.69, 0.97, 1.0])
@pytest.mark.parametrize(("rows", "columns", "object_cells"), POOLS)
def test_counts_follow_the_paper(rows, columns, object_cells, ratio, generator):
    saliency = map_with_objects(4, rows, columns, object_cells)
    for background in (True, False):
        sampler = GridMask((ratio, ratio), background, True, tolerance=0, rounding="nearest")
        in_object, in_rest = counts(saliency, sampler(saliency, generator), tolerance=0)
        expected = cell_counts(rows * columns, object_cells, ratio, background)
        assert (in_object == expected[0]).all()
        assert (in_rest == min(expected[1], rows * columns - object_cells)).all()


@pytest.mark.parametrize("ratio", [0.0, 0.004, 0.15, 0.47, 0.97, 1.0])
@pytest.mark.parametrize(("rows", "columns", "object_cells"), POOLS)
def test_each_pool_keeps_its_share_on_average(rows, columns, object_cells, ratio, generator):
    """And no image strays from it by a whole cell, in either pool or in all."""
    cells, images = rows * columns, 1200
    saliency = map_with_objects(images, rows, columns, object_cells)
    sampler = GridMask((ratio, ratio), tolerance=0)
    in_object, in_rest = counts(saliency, sampler(saliency, generator), tolerance=0)
    for masked, pool in (
        (in_object, object_cells),
        (in_rest, cells - object_cells),
        (in_object + in_rest, cells),
    ):
        assert (masked - ratio * pool).abs().max() < 1
        assert masked.double().mean().item() == pytest.approx(ratio * pool, abs=0.06)  # 4 sigma

    negative = GridMask((ratio, ratio), background=False, tolerance=0)
    in_object, _ = counts(saliency, negative(saliency, generator), tolerance=0)
    expected = max(1, ratio * object_cells)  # below one cell, one
    assert in_object.double().mean().item() == pytest.approx(expected, abs=0.06)


def test_ratio_is_drawn_per_image_uniformly_between_its_ends(generator):
    saliency = torch.ones(4000, 10, 10)
    masked = GridMask((0.05, 0.25))(saliency, generator).sum((1, 2, 3)).float()
    assert masked.min() == 5
    assert masked.max() == 25
    assert masked.mean().item() == pytest.approx(15, abs=0.4)
    inner = torch.bincount(masked.long(), minlength=26)[6:25] / 4000
    assert (inner - 0.05).abs().max() < 0.02


def test_every_cell_of_a_pool_is_equally_likely(generator):
    saliency = map_with_objects(6000, 4, 5, 8)
    objects = foreground(saliency, 0)[0]
    share = GridMask((0.5, 0.5), tolerance=0)(saliency, generator).float().mean((0, 1))
    assert (share[objects] - 4 / 8).abs().max() < 0.035
    assert (share[~objects] - 6 / 12).abs().max() < 0.035


def test_agrees_with_the_per_image_loop_in_distribution(make_saliency):
    saliency = make_saliency(1, 6, 8).expand(3000, 6, 8)
    for background in (True, False):
        ours = GridMask((0.2, 0.6), background)(saliency, torch.Generator().manual_seed(1))
        loop = grid_mask_per_image(
            saliency, (0.2, 0.6), background, torch.Generator().manual_seed(2)
        )
        assert (ours.float().mean((0, 1)) - loop.float().mean((0, 1))).abs().max() < 0.06
        ours_counts, loop_counts = counts(saliency, ours), counts(saliency, loop)
        for one, other in zip(ours_counts, loop_counts, strict=True):
            assert one.float().mean().item() == pytest.approx(other.float().mean().item(), abs=0.4)


@settings(max_examples=50, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(1, 16),
    st.floats(0, 1),
    st.integers(0, 2**31),
)
def test_negatives_lose_at_least_one_cell_and_only_the_object(rows, columns, ratio, seed):
    generator = torch.Generator().manual_seed(seed)
    saliency = torch.rand((3, rows, columns), generator=generator)
    sampler = GridMask((ratio, ratio), background=False, per_channel=True)
    in_object, in_rest = counts(saliency, sampler(saliency, generator))
    assert (in_object >= 1).all()
    assert (in_rest == 0).all()


def test_channels_are_drawn_apart_in_equal_numbers(make_saliency, generator):
    saliency = make_saliency(6)
    mask = GridMask((0.2, 0.4), per_channel=True)(saliency, generator)
    assert mask.shape == (6, 3, 7, 7)
    for pool in counts(saliency, mask):
        assert (pool == pool[:, :1]).all()
    assert not torch.equal(mask[:, 0], mask[:, 1])
    assert not torch.equal(mask[:, 1], mask[:, 2])


def test_images_are_drawn_apart(generator):
    masks = GridMask((0.3, 0.3))(torch.ones(20, 7, 7), generator).flatten(1)
    assert len(masks.unique(dim=0)) == 20


def released_background_count(cells: int, object_cells: int, ratio: float) -> int:
    """Released rule (defect B3): the total is rounded down, so the difference can be -1."""
    return int(cells * ratio) - round(ratio * (object_cells / cells) * cells)


def test_background_count_is_never_negative(generator):
    """Defect B3: a count of -1 used as a slice end masks all background cells but one."""
    rows, columns, object_cells, ratio = 7, 7, 46, 0.12
    assert released_background_count(rows * columns, object_cells, ratio) == -1
    background_order = torch.arange(rows * columns - object_cells)
    released = background_order[: released_background_count(49, object_cells, ratio)]
    assert len(released) == len(background_order) - 1  # the property that fails

    saliency = map_with_objects(40, rows, columns, object_cells)
    mask = GridMask((ratio, ratio), tolerance=0, rounding="nearest")(saliency, generator)
    in_object, in_rest = counts(saliency, mask, tolerance=0)
    assert (in_object == 6).all()
    assert (in_rest == 0).all()
    mask = GridMask((ratio, ratio), tolerance=0)(saliency, generator)
    in_object, in_rest = counts(saliency, mask, tolerance=0)
    assert in_object.unique().tolist() == [5, 6]
    assert in_rest.unique().tolist() == [0, 1]


def test_total_is_rounded_not_cut(generator):
    """Released rule: floor(49 ratio) cells, at 0.199 always 9 of 9.75."""
    total = GridMask((0.199, 0.199))(map_with_objects(900, 7, 7, 30), generator).sum((1, 2, 3))
    assert total.unique().tolist() == [9, 10]
    assert total.float().mean().item() == pytest.approx(49 * 0.199, abs=0.06)
    assert int(49 * 0.199) == 9


def test_small_grids_keep_the_ratio(generator):
    """The nearest number of 1.35 cells is one: 11.1 % of a 3x3 grid where 15 % were asked for."""
    maps = torch.ones(4000, 3, 3)
    nearest = GridMask((0.15, 0.15), rounding="nearest")(maps, generator)
    assert nearest.float().mean().item() == pytest.approx(1 / 9)
    assert GridMask((0.15, 0.15))(maps, generator).float().mean().item() == pytest.approx(
        0.15, abs=0.004
    )


def test_views_stay_whole_where_the_share_is_below_one_cell(generator):
    """Of 9 cells, U(0.05, 0.25) is below one with 0.3056; 1 - 9 a of those stay whole."""
    whole = ~GridMask()(torch.ones(9000, 3, 3), generator).flatten(1).any(1)
    assert whole.float().mean().item() == pytest.approx((1 - 0.45) ** 2 / 2 / 9 / 0.2, abs=0.012)
    assert GridMask()(torch.ones(9000, 7, 7), generator).flatten(1).any(1).all()


def test_nearest_draws_what_it_always_drew():
    """Frozen: masks of the released recipes stay as they were before there was a choice."""
    maps = torch.arange(2 * 9.0).view(2, 3, 3).sin()
    mask = GridMask((0.2, 0.6), rounding="nearest")(maps, torch.Generator().manual_seed(5))
    assert mask.int().flatten(1).tolist() == [
        [0, 1, 0, 1, 1, 0, 1, 0, 1],
        [0, 1, 0, 0, 0, 0, 0, 1, 0],
    ]


def released_pick(pool: Tensor, count: int) -> Tensor:
    """Released rule (defect B4): indices are squeezed, and a single index becomes 0-d, skipped."""
    indices = pool.nonzero().squeeze()
    return indices[:count] if indices.ndim else indices.new_empty(0)


def test_one_cell_pools_are_masked(generator):
    """Defect B4."""
    saliency = map_with_objects(4, 7, 7, 1)
    assert len(released_pick(foreground(saliency, 0)[0].flatten(), 1)) == 0  # what fails
    mask = GridMask((0.4, 0.7), background=False, tolerance=0)(saliency, generator)
    assert (counts(saliency, mask, tolerance=0)[0] == 1).all()
    mask = GridMask((1.0, 1.0), tolerance=0)(saliency, generator)
    in_object, in_rest = counts(saliency, mask, tolerance=0)
    assert (in_object == 1).all()
    assert (in_rest == 48).all()


def test_rounding_is_one_of_two():
    with pytest.raises(ValueError, match=r"rounding='up' must be one of .*nearest"):
        GridMask(rounding="up")


@pytest.mark.parametrize("ratio", [(-0.1, 0.5), (0.5, 0.4), (0.2, 1.1), (float("nan"), 0.5)])
def test_ratio_out_of_range_is_an_error(ratio):
    with pytest.raises(ValueError, match=r"ratio=.* with low <= high, each at least 0"):
        GridMask(ratio)


def test_tolerance_must_be_finite():
    with pytest.raises(ValueError, match="tolerance=nan must be finite"):
        GridMask(tolerance=float("nan"))
