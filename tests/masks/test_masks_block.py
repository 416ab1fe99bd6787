"""Rectangles: what they look like, and that every cell loses the same."""

import pytest
import torch

from salmask_plugin import BlockMask, foreground


def rectangle_loop(length, cover, toss, place):
    """The extent of one block along one axis, from the same draws, case by case."""
    if cover >= 1:
        return [True] * length
    chance = [cells / (length + cells - 1) if cells else 0.0 for cells in range(1000)]
    cells = max(number for number, value in enumerate(chance) if value <= cover + 1e-9)
    between = (cover - chance[cells]) / (chance[cells + 1] - chance[cells])
    cells += toss < between
    if cells == 0:
        return [False] * length
    starts = list(range(-(cells - 1), length))
    start = starts[min(int(place * len(starts)), len(starts) - 1)]
    return [start <= at < start + cells for at in range(length)]


@pytest.mark.parametrize("blocks", [1, 3])
def test_masks_equal_a_loop_over_images_and_blocks(blocks):
    sampler = BlockMask((0.2, 0.5), blocks=blocks, aspect=(0.5, 2.0))
    maps = torch.zeros(20, 5, 7)
    masks = sampler(maps, torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(3)
    shares = 0.2 + 0.3 * torch.rand((1, 20, 1), generator=generator)[0, :, 0].double()
    drawn = torch.rand((5, 20, blocks), generator=generator).double()
    for image in range(20):
        cover = 1 - (1 - float(shares[image])) ** (1 / blocks)
        expected = torch.zeros(5, 7, dtype=torch.bool)
        for block in range(blocks):
            skewed, *rest = drawn[:, image, block].tolist()
            skew = min(max(0.5 * 4**skewed, cover), 1 / cover)
            rows = rectangle_loop(5, (cover * skew) ** 0.5, rest[0], rest[1])
            columns = rectangle_loop(7, (cover / skew) ** 0.5, rest[2], rest[3])
            expected |= torch.tensor(rows)[:, None] & torch.tensor(columns)[None]
        assert torch.equal(masks[image, 0], expected), image


@pytest.mark.parametrize("shape", [(4, 4), (7, 7), (3, 8), (1, 6)])
@pytest.mark.parametrize(
    "sampler",
    [
        BlockMask(),
        BlockMask(blocks=3),
        BlockMask((0.6, 0.9), aspect=(0.1, 10)),
        BlockMask((0.01, 0.01)),
    ],
    ids=["default", "three", "large", "tiny"],
)
def test_every_cell_loses_the_drawn_share(sampler, shape):
    masks = sampler(torch.zeros(40000, *shape), torch.Generator().manual_seed(0))
    share = masks[:, 0].double().mean(0)
    assert (share - sum(sampler.ratio) / 2).abs().max() < 0.011  # four standard errors


def test_object_and_background_lose_the_same_on_average(make_saliency):
    """A square in the middle is where blocks that stay inside would fall most."""
    maps = torch.zeros(1, 7, 7)
    maps[:, 2:5, 2:5] = 1
    objects = foreground(maps, 0.0)[0]
    assert objects.sum() == 9
    masks = BlockMask((0.2, 0.2))(maps.expand(40000, 7, 7), torch.Generator().manual_seed(0))
    lost = masks[:, 0].double().mean(0)
    assert float(lost[objects].mean()) == pytest.approx(0.2, abs=0.008)
    assert float(lost[~objects].mean()) == pytest.approx(0.2, abs=0.008)


def test_one_block_is_a_filled_rectangle(generator):
    masks = BlockMask((0.2, 0.6))(torch.zeros(300, 6, 9), generator)[:, 0]
    for mask in masks:
        rows, columns = mask.any(1), mask.any(0)
        assert torch.equal(mask, rows[:, None] & columns[None])
        for axis in (rows, columns):
            at = axis.nonzero()[:, 0]
            assert len(at) == 0 or at[-1] - at[0] + 1 == len(at)


def test_the_whole_and_nothing(generator):
    maps = torch.zeros(5, 4, 6)
    assert BlockMask((1.0, 1.0))(maps, generator).all()
    assert not BlockMask((0.0, 0.0))(maps, generator).any()


@pytest.mark.parametrize(
    "wrong", [{"ratio": (0.5, 0.2)}, {"blocks": 0}, {"aspect": (2, 1)}, {"aspect": (0, 1)}]
)
def test_values_out_of_range_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}="):
        BlockMask(**wrong)


@pytest.mark.parametrize("drawn", [0.0, 0.5, 1 - 2**-24])
def test_a_share_of_one_is_everything_whatever_is_drawn(drawn, monkeypatch):
    """The last place of a very long block would leave cells before it."""
    monkeypatch.setattr(
        "salmask_plugin.masks.block.uniform", lambda shape, *others: torch.full(shape, drawn)
    )
    assert BlockMask(ratio=(1.0, 1.0))(torch.zeros(3, 5, 7)).all()
