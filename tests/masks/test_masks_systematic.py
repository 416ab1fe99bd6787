import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from salmask_plugin import SystematicMask


def masked_by_rank(saliency, mask):
    """The mask along the saliency ranking, most salient first: (B, N) bool."""
    return mask.flatten(1).gather(1, saliency.flatten(1).argsort(dim=1, descending=True))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 16), st.floats(0, 1, width=32), st.integers(0, 2**31))
def test_count_is_exact_and_every_stretch_of_ranks_loses_its_share(rows, columns, ratio, seed):
    generator = torch.Generator().manual_seed(seed)
    cells = rows * columns
    order = torch.rand((3, cells), generator=generator).argsort(1)
    saliency = order.float().view(3, rows, columns)
    mask = SystematicMask((ratio, ratio))(saliency, generator)
    masked = mask.sum((1, 2, 3))
    assert (masked - cells * ratio).abs().max() < 1
    taken = torch.nn.functional.pad(masked_by_rank(saliency, mask).cumsum(1), (1, 0))
    for stretch in range(1, cells + 1):
        inside = taken[:, stretch:] - taken[:, :-stretch]
        # Two stretches of one length differ by one at most.
        assert (inside.amax(1) - inside.amin(1)).max() <= 1
        share = masked[:, None] * stretch / cells
        assert ((inside - share).abs() < 1).all()


def test_every_cell_is_equally_likely(make_saliency, generator):
    saliency = make_saliency(1, 4, 5).expand(8000, 4, 5)
    share = SystematicMask((0.35, 0.35))(saliency, generator).float().mean((0, 1))
    assert (share - 0.35).abs().max() < 0.03


def test_ties_are_broken_at_random(generator):
    masks = SystematicMask((0.3, 0.3))(torch.ones(30, 7, 7), generator).flatten(1)
    assert len(masks.unique(dim=0)) == 30
    assert masks.sum(1).unique().tolist() == [14, 15]  # of 14.7


def test_small_grids_keep_the_ratio(generator):
    share = SystematicMask((0.15, 0.15))(torch.ones(4000, 3, 3), generator).float().mean()
    assert share.item() == pytest.approx(0.15, abs=0.004)


def test_ratio_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="ratio="):
        SystematicMask((0.5, 1.5))
