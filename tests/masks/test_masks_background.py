"""The background goes, the object stays."""

import pytest
import torch

from salmask_plugin import BackgroundMask, foreground


def test_all_of_the_background_goes_by_default(make_saliency, generator):
    maps = make_saliency(6)
    mean, spread = maps.mean((1, 2)), maps.flatten(1).std(1, correction=0)
    expected = torch.zeros(6, 7, 7, dtype=torch.bool)
    for image in range(6):
        for row in range(7):
            for column in range(7):
                limit = mean[image] - 0.6 * spread[image]
                expected[image, row, column] = maps[image, row, column] < limit
    mask = BackgroundMask()(maps, generator)
    assert torch.equal(mask[:, 0], expected)
    assert 0 < expected.double().mean() < 1


def test_a_share_of_it_is_right_on_average_and_drawn_evenly(make_saliency, generator):
    maps = make_saliency(1).expand(6000, 7, 7)
    background = ~foreground(maps)[0]
    lost = BackgroundMask((0.3, 0.5))(maps, generator)[:, 0].double().mean(0)
    assert (lost[~background] == 0).all()
    assert (lost[background] - 0.4).abs().max() < 0.03


def test_without_a_background_one_cell_goes(generator):
    mask = BackgroundMask()(torch.zeros(50, 3, 3), generator)
    assert (mask.sum((1, 2, 3)) == 1).all()
    assert mask.any(0).sum() > 4  # not always the same one


@pytest.mark.parametrize("wrong", [{"ratio": (0.5, 0.2)}, {"tolerance": float("nan")}])
def test_values_out_of_range_are_named(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"{name}="):
        BackgroundMask(**wrong)
