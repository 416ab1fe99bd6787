"""Hue of a batch against Python's own, pixel by pixel; the rest is in test_view_ops.py."""

import colorsys
import math

import torch

from salmask_plugin.lab.data import ViewDraws
from salmask_plugin.lab.data.device.colours import jitter


def only(hue, order=(3, 0, 1, 2)):
    """Draws that turn the hue by so many turns and do nothing else."""
    one, many = torch.ones(len(hue)), len(hue)
    return ViewDraws(
        box=torch.zeros(many, 4),
        flipped=one.bool(),
        order=torch.tensor([order]).repeat(many, 1),
        brightness=one,
        contrast=one,
        saturation=one,
        hue=hue,
        grey=one.bool(),
        sigma=one,
    )


def test_half_a_turn_of_hue_is_the_complement():
    red = torch.tensor([1.0, 0.0, 0.0])[:, None, None].expand(1, 3, 2, 2)
    draws = only(torch.tensor([0.5]), order=(2, 3, 1, 0))
    cyan = torch.tensor([0.0, 1.0, 1.0])[:, None, None].expand(1, 3, 2, 2)
    assert torch.allclose(jitter(red, draws), cyan, atol=1e-6)
    assert math.isclose(jitter(red, draws).sum().item(), 8, abs_tol=1e-5)


def test_hue_is_that_of_the_standard_library():
    """Also greys, ties between channels, black and white, and turns at the ends of their range."""
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.3, 1.0])] * 3)
    pixels = torch.cat([corners, torch.rand(60, 3, generator=torch.Generator().manual_seed(0))])
    turns = torch.tensor([-0.5, -0.31, -1e-4, 0.0, 0.1, 1 / 6, 0.5])
    ours = jitter(pixels.T[None, :, None].repeat(len(turns), 1, 1, 1), only(turns))
    for turn, view in zip(turns.tolist(), ours[:, :, 0].mT, strict=True):
        for pixel, mine in zip(pixels.tolist(), view, strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(*pixel)
            theirs = colorsys.hsv_to_rgb((hue + turn) % 1, saturation, value)
            torch.testing.assert_close(mine, torch.tensor(theirs), rtol=0, atol=1e-6)
