"""Crops chosen by saliency, in views made on the device."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles.waiting import NoWaiting
from scipy.stats import ks_2samp

from salmask_plugin import CachedLocalizer, GivenLocalizer, GuidedCrops
from salmask_plugin.crops import foreground_shares
from salmask_plugin.lab.data import ViewRecipe, device_view_data, generated
from salmask_plugin.lab.data.device.draws import draw_views, uniforms_of_epoch
from salmask_plugin.lab.data.device.guided import GuidedBoxes
from salmask_plugin.localizers.map_store import CacheManifest

COUNT = 24
SPLITS = generated(train_images=COUNT, val_images=8, classes=8, size=40)
RECIPE = ViewRecipe(24)
SIZES = torch.tensor([[40.0, 40.0]])


def cache(count=COUNT):
    maps = np.random.default_rng(0).random((count, 5, 5)).astype(np.float16)
    return CachedLocalizer(maps, CacheManifest("x", "y", "z", "mine", count, (5, 5)))


def masks_of(count=COUNT):
    pixels = [np.array(SPLITS.train.with_mask(index)[1]) for index in range(count)]
    return torch.from_numpy(np.stack(pixels))


def views_of(crops=None, epoch=0, **options):
    """index -> two views, and what else the batch brings."""
    made = {}
    given = {"batch_size": 8, "seed": 2, "crops": crops, **options}
    data = device_view_data(SPLITS.train, RECIPE, **given)
    for batch in data.train_loader(epoch=epoch):
        views, _, *more, indices = data.views(batch)
        for row, index in enumerate(indices.tolist()):
            parts = [part[row] for group in more for part in group]
            made[index] = torch.stack([view[row] for view in views]), parts
    return made


def same(one, other):
    return all(torch.equal(one[index][0], other[index][0]) for index in other)


def test_one_candidate_gives_todays_views_bit_for_bit():
    plain = views_of()
    assert same(plain, views_of(GuidedCrops(cache(), 1)))
    assert same(plain, views_of(GuidedCrops(GivenLocalizer(), 1, "apart")))
    assert not same(plain, views_of(GuidedCrops(cache(), 4)))


@pytest.mark.parametrize("rule", ["most", "apart"])
def test_draws_are_of_seed_epoch_and_index_alone(rule):
    """Whatever the batch, where the epoch begins, and whether pictures are kept."""
    crops = GuidedCrops(cache(), 4, rule)
    first, second = views_of(crops), views_of(crops, epoch=1)
    assert not same(first, second)
    assert same(first, views_of(crops, batch_size=12))
    assert same(second, views_of(crops, epoch=1, batch_size=4))
    assert not same(first, views_of(crops, seed=3))
    decoded = views_of(crops, decode_size=40, keep=False)
    for index, (views, _) in decoded.items():
        torch.testing.assert_close(views, first[index][0], rtol=0, atol=1e-5)


def boxes_of(crops, masks=None, count=COUNT, epoch=0, recipe=RECIPE):
    """(drawn, chosen) boxes (count, 2, 4) of all images of 40 x 40 px."""
    uniforms = uniforms_of_epoch(2, epoch, count).transpose(0, 1).flatten(0, 1)
    sizes = SIZES.expand(count, 2)
    box = draw_views(uniforms, sizes.repeat(2, 1), recipe).box
    guided = GuidedBoxes(crops, seed=2, count=count, masks=masks)
    found = guided(box, sizes, torch.arange(count), epoch)
    return [part.view(2, count, 4).transpose(0, 1) for part in (box, found)]


@pytest.mark.parametrize("rule", ["most", "apart"])
def test_boxes_keep_their_size_and_stay_inside(rule):
    """So the distribution of scale and ratio is the host's, exactly."""
    drawn, chosen = boxes_of(GuidedCrops(GivenLocalizer(), 6, rule), masks_of())
    assert torch.equal(chosen[..., 2:], drawn[..., 2:])
    assert (chosen[..., :2] >= 0).all()
    assert ((chosen[..., :2] + chosen[..., 2:]) <= 40).all()
    assert torch.equal(chosen, chosen.round())
    assert not torch.equal(chosen, drawn)


