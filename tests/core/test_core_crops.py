"""Boxes chosen by foreground: against sums over pixels in loops, and what may never happen."""

import itertools
import pickle

import numpy as np
import pytest
import torch

from salmask_plugin import (
    CachedLocalizer,
    CenterLocalizer,
    GivenLocalizer,
    GuidedCrops,
    UniformLocalizer,
)
from salmask_plugin.crops import foreground_shares, overlaps
from salmask_plugin.localizers import PermutedLocalizer
from salmask_plugin.localizers.map_store import CacheManifest

GIVEN = GivenLocalizer()
B, K, SIDE = 6, 5, (24, 36)


def cached(maps):
    whole = maps.numpy().astype(np.float32)
    manifest = CacheManifest("x", "y", "z", "mine", len(whole), whole.shape[1:], dtype="float32")
    return CachedLocalizer(whole, manifest)


@pytest.fixture
def masks(generator):
    """Object masks of 24 x 36 pixels: a blob each; the last picture has none."""
    coarse = torch.rand(B, 1, 4, 6, generator=generator)
    fine = torch.nn.functional.interpolate(coarse, SIDE, mode="bilinear")[:, 0] > 0.55
    fine[-1] = False
    return fine.float()


@pytest.fixture
def pixels(generator):
    """(B, 2, K, 4) left, top, right, bottom in whole pixels."""
    size = torch.tensor([SIDE[1], SIDE[0]])
    extent = 3 + (torch.rand(B, 2, K, 2, generator=generator) * (size - 4)).long()
    corner = (torch.rand(B, 2, K, 2, generator=generator) * (size - extent + 1)).long()
    return torch.cat([corner, corner + extent], -1)


def shares_of(pixels):
    return pixels / torch.tensor([SIDE[1], SIDE[0]] * 2)


def share_by_hand(mask, box):
    left, top, right, bottom = box
    seen = [float(mask[y, x]) for y in range(top, bottom) for x in range(left, right)]
    return sum(seen) / len(seen)


def overlap_by_hand(one, other):
    cells = [
        {(y, x) for y in range(top, bottom) for x in range(left, right)}
        for left, top, right, bottom in (one, other)
    ]
    return len(cells[0] & cells[1]) / len(cells[0] | cells[1])


def test_shares_and_overlaps_in_loops(masks, pixels):
    shares = foreground_shares(masks > 0.5, shares_of(pixels))
    found = overlaps(shares_of(pixels)[:, 0], shares_of(pixels)[:, 1])
    for b in range(B):
        for view, k in itertools.product(range(2), range(K)):
            expected = share_by_hand(masks[b], pixels[b, view, k].tolist())
            assert float(shares[b, view, k]) == pytest.approx(expected, abs=1e-6)
        for k, other in itertools.product(range(K), range(K)):
            expected = overlap_by_hand(pixels[b, 0, k].tolist(), pixels[b, 1, other].tolist())
            assert float(found[b, k, other]) == pytest.approx(expected, abs=1e-6)


def test_a_box_that_cuts_cells_counts_their_part():
    seen = torch.tensor([[[True, False], [False, False]]])
    box = torch.tensor([[[0.25, 0.25, 0.75, 0.75], [0.0, 0.0, 0.6, 0.5]]])
    found = foreground_shares(seen, box)[0].tolist()
    assert found == pytest.approx([0.25, 0.25 / 0.3], abs=1e-6)


def test_most_is_the_first_of_the_best_in_loops(masks, pixels):
    found = GuidedCrops(GIVEN, K).places(masks, shares_of(pixels))
    for b, view in itertools.product(range(B), range(2)):
        shares = [share_by_hand(masks[b], box) for box in pixels[b, view].tolist()]
        assert int(found[b, view]) == shares.index(max(shares))
        assert shares[int(found[b, view])] >= shares[0]
    assert found[-1].tolist() == [0, 0]  # nothing to prefer: the host's boxes


@pytest.mark.parametrize("rule", ["most", "apart"])
def test_boxes_that_differ_by_rounding_are_equals(rule, generator):
    """Where all is foreground no box has more of it; of the same two boxes, each pair is as far."""
    corners = torch.rand((200, 2, 1, 4), generator=generator)
    low, high = 0.5 * corners[..., :2], 0.5 + 0.5 * corners[..., 2:]
    boxes = torch.cat((low, high), -1).double()
    shrinks = torch.linspace(1, 0.6, K, dtype=torch.float64)[:, None]
    inner = 0.5 + (boxes - 0.5) * shrinks
    boxes = inner if rule == "most" else boxes.expand(-1, -1, K, -1)
    places = GuidedCrops(GIVEN, K, rule).places(torch.ones(200, 23, 17), boxes)
    assert (places == 0).all()


