"""Crops chosen by saliency, in lightly's own transforms."""

import numpy as np
import pytest
import torch
from lightly.transforms import MoCoV2Transform, SimCLRTransform
from PIL import Image

from salmask_plugin import CachedLocalizer, GivenLocalizer, GuidedCrops, UniformLocalizer
from salmask_plugin.adapters.lightly import GuidedViews, MapsOfViews, PlacedViews
from salmask_plugin.lab.data import TwoViewDataset, generated, pretrain_loader
from salmask_plugin.lab.data.seeded import seeded_draws
from salmask_plugin.localizers.map_store import CacheManifest

COUNT, SIDE = 12, 40
TRAIN = generated(train_images=COUNT, val_images=8, classes=4, size=SIDE).train
GIVEN = GuidedCrops(GivenLocalizer(), 6)


def cached():
    maps = np.random.default_rng(1).random((COUNT, 5, 5)).astype(np.float16)
    return CachedLocalizer(maps, CacheManifest("x", "y", "z", "mine", COUNT, (5, 5)))


def dataset(crops, **options):
    return TwoViewDataset(TRAIN, MoCoV2Transform(24), seed=3, crops=crops, **options)


def mask_of(index):
    return np.array(TRAIN.with_mask(index)[1]) > 127


def share_by_hand(index, placement):
    left, top, right, bottom = (round(value * SIDE) for value in placement[:4].tolist())
    seen = [mask_of(index)[y, x] for y in range(top, bottom) for x in range(left, right)]
    return sum(map(bool, seen)) / len(seen)


@pytest.mark.parametrize("transform", [MoCoV2Transform, SimCLRTransform])
def test_one_candidate_gives_lightlys_views_bit_for_bit(transform):
    plain = TwoViewDataset(TRAIN, transform(24), seed=3)
    crops = GuidedCrops(cached(), 1)
    guided = TwoViewDataset(TRAIN, transform(24), seed=3, crops=crops)
    for key in [(0, 2), (1, 5)]:
        (views, *rest), (again, *same) = plain[key], guided[key]
        assert torch.equal(torch.stack(views), torch.stack(again))
        assert rest == same


def test_a_picture_needs_no_map_where_none_is_asked():
    crops = GuidedCrops(UniformLocalizer(), 5, "apart")
    picture, transform = TRAIN[0][0], MoCoV2Transform(24)
    made = []
    for saliency in ((), (torch.ones(3, 7),)):
        with seeded_draws(2, 0, 0):
            made.append(GuidedViews(transform, crops)(picture, *saliency))
    (views, placements), (given, same) = made
    assert all(map(torch.equal, [*views, *placements], [*given, *same]))
    with pytest.raises(ValueError, match="need the whole picture's map"):
        GuidedViews(transform, GuidedCrops(cached(), 5))(picture)
    with pytest.raises(ValueError, match="beside the picture; saliency is a ndarray"):
        GuidedViews(transform, GuidedCrops(cached(), 5))(picture, np.ones((4, 4)))


def test_a_sample_is_of_seed_epoch_and_index_alone():
    crops = GuidedCrops(cached(), 5, "apart")

    def made(workers, epoch):
        loader = pretrain_loader(
            TRAIN, MoCoV2Transform(24), batch_size=4, seed=3, workers=workers, crops=crops,
            epoch=epoch,
        )  # fmt: skip
        return {
            int(index): torch.stack([view[row] for view in views])
            for views, _, indices in loader
            for row, index in enumerate(indices)
        }

    first, in_worker, later = made(0, 1), made(1, 1), made(0, 2)
    torch.manual_seed(99)
    again = made(0, 1)
    for index, views in first.items():
        assert torch.equal(views, in_worker[index])
        assert torch.equal(views, again[index])
    assert any(not torch.equal(views, later[index]) for index, views in first.items())