def test_places_are_drawn_anew_in_every_epoch_and_again_in_the_same():
    crops, sizes, rows = GuidedCrops(cache(), 6), SIZES.expand(COUNT, 2), torch.arange(COUNT)
    uniforms = uniforms_of_epoch(2, 0, COUNT).transpose(0, 1).flatten(0, 1)
    box = draw_views(uniforms, sizes.repeat(2, 1), RECIPE).box
    guided = GuidedBoxes(crops, seed=2, count=COUNT)
    first, second, again = (guided(box, sizes, rows, epoch) for epoch in (0, 1, 0))
    assert torch.equal(first, again)
    assert (first != second).any(1).float().mean() > 0.3
    other = GuidedBoxes(crops, seed=3, count=COUNT)(box, sizes, rows, 0)
    assert (first != other).any(1).float().mean() > 0.3


def share_by_hand(mask, box):
    left, top, width, height = (int(value) for value in box)
    seen = [mask[y, x] > 127 for y in range(top, top + height) for x in range(left, left + width)]
    return sum(map(bool, seen)) / len(seen)


def test_views_never_show_less_of_the_object_than_the_first_candidate():
    masks = masks_of()
    drawn, chosen = boxes_of(GuidedCrops(GivenLocalizer(), 6), masks)
    gains = [
        share_by_hand(masks[index], chosen[index, view]) - share_by_hand(masks[index], box)
        for index in range(COUNT)
        for view, box in enumerate(drawn[index])
    ]
    assert min(gains) >= 0
    assert sum(gain > 0 for gain in gains) > COUNT


def test_places_of_candidates_are_drawn_as_the_hosts_are():
    """With a map that prefers nothing the first is kept; the others fall where it may fall."""
    count = 1500
    recipe = replace(RECIPE, scale=(0.3, 0.3), ratio=(1.0, 1.0))
    drawn, _ = boxes_of(GuidedCrops(cache(count), 1), count=count, recipe=recipe)

    class Second:
        """Takes the second candidate of either view."""

        candidates, takes_object_masks = 2, False

        def maps_of(self, indices):
            return torch.ones(len(indices), 1, 1)

        def places(self, maps, boxes):
            return torch.ones(boxes.shape[:2], dtype=torch.int64)

    _, others = boxes_of(Second(), count=count, recipe=recipe)
    for axis in range(2):
        one, other = drawn[..., axis].flatten(), others[..., axis].flatten()
        assert ks_2samp(one.numpy(), other.numpy()).pvalue > 1e-3
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.06
    left = others[..., 0]
    assert abs(np.corrcoef(left[:, 0], left[:, 1])[0, 1]) < 0.08


def test_cached_maps_and_masks_follow_the_chosen_box():
    """Placements name it, and a mask of the view has the box's share of the object."""
    crops, masks = GuidedCrops(GivenLocalizer(), 6), masks_of()
    _, chosen = boxes_of(crops, masks)
    for index, (_, placements) in views_of(crops, placements=True).items():
        for view, placement in enumerate(placements):
            left, top, width, height = (chosen[index, view] / 40).tolist()
            expected = [left, top, left + width, top + height]
            assert placement[:4].tolist() == pytest.approx(expected, abs=1e-6)
    for index, (_, seen) in views_of(crops, masks=True).items():
        for view, part in enumerate(seen):
            expected = share_by_hand(masks[index], chosen[index, view])
            assert float((part > 0.5).float().mean()) == pytest.approx(expected, abs=0.06)


def test_the_host_does_not_wait_for_the_device():
    crops = GuidedCrops(GivenLocalizer(), 4, "apart")
    masks, uniforms = masks_of(), uniforms_of_epoch(2, 0, COUNT)[:, 0]
    guided = GuidedBoxes(crops, seed=2, count=COUNT, masks=masks)
    sizes = SIZES.expand(COUNT, 2)
    box = draw_views(uniforms.repeat(2, 1), sizes.repeat(2, 1), RECIPE).box
    first = guided(box, sizes, torch.arange(COUNT), 0)  # draws the epoch's numbers
    with NoWaiting():
        again = guided(box, sizes, torch.arange(COUNT), 0)
    assert torch.equal(first, again)


def test_masks_are_needed_where_they_are_asked():
    with pytest.raises(ValueError, match="crops by object masks need masks"):
        GuidedBoxes(GuidedCrops(GivenLocalizer()), seed=0, count=3)


def test_shares_of_cached_maps_are_not_lower_either():
    crops = GuidedCrops(cache(), 6)
    drawn, chosen = boxes_of(crops)
    maps = crops.localizer.whole(torch.arange(COUNT))
    seen = maps >= maps.mean((1, 2), keepdim=True)

    def shares(boxes):
        corner = boxes[..., :2]
        return foreground_shares(seen, torch.cat([corner, corner + boxes[..., 2:]], -1) / 40)

    assert (shares(chosen) >= shares(drawn)).all()
