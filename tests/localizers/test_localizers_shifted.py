"""ShiftedLocalizer: each finer cell is the network's own cell, moved to that place."""

import pytest
import torch
import torch.nn.functional as F

from salmask_plugin import SCDALocalizer
from salmask_plugin.localizers.shifted import ShiftedLocalizer


def blocks(images):
    """A network of stride 8: the mean of each block of 8 x 8 pixels, in two channels."""
    return F.avg_pool2d(images, 8).abs()[:, :2]


@pytest.mark.parametrize("shifts", [1, 2, 3, 4])
def test_cells_are_blocks_around_their_middles(make_images, shifts):
    images = make_images(batch=2, height=24, width=24) + 4
    maps = ShiftedLocalizer(blocks, size=24, shifts=shifts)(images)
    assert maps.shape == (2, 3 * shifts, 3 * shifts)
    mirrored = F.pad(images, (4, 4, 4, 4), mode="reflect")
    for row in range(3 * shifts):
        for column in range(3 * shifts):
            top, left = (round((place + 0.5) * 8 / shifts - 4) for place in (row, column))
            block = mirrored[:, :2, top + 4 : top + 12, left + 4 : left + 12]
            expected = block.mean((2, 3)).sum(1)
            torch.testing.assert_close(maps[:, row, column], expected, atol=1e-4, rtol=0)


def test_images_are_resized_to_the_square(make_images):
    images = make_images(batch=3, height=20, width=35) + 4
    maps = ShiftedLocalizer(blocks, size=32, shifts=1)(images)
    assert torch.equal(maps, SCDALocalizer(blocks, input_size=(32, 32))(images))


@pytest.mark.parametrize("wrong", [{"size": 0}, {"shifts": 0}])
def test_wrong_arguments(wrong):
    with pytest.raises(ValueError, match="must be at least 1"):
        ShiftedLocalizer(blocks, **wrong)
