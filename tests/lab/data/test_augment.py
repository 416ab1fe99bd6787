"""Views with masks: the mask follows the crop and the flip of its own view."""

import numpy as np
import pytest
import torch
from lightly.transforms import MoCoV2Transform, SimCLRTransform
from PIL import Image

from salmask_plugin.adapters.lightly import PlacedViews
from salmask_plugin.lab.data import (
    TwoViewDataset,
    TwoViews,
    evaluation_transform,
    generated,
    two_views,
)
from salmask_plugin.lab.data.seeded import seeded_draws
from salmask_plugin.lab.data.two_view import mask_in_view
from salmask_plugin.localizers.frozen import IMAGENET_MEAN, IMAGENET_STD

MEAN, STD = (torch.tensor(value).view(3, 1, 1) for value in (IMAGENET_MEAN, IMAGENET_STD))


def positions(width: int, height: int) -> Image.Image:
    """A picture that tells where each of its pixels came from: red is x, green is y."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(width), np.arange(height)[:, None]
    return Image.fromarray(pixels)


def test_masks_follow_their_own_view():
    width, height = 230, 170
    image = positions(width, height)
    truth = np.zeros((height, width), np.uint8)
    truth[30:110, 20:140] = 255
    truth[90:150, 100:200] = 255  # an L-like shape: no symmetry hides a wrong flip
    plain = TwoViews(48, jitter_probability=0, grey_probability=0, blur_probability=0)
    transform = PlacedViews(plain)
    torch.manual_seed(0)
    flips = 0
    for _ in range(12):
        views, placements = transform(image)
        whole, size = Image.fromarray(truth), (48, 48)
        masks = [mask_in_view(whole, placement, size) for placement in placements]
        for view, mask in zip(views, masks, strict=True):
            x, y = ((view * STD + MEAN)[:2] * 255).round().long()
            flips += int(x[0, 0] > x[0, -1])
            expected = torch.from_numpy(truth)[y, x] > 0
            assert mask.shape == (1, 48, 48)
            assert mask.unique().tolist() in ([0.0], [1.0], [0.0, 1.0])
            # nearest neighbour in the mask, area average in the picture: edges may differ
            assert (expected == (mask[0] > 0)).float().mean() > 0.93
        assert not torch.equal(*masks)
    assert 4 < flips < 20


@pytest.mark.parametrize(
    ("ours", "host"), [("moco_v2", MoCoV2Transform), ("simclr", SimCLRTransform)]
)
def test_views_are_those_of_lightly_bit_for_bit(ours, host):
    """Sixteen pairs: with and without jitter, grey, blur and flip."""
    image = generated(train_images=4, val_images=2, classes=2, size=48).train[1][0]
    mine, theirs = two_views(32, ours), host(input_size=32)
    for index in range(16):
        pairs = []
        for transform in (mine, theirs):
            with seeded_draws(0, 0, index):
                pairs.append(torch.stack(transform(image)))
        assert torch.equal(*pairs)


def operations(compose) -> dict[str, object]:
    """The operations of a view by class name, those inside RandomApply included."""
    found = {}
    for operation in compose.transforms:
        found[type(operation).__name__] = operation
        if type(operation).__name__ == "RandomApply":
            (inner,) = operation.transforms
            found[type(inner).__name__] = (inner, operation.p)
    return found


@pytest.mark.parametrize(
    ("ours", "host"), [("moco_v2", MoCoV2Transform), ("simclr", SimCLRTransform)]
)
def test_strengths_are_those_of_lightly(ours, host):
    mine = operations(two_views(32, ours).transforms[0].transform)
    theirs = operations(host(input_size=32).transforms[0].transform)
    (jitter, often), (their_jitter, their_often) = mine["ColorJitter"], theirs["ColorJitter"]
    assert often == their_often
    for strength in ("brightness", "contrast", "saturation", "hue"):
        assert getattr(jitter, strength) == getattr(their_jitter, strength)
    assert mine["RandomGrayscale"].p == theirs["RandomGrayscale"].p
    blur, their_blur = mine["GaussianBlur"], theirs["GaussianBlur"]
    assert (blur.sigmas, blur.prob) == (their_blur.sigmas, their_blur.prob)
    assert mine["RandomResizedCrop"].scale == theirs["RandomResizedCrop"].scale


def test_dataset_with_masks():
    splits = generated(train_images=4, val_images=2, classes=2, size=40)
    dataset = TwoViewDataset(splits.train, two_views(32), seed=0, masks=True)
    views, label, masks, index = dataset[(2, 3)]
    again = dataset[(2, 3)]
    assert (label, index) == (1, 3)
    assert [mask.shape for mask in masks] == [(1, 32, 32)] * 2
    assert all(torch.equal(a, b) for a, b in zip(views + masks, again[0] + again[2], strict=True))
    assert all(type(mask) is torch.Tensor and mask.dtype == torch.float32 for mask in masks)


def test_evaluation_crop_by_hand():
    # 2:1 picture, view 56: shorter side to 64, so 128 x 64; then the middle 56 x 56.
    image = positions(200, 100)
    view = evaluation_transform(56)(image) * STD + MEAN
    resized = np.asarray(image.resize((128, 64), Image.Resampling.BILINEAR))
    expected = torch.from_numpy(resized[4:60, 36:92].copy()).permute(2, 0, 1) / 255
    assert torch.allclose(view, expected, atol=1e-6)


def test_errors():
    with pytest.raises(ValueError, match="recipe='byol'"):
        two_views(32, "byol")
    with pytest.raises(ValueError, match="size=0"):
        TwoViews(0)
    with pytest.raises(ValueError, match=r"min_scale=1\.5"):
        TwoViews(32, min_scale=1.5)
    with pytest.raises(ValueError, match="view_size=0"):
        evaluation_transform(0)
