"""Views with masks: the mask follows the crop and the flip of its own view."""

import numpy as np
import pytest
import torch
from lightly.transforms import MoCoV2Transform, SimCLRTransform
from PIL import Image

from salmask_plugin.lab.data import (
    TwoViewDataset,
    TwoViews,
    evaluation_transform,
    generated,
    two_views,
)
from salmask_plugin.lab.data.augment import IMAGENET_MEAN, IMAGENET_STD

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
    transform = TwoViews(48, jitter_probability=0, grey_probability=0, blur_probability=0)
    torch.manual_seed(0)
    flips = 0
    for _ in range(12):
        views, masks = transform(image, Image.fromarray(truth))
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
def test_crops_and_flips_are_those_of_lightly(ours, host):
    image = positions(200, 140)
    quiet = {"jitter_probability": 0, "grey_probability": 0, "blur_probability": 0}
    scale = two_views(32, ours)._view.transforms[0].scale
    mine = TwoViews(32, min_scale=scale[0], **quiet)
    theirs = host(input_size=32, cj_prob=0, random_gray_scale=0, gaussian_blur=0)
    for seed in range(8):
        torch.manual_seed(seed)
        first = mine(image)[0]
        torch.manual_seed(seed)
        assert torch.allclose(first, theirs(image)[0], atol=1e-6)


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
    mine = operations(two_views(32, ours)._view)
    theirs = operations(host(input_size=32).transforms[0].transform)
    (jitter, often), (their_jitter, their_often) = mine["ColorJitter"], theirs["ColorJitter"]
    assert often == their_often
    for strength in ("brightness", "contrast", "saturation", "hue"):
        assert getattr(jitter, strength) == getattr(their_jitter, strength)
    assert mine["RandomGrayscale"].p == theirs["RandomGrayscale"].p
    blur, often = mine["_PictureBlur"]
    assert (blur.sigmas, often) == (theirs["GaussianBlur"].sigmas, theirs["GaussianBlur"].prob)


@pytest.mark.parametrize(
    ("ours", "host"), [("moco_v2", MoCoV2Transform), ("simclr", SimCLRTransform)]
)
def test_colours_have_the_distribution_of_lightly(ours, host):
    splits = generated(train_images=4, val_images=2, classes=2, size=32)
    image = splits.train[1][0]

    def statistics(transform):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002 - lightly's blur draws from it
        views = torch.stack([view for _ in range(250) for view in transform(image)])
        grey = (views * STD + MEAN).std(1).amax((1, 2)) < 0.01
        edges = views.diff(dim=-1).abs().mean((1, 2, 3))
        return torch.stack(
            [grey.float().mean(), views.mean(), views.mean((1, 2, 3)).std(), edges.mean()]
        )

    mine, theirs = statistics(two_views(32, ours)), statistics(host(input_size=32))
    assert torch.allclose(mine, theirs, atol=0.08), (mine, theirs)


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
