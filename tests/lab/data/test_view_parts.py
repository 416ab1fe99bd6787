"""A view does not depend on what is made beside it, nor on whether the host looks at the draws."""

import pytest
import torch
from oracles.waiting import NoWaiting

from salmask_plugin.lab.data import ViewRecipe, apply_views, draw_views, uniforms_of_epoch
from salmask_plugin.lab.data.device import apply as view_ops
from salmask_plugin.lab.data.device.geometry import crop_and_resize

SIMCLR = {
    "scale": (0.08, 1.0),
    "brightness": (0.2, 1.8),
    "contrast": (0.2, 1.8),
    "saturation": (0.2, 1.8),
    "hue": (-0.2, 0.2),
}
N, H, W, SIZE = 48, 42, 55, 24


@pytest.fixture
def pictures():
    """Noise, uint8 (N, 3, H, W)."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (N, 3, H, W), generator=generator, dtype=torch.uint8)


@pytest.fixture
def sizes():
    return torch.tensor([[W, H]]).float().repeat(N, 1)


@pytest.mark.parametrize("recipe", [ViewRecipe(SIZE), ViewRecipe(SIZE, **SIMCLR)])
def test_a_view_is_the_same_bit_for_bit_whatever_is_made_beside_it(
    pictures, sizes, recipe, monkeypatch
):
    draws = draw_views(uniforms_of_epoch(2, 5, N)[:, 1], sizes, recipe)
    together = apply_views(pictures, draws, sizes, recipe)
    for at_once in (1, 5 * 3 * H * W, 2**40):
        monkeypatch.setattr(view_ops, "AT_ONCE", at_once)
        assert torch.equal(apply_views(pictures, draws, sizes, recipe), together)
    some = torch.tensor([7, 3, 7, 40])
    chosen = apply_views(pictures, draws.of(some), sizes[some], recipe, some)
    assert torch.equal(chosen, together[some])
    assert len({view.sum().item() for view in together}) == N


@pytest.mark.parametrize("recipe", [ViewRecipe(SIZE), ViewRecipe(SIZE, **SIMCLR)])
def test_without_a_look_at_the_draws_views_are_the_same(pictures, sizes, recipe, monkeypatch):
    """As on a GPU: all at once, everything done to each view."""
    draws = draw_views(uniforms_of_epoch(2, 5, N)[:, 1], sizes, recipe)
    looked = apply_views(pictures, draws, sizes, recipe)
    monkeypatch.setattr(view_ops, "_host_reads", lambda device: False)
    with NoWaiting():
        blind = apply_views(pictures, draws, sizes, recipe)
    torch.testing.assert_close(blind, looked, rtol=0, atol=1e-5)


def test_views_with_nothing_to_do_are_the_crops(pictures, sizes):
    still = ViewRecipe(
        SIZE,
        jitter_probability=0,
        blur_probability=0,
        grey_probability=0,
        mean=(0,) * 3,
        std=(1,) * 3,
    )
    draws = draw_views(uniforms_of_epoch(2, 5, N)[:, 1], sizes, still)
    crops = crop_and_resize(pictures.float() / 255, draws.box, draws.flipped, sizes, SIZE)
    views = apply_views(pictures, draws, sizes, still)
    torch.testing.assert_close(views, crops, rtol=0, atol=1e-6)
    assert views.is_contiguous()
