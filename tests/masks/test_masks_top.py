import pytest
import torch

from salmask_plugin import TopMask


@pytest.mark.parametrize("shape", [(7, 7), (3, 5), (1, 1), (16, 9)])
def test_masks_the_most_salient_cells(make_saliency, generator, shape):
    saliency = make_saliency(6, *shape)
    mask = TopMask((0.1, 0.8))(saliency, generator)[:, 0]
    for one, own in zip(saliency, mask, strict=True):
        assert own.any()
        if not own.all():
            assert one[own].min() > one[~own].max()


def test_counts_follow_the_ratio_and_are_at_least_one(make_saliency, generator):
    saliency = make_saliency(5, 5, 9)
    for ratio, expected in ((0.0, 1), (0.01, 1), (0.4, 18), (0.8, 36), (1.0, 45)):
        masked = TopMask((ratio, ratio))(saliency, generator).sum((1, 2, 3))
        assert (masked == expected).all()


def test_a_share_between_two_counts_is_kept_on_average(make_saliency, generator):
    masked = TopMask((0.3, 0.3))(make_saliency(3000, 3, 3), generator).sum((1, 2, 3))
    assert masked.unique().tolist() == [2, 3]
    assert masked.float().mean().item() == pytest.approx(2.7, abs=0.04)


def test_ties_are_broken_at_random(generator):
    share = TopMask((0.5, 0.5))(torch.ones(5000, 2, 4), generator).float().mean((0, 1))
    assert (share - 0.5).abs().max() < 0.04


def test_moves_with_the_object(make_saliency):
    saliency = make_saliency(6)
    masks = [
        TopMask((0.5, 0.5))(one, torch.Generator().manual_seed(3))
        for one in (saliency, saliency.flip(-1))
    ]
    assert torch.equal(masks[0].flip(-1), masks[1])


def test_ratio_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="ratio="):
        TopMask((-0.5, 0.5))
