"""Localizers that rearrange another's maps, around every kind that a step may have."""

from functools import partial

import lightly_toy as toy
import numpy as np
import pytest
import torch
from torch import nn

from salmask_plugin import (
    BandsLocalizer,
    CachedLocalizer,
    GivenLocalizer,
    MomentumLocalizer,
    PermutedLocalizer,
    SaliencyMasking,
)
from salmask_plugin.adapters.lightly import MaskedMoCoV2, SaliencyMaskingCallback
from salmask_plugin.adapters.lightly.views import StepMasking
from salmask_plugin.localizers.map_store import CacheManifest
from salmask_plugin.released import RowSortedLocalizer

KINDS = {
    PermutedLocalizer: lambda maps: torch.cat((maps[-1:], maps[:-1])),
    RowSortedLocalizer: lambda maps: torch.stack([torch.stack([*map(_sorted, m)]) for m in maps]),
}
"""Kind -> what it makes of maps, by hand."""
WAITING = partial(MomentumLocalizer, layer="2")


def _sorted(row):
    return torch.tensor(sorted(row.tolist()))


def cached():
    maps = np.random.default_rng(0).random((9, 6, 5)).astype(np.float32)
    manifest = CacheManifest("by hand", "none", "none", "toys", 9, (6, 5), dtype="float32")
    return CachedLocalizer(maps, manifest, (3, 4))


def views():
    return [torch.randn(4, 3, 16, 12, generator=torch.Generator().manual_seed(n)) for n in (0, 1)]


def saliency(localizer, *more):
    step = StepMasking(toy.masking(localizer=localizer), query_index=1, seed=0)
    return step([views(), torch.zeros(4), *more], rank=0).saliency


@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_a_cache_and_of_given_masks(kind):
    places = torch.tensor([[0.1, 0.2, 0.9, 0.8, 0.0], [0.0, 0.0, 0.5, 1.0, 1.0]]).repeat(2, 1)
    masks = [torch.rand(4, 1, 16, 12, generator=torch.Generator().manual_seed(n)) for n in (2, 3)]
    for inner, more in (
        (cached(), ([places, places.flip(0)], torch.tensor([3, 8, 0, 5]))),
        (GivenLocalizer((3, 4)), (masks,)),
    ):
        plain = saliency(inner, *more)
        for found, own in zip(saliency(kind(inner), *more), plain, strict=True):
            assert torch.equal(found, KINDS[kind](own))
            assert not torch.equal(found, own)


@pytest.mark.parametrize("view_filter", [None, toy.high_pass()])
@pytest.mark.parametrize("kind", KINDS)
def test_the_runs_own_encoder_is_bound_inside(kind, view_filter):
    recipe = toy.masking(localizer=kind(WAITING), view_filter=view_filter)
    options = {"queue_size": 8, "split_batch_size": None}
    module = MaskedMoCoV2(toy.network(), feature_dim=10, masking=recipe, **options)
    bound = module.step_masking.masking.localizer
    assert type(bound) is kind
    assert bound.localizer.encoder is module.key_backbone
    found = torch.cat(module.step_masking((views(), torch.zeros(4)), rank=0).saliency)
    seen = torch.cat(views())
    with torch.no_grad():
        maps = module.key_backbone[:3].eval()(seen if view_filter is None else view_filter(seen))
    torch.testing.assert_close(found, KINDS[kind](maps.sum(1)))


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_on_filtered_views_needs_the_filter_inside_too(kind):
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.ReLU())
    with pytest.raises(ValueError, match="has no view_filter"):
        SaliencyMasking(kind(MomentumLocalizer(encoder, "1")), view_filter=toy.high_pass())
    sees = MomentumLocalizer(encoder, "1", toy.high_pass())
    SaliencyMasking(kind(sees), view_filter=toy.high_pass())


def test_who_has_no_encoder_to_give_says_so_at_once():
    for kind in KINDS:
        with pytest.raises(ValueError, match="waits for an encoder"):
            SaliencyMaskingCallback(toy.masking(localizer=kind(WAITING), negative=None), 0)


@pytest.mark.parametrize("inner", [GivenLocalizer(), cached(), WAITING, PermutedLocalizer(WAITING)])
def test_only_what_sees_views_can_be_shown_some_channels(inner):
    with pytest.raises(ValueError, match="not some of the views' channels"):
        BandsLocalizer(inner, (0, 1, 2))
