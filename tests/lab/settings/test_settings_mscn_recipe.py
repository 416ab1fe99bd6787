"""The MSCN recipe as it is configured: its mask kinds, on both branches, and what it leaves out."""

import pytest
import torch

from salmask_plugin.lab.runs.build import build_masking
from salmask_plugin.lab.settings.compose import compose_settings

SHARES = [0.20, 0.24, 0.56]


def kinds(mask):
    """Of pixel masks (B, 3, 112, 112): focal 0, grid 1, per-channel 2, one per image."""
    cells = mask.unflatten(3, (7, 16)).unflatten(2, (7, 16))
    whole_cells = (cells.amax((3, 5)) == cells.amin((3, 5))).flatten(1).all(1)
    same_channels = (mask == mask[:, :1]).flatten(1).all(1)
    return torch.where(whole_cells, torch.where(same_channels, 1, 2), 0)


def shares(found):
    return (torch.bincount(found, minlength=3) / len(found)).tolist()


@pytest.fixture(scope="module")
def recipe():
    return build_masking(compose_settings(["masking=mscn", "view_size=112"]))


def test_kinds_have_their_frequencies(recipe, generator):
    mask = recipe.query.sampler(torch.ones(4000, 7, 7), generator)
    # Three standard errors of 0.56 are 0.024.
    assert shares(kinds(mask)) == pytest.approx(SHARES, abs=0.024)


def test_both_branches_are_masked_by_draws_of_their_own(recipe, generator):
    query, key = torch.randn((2, 300, 3, 112, 112), generator=generator)
    views = recipe(query, key, generator)
    found = [kinds(mask) for mask in (views.query_mask, views.key_mask)]
    for branch in found:
        assert shares(branch) == pytest.approx(SHARES, abs=0.09)
    # Independent kinds agree as often as the squares of their shares say.
    agreement = (found[0] == found[1]).float().mean().item()
    assert agreement == pytest.approx(sum(share**2 for share in SHARES), abs=0.09)


def test_views_are_filtered_and_there_are_no_hard_negatives(recipe, generator):
    query, key = torch.randn((2, 4, 3, 112, 112), generator=generator)
    views = recipe(query, key, generator)
    assert views.negatives is None
    for view, mask, clean in (
        (views.query, views.query_mask, query),
        (views.key, views.key_mask, key),
    ):
        shown = ~mask.expand_as(view)
        assert torch.equal(view[shown], recipe.view_filter(clean)[shown])
        assert (view[~shown].std() - recipe.query.fill.std).abs() < 0.02