def test_apart_without_saliency_in_loops(pixels):
    """The first pair of all that overlaps least; there is no map to ask for."""
    crops = GuidedCrops(UniformLocalizer(), K, "apart")
    assert crops.is_anywhere
    found = crops.places(crops.maps_of(torch.arange(B)), shares_of(pixels))
    for b in range(B):
        first, second = pixels[b].tolist()
        pairs = list(itertools.product(range(K), range(K)))
        apart = [overlap_by_hand(first[i], second[j]) for i, j in pairs]
        expected = pairs[next(n for n, value in enumerate(apart) if value <= min(apart) + 1e-12)]
        assert tuple(found[b].tolist()) == expected


def test_most_without_saliency_is_refused():
    with pytest.raises(ValueError, match="by UniformLocalizer everything is: take rule='apart'"):
        GuidedCrops(UniformLocalizer(), K, "most")


@pytest.mark.parametrize("enough", [0.3, 1.0])
def test_apart_in_loops(masks, pixels, enough):
    found = GuidedCrops(GIVEN, K, "apart", enough).places(masks, shares_of(pixels))
    without = 0
    for b in range(B):
        boxes = pixels[b].tolist()
        shares = [[share_by_hand(masks[b], box) for box in view] for view in boxes]
        wanted = enough * float(masks[b].mean())
        pairs = list(itertools.product(range(K), range(K)))
        poorer = {pair: min(shares[0][pair[0]], shares[1][pair[1]]) for pair in pairs}
        good = [pair for pair in pairs if poorer[pair] >= wanted - 1e-9 and poorer[pair] > 0]
        if good:
            apart = {p: overlap_by_hand(boxes[0][p[0]], boxes[1][p[1]]) for p in good}
            best = min(apart.values())
            expected = next(pair for pair in good if apart[pair] <= best + 1e-12)
        else:
            without += 1
            expected = max(pairs, key=lambda pair: poorer[pair])
        assert tuple(found[b].tolist()) == expected
        # Never less than the host's pair, as far as enough is enough.
        assert min(poorer[expected], wanted) >= min(poorer[0, 0], wanted) - 1e-9
    assert without >= 1


def test_cached_maps_are_judged_by_their_mean(generator):
    maps = torch.rand(B, 5, 7, generator=generator)
    boxes = torch.rand(B, 2, K, 2, generator=generator) * 0.5
    boxes = torch.cat([boxes, boxes + 0.4], -1)
    by_maps = GuidedCrops(cached(maps), K).places(maps, boxes)
    above = (maps >= maps.mean((1, 2), keepdim=True)).float()
    assert torch.equal(by_maps, GuidedCrops(GIVEN, K).places(above, boxes))
    strict = GuidedCrops(cached(maps), K, tolerance=-1.0).places(maps, boxes)
    assert not torch.equal(strict, by_maps)


def test_one_candidate_is_the_hosts_box(masks, pixels):
    for rule in ("most", "apart"):
        boxes = shares_of(pixels)[:, :, :1]
        assert torch.equal(GuidedCrops(GIVEN, 1, rule).choose(masks, boxes), boxes[:, :, 0])


def test_chosen_boxes_are_candidates_and_nothing_is_drawn_or_changed(masks, pixels):
    boxes, state = shares_of(pixels), torch.get_rng_state()
    before = boxes.clone()
    crops = GuidedCrops(GIVEN, K, "apart")
    chosen = crops.choose(masks, boxes)
    for b, view in itertools.product(range(B), range(2)):
        assert any(torch.equal(chosen[b, view], box) for box in boxes[b, view])
    assert torch.equal(boxes, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(pickle.loads(pickle.dumps(crops)).choose(masks, boxes), chosen)


def test_pictures_do_not_see_each_other(masks, pixels):
    crops, boxes = GuidedCrops(GIVEN, K, "apart"), shares_of(pixels)
    whole = crops.choose(masks, boxes)
    for b in range(B):
        assert torch.equal(crops.choose(masks[b : b + 1], boxes[b : b + 1])[0], whole[b])


@pytest.mark.parametrize(
    "localizer", [CenterLocalizer(), PermutedLocalizer(GIVEN), lambda images: images.mean(1)]
)
def test_a_localizer_of_views_is_refused(localizer):
    with pytest.raises(ValueError, match=r"CachedLocalizer .* and GivenLocalizer"):
        GuidedCrops(localizer)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"candidates": 0}, "candidates=0 must be at least 1"),
        ({"candidates": 2.0}, r"candidates=2\.0 must be"),
        ({"rule": "least"}, r"rule='least' must be one of \('most', 'apart'\)"),
        ({"enough": 0.0}, r"enough=0\.0 must be above 0"),
        ({"enough": 1.5}, r"enough=1\.5 must be above 0 and at most 1"),
        ({"tolerance": float("nan")}, "tolerance=nan must be finite"),
    ],
)
def test_values_out_of_range(changes, message):
    with pytest.raises(ValueError, match=message):
        GuidedCrops(GIVEN, **changes)
