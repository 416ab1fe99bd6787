"""Masks follow the crops and flips of lightly's own transforms, whatever their settings."""

import numpy as np
import pytest
import torch
from lightly.transforms import MoCoV2Transform, SimCLRTransform
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms import v2

from salmask_plugin.adapters.lightly.placements import PlacedViews
from salmask_plugin.lab.data.seeded import seeded_draws
from salmask_plugin.lab.data.two_view import TwoViewDataset
from salmask_plugin.lab.runs.build import build_data, build_masking, build_splits
from salmask_plugin.lab.settings.compose import compose_settings

PLAIN = {"cj_prob": 0, "random_gray_scale": 0, "gaussian_blur": 0, "normalize": None}


def picture_of(mask):
    return Image.fromarray(np.repeat(mask[..., None], 3, 2))


class OnePicture:
    """A picture and its mask, under every index."""

    labels = (0,) * 20

    def __init__(self, mask):
        self.mask = mask

    def __len__(self):
        return 20

    def __getitem__(self, index):
        return picture_of(self.mask), 0

    def with_mask(self, index):
        return picture_of(self.mask), Image.fromarray(self.mask), 0


def jointly(compose, view, seen):
    """Carry the mask through what moves pixels, by torchvision's own dispatch."""
    for operation in compose.transforms:
        if isinstance(operation, v2.RandomResizedCrop | v2.RandomHorizontalFlip):
            view, seen = operation(view, seen)
        else:
            view = operation(view)
    return view, seen


@pytest.mark.parametrize("kind", [MoCoV2Transform, SimCLRTransform])
def test_the_mask_lies_where_the_view_shows_it(kind):
    """Against torchvision's own way to carry a mask along, and against the view itself.

    The picture is the mask, so that a view without colours shows where it went.
    """
    mask = np.zeros((60, 90), np.uint8)
    mask[10:40, 20:40] = mask[30:55, 60:85] = 255
    host = kind(input_size=48, **PLAIN)
    samples = TwoViewDataset(OnePicture(mask), host, seed=0, masks=True)
    whole = tv_tensors.Mask(torch.from_numpy(mask)[None])
    for index in range(20):
        views, _, masks, _ = samples[index]
        with seeded_draws(0, 0, index):
            pairs = [jointly(part.transform, picture_of(mask), whole) for part in host.transforms]
        for view, seen, (_, expected) in zip(views, masks, pairs, strict=True):
            assert torch.equal(seen * 255, expected.as_subclass(torch.Tensor).float())
            assert seen.shape == (1, 48, 48)
            assert set(seen.unique().tolist()) <= {0.0, 1.0}
            # Half-covered pixels at edges fall to either side.
            clear = (view[:1] < 0.05) | (view[:1] > 0.95)
            assert ((view[:1] > 0.5) != (seen > 0.5))[clear].float().mean() < 0.01


def test_views_are_the_transform_s_own_bit_for_bit():
    transform = MoCoV2Transform(input_size=32)
    images = OnePicture(np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8))
    for index in range(5):
        views = TwoViewDataset(images, transform, seed=0, masks=True)[index][0]
        with seeded_draws(0, 0, index):
            expected = transform(images[index][0])
        assert all(torch.equal(a, b) for a, b in zip(views, expected, strict=True))


def data_of(*overrides):
    tiny = ["data.train_images=8", "data.val_images=8", "data.classes=2", "data.size=32"]
    tiny += ["localizer=given", "masking=mean", "view_size=32"]
    tiny += ["loader.batch_size=4", "loader.workers=0"]
    settings = compose_settings(
        ["data=generated", *tiny, *overrides],
        trust=frozenset({"salmask_plugin.data.two_views"}),
    )
    splits = build_splits(settings)
    return splits, build_data(settings, splits, build_masking(settings))


def whole_pictures(method):
    """Settings of ``views`` that show the whole picture as it is."""
    whole = ["views.min_scale=1", "views.hf_prob=0", "views.cj_prob=0", "views.gaussian_blur=0"]
    return [f"method={method}", *(f"+{text}" for text in whole), "+views.random_gray_scale=0"]


@pytest.mark.parametrize("method", ["mocov2_quick", "simclr_quick"])
def test_the_views_node_acts_on_runs_with_masks(method):
    splits, data = data_of(*whole_pictures(method))
    for views, _, masks, indices in data.train_loader():
        for view, seen, index in zip(views[0], masks[1], indices.tolist(), strict=True):
            picture, mask, _ = splits.train.with_mask(index)
            assert np.array_equal(seen[0].numpy() * 255, np.asarray(mask))
            mean, deviation = (
                np.array([[v]]) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
            )
            shown = view.permute(1, 2, 0).numpy() * deviation + mean
            assert np.abs(shown * 255 - np.asarray(picture)).max() < 1e-3


def test_what_masks_cannot_follow_is_refused_and_what_carries_them_is_taken():
    with pytest.raises(ValueError, match="object masks follow views made by one RandomResized"):
        data_of("+views.rr_prob=1", "+views.rr_degrees=30")
    _, data = data_of("~views", "+views={_target_: salmask_plugin.data.two_views, size: 32}")
    views, _, masks, _ = next(iter(data.train_loader()))
    assert views[0].shape == (4, 3, 32, 32)
    assert masks[0].shape == (4, 1, 32, 32)
    with pytest.raises(ValueError, match="is no transform of lightly"):
        PlacedViews(lambda picture: picture)