@pytest.mark.parametrize("rule", ["most", "apart"])
def test_boxes_have_the_size_that_was_drawn(rule):
    """The first draws of a sample are both boxes; their sizes stay, their places may change."""
    views = GuidedViews(MoCoV2Transform(24), GuidedCrops(GivenLocalizer(), 6, rule))
    moved = 0
    for index in range(COUNT):
        image, _ = TRAIN[index]
        torch.manual_seed(index)
        drawn = [views.box(number, image) for number in range(2)]
        torch.manual_seed(index)
        _, placements = views(image, torch.from_numpy(mask_of(index)).float())
        for (left, top, width, height), placement in zip(drawn, placements, strict=True):
            x0, y0, x1, y1 = (SIDE * placement[:4]).tolist()
            assert (x1 - x0, y1 - y0) == pytest.approx((width, height), abs=1e-3)
            assert min(x0, y0) >= 0
            assert max(x1, y1) <= SIDE + 1e-3
            moved += (round(x0), round(y0)) != (left, top)
    assert moved > COUNT


def test_views_never_show_less_of_the_object_than_the_first_candidate():
    views, gained = GuidedViews(MoCoV2Transform(24), GIVEN), 0
    for index in range(COUNT):
        image, _ = TRAIN[index]
        torch.manual_seed(index)
        drawn = [views.box(number, image) for number in range(2)]
        torch.manual_seed(index)
        _, placements = views(image, torch.from_numpy(mask_of(index)).float())
        for (left, top, width, height), placement in zip(drawn, placements, strict=True):
            first = torch.tensor([left, top, left + width, top + height]) / SIDE
            gain = share_by_hand(index, placement) - share_by_hand(index, first)
            assert gain >= 0
            gained += gain > 0
    assert gained > COUNT // 2


def test_the_view_is_cut_from_the_chosen_box():
    """Masks and maps of a view follow the placement: the part they show is the box's."""
    for index in range(COUNT):
        _, _, seen, _ = dataset(GIVEN, masks=True)[0, index]
        _, _, placements, _ = dataset(GIVEN, placements=True)[0, index]
        for part, placement in zip(seen, placements, strict=True):
            share = share_by_hand(index, placement)
            assert float((part > 0.5).float().mean()) == pytest.approx(share, abs=0.06)
    views, _, maps, indices = next(
        iter(
            pretrain_loader(
                TRAIN, MoCoV2Transform(24), batch_size=4, seed=3, crops=GIVEN,
                collate=MapsOfViews(cached()),
            )
        )
    )  # fmt: skip
    assert [part.shape for part in maps] == [(4, 7, 7)] * 2
    assert len(views) == 2
    assert len(indices) == 4


def test_the_view_shows_the_chosen_part_of_the_picture():
    """A picture whose red is its column and green its row tells where it was cut."""
    steps = np.arange(SIDE, dtype=np.uint8) * 6
    pixels = np.stack([np.tile(steps, (SIDE, 1)), np.tile(steps[:, None], (1, SIDE))], -1)
    image = Image.fromarray(np.concatenate([pixels, pixels[..., :1] * 0], -1))
    plain = MoCoV2Transform(
        24, cj_prob=0, random_gray_scale=0, gaussian_blur=0, normalize=None, hf_prob=0
    )
    views, placements = GuidedViews(plain, GIVEN)(image, torch.ones(SIDE, SIDE))
    for view, placement in zip(views, placements, strict=True):
        x0, y0, x1, y1 = (SIDE * placement[:4]).tolist()
        middle = view[:2].mean((1, 2)) * 255 / 6 + 0.5
        assert middle.tolist() == pytest.approx([(x0 + x1) / 2, (y0 + y1) / 2], abs=0.7)


def test_a_map_is_needed():
    views = GuidedViews(MoCoV2Transform(24), GIVEN)
    with pytest.raises(ValueError, match="need the whole picture's map"):
        views(TRAIN[0][0])
    assert isinstance(views, PlacedViews)


def test_pictures_without_masks_are_refused():
    class Plain:
        labels = (0,) * 4

        def __len__(self):
            return 4

        def __getitem__(self, index):
            return TRAIN[index]

    with pytest.raises(ValueError, match="needs images with masks"):
        TwoViewDataset(Plain(), MoCoV2Transform(24), seed=0, crops=GIVEN)
