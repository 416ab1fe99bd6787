"""Every exported class at 1, 3, 4 and 13 channels: X-ray, colour, depth, Sentinel-2."""

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import salmask_plugin
from salmask_plugin import (
    BandsLocalizer,
    CachedLocalizer,
    CenterLocalizer,
    FillMixture,
    FocalMask,
    GridMask,
    HighPassFilter,
    MaskFunctionLocalizer,
    Masking,
    MaskMixture,
    MeanFill,
    MomentumLocalizer,
    NoiseFill,
    PermutedLocalizer,
    SaliencyMasking,
    SCDALocalizer,
)
from salmask_plugin.localizers.frozen import FrozenNetwork

CHANNELS = (1, 3, 4, 13)
SIDE = 42
FILLS = (
    "BlurFill",
    "FillMixture",
    "MeanFill",
    "NoiseFill",
    "OtherImageFill",
    "TileFill",
    "UnseenFill",
)
SAMPLERS = (
    "BackgroundMask",
    "BlockMask",
    "FocalMask",
    "GridMask",
    "MaskMixture",
    "MatchedMask",
    "SystematicMask",
    "TopMask",
)
STEPS = ("Masking", "SaliencyMasking", "HighPassFilter", "CachedLocalizer", "GivenLocalizer")
"""These have tests of their own below."""
NO_IMAGES = ("InfoNCELoss", "MaskedViews")
ELSEWHERE = ("NegativeEncoding", "GuidedCrops")
"""Tested in tests/core: the first at these numbers of channels, the second sees no channels."""
EXPORTED = {
    name for name in salmask_plugin.__all__ if inspect.isclass(getattr(salmask_plugin, name))
}
PER_CHANNEL = GridMask((0.4, 0.7), background=False, per_channel=True)


def seeded():
    return torch.Generator().manual_seed(3)


def views(channels, count=3):
    return torch.randn((count, channels, SIDE, SIDE), generator=seeded())


def bright(images):
    return images.mean(1)


def frozen(channels):
    torch.manual_seed(0)
    normal = {"mean": (0.5,) * channels, "std": (0.2,) * channels}
    host = {f"view_{name}": value for name, value in normal.items()}
    return FrozenNetwork(nn.Conv2d(channels, 5, 3, stride=6), **normal, **host)


LOCALIZERS = {
    "BandsLocalizer": lambda c: BandsLocalizer(
        SCDALocalizer(frozen(3), SIDE), (0, 0, 0) if c == 1 else (c - 1, 1 % c, 0)
    ),
    "CenterLocalizer": lambda c: CenterLocalizer(),
    "MaskFunctionLocalizer": lambda c: MaskFunctionLocalizer(
        bright, mean=(0.0,) * c, std=(1.0,) * c
    ),
    "MomentumLocalizer": lambda c: MomentumLocalizer(
        nn.Sequential(nn.Conv2d(c, 4, 3, stride=6), nn.ReLU()), "1", HighPassFilter(5, 2.0)
    ),
    "PermutedLocalizer": lambda c: PermutedLocalizer(CenterLocalizer()),
    "SCDALocalizer": lambda c: SCDALocalizer(frozen(c), SIDE),
    "UniformLocalizer": lambda c: salmask_plugin.UniformLocalizer(),
}


def fill(name):
    if name == "FillMixture":
        return FillMixture((MeanFill(), NoiseFill()), weights=(0.5, 0.5))
    return getattr(salmask_plugin, name)()


def sampler(name):
    if name == "MaskMixture":
        return MaskMixture((FocalMask(), PER_CHANNEL), weights=(0.5, 0.5))
    return getattr(salmask_plugin, name)()


def test_every_exported_class_is_here():
    assert {*FILLS, *SAMPLERS, *LOCALIZERS, *STEPS, *NO_IMAGES, *ELSEWHERE} == EXPORTED


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", FILLS)
def test_fills(name, channels):
    images = views(channels)
    content = fill(name)(images, seeded())
    assert torch.broadcast_shapes(content.shape, images.shape) == images.shape
    assert content.isfinite().all()
    if name in ("MeanFill", "BlurFill"):  # a channel's content comes from that channel alone
        last = fill(name)(images[:, -1:], seeded())
        torch.testing.assert_close(content[:, -1:], last)


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_and_masking(name, channels):
    images = views(channels)
    saliency = torch.rand((3, 7, 7), generator=seeded())
    masked, mask = Masking(sampler(name), MeanFill())(images, saliency, seeded())
    assert masked.shape == images.shape
    assert mask.shape[1] in (1, channels)
    assert torch.equal(masked[~mask.expand_as(masked)], images[~mask.expand_as(images)])
    assert mask.any()


def test_channels_are_masked_apart_whatever_their_number():
    saliency = torch.rand((3, 7, 7), generator=seeded())
    for channels in (4, 13):
        mask = Masking(PER_CHANNEL, MeanFill())(views(channels), saliency, seeded())[1]
        assert mask.shape[1] == channels
        assert len({tuple(one.flatten().tolist()) for one in mask[0]}) > 1


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", LOCALIZERS)
def test_localizers_and_the_step(name, channels):
    localizer = LOCALIZERS[name](channels)
    images = views(channels)
    maps = localizer(images)
    assert maps.shape == (3, 7, 7)
    assert maps.isfinite().all()
    assert isinstance(localizer.trained_on, str)
    step = SaliencyMasking(
        localizer,
        Masking(GridMask(), MeanFill()),
        Masking(PER_CHANNEL, MeanFill()),
        view_filter=HighPassFilter(5, 2.0),
    )
    masked = step(images, images.flip(0), seeded())
    assert masked.query.shape == masked.key.shape == images.shape
    assert masked.negatives.shape == (3, 1, channels, SIDE, SIDE)


@pytest.mark.parametrize("channels", CHANNELS)
def test_the_filter_treats_channels_alike(channels):
    images = views(channels)
    filtered = HighPassFilter(5, 2.0)(images)
    assert filtered.shape == images.shape
    torch.testing.assert_close(filtered[:, -1:], HighPassFilter(5, 2.0)(images[:, -1:]))


@pytest.mark.parametrize("channels", CHANNELS)
def test_maps_of_whole_images_are_cached(channels):
    images = views(channels)
    localizer = SCDALocalizer(frozen(channels), SIDE)
    cached = CachedLocalizer.compute(localizer, [images], dataset="mine", half=False)
    boxes, whole = torch.tensor([[0.0, 0, 1, 1]]).expand(3, 4), localizer(images)
    maps = cached(torch.arange(3), boxes, torch.zeros(3, dtype=torch.bool))
    low, high = whole.amin((1, 2), keepdim=True), whole.amax((1, 2), keepdim=True)
    torch.testing.assert_close(maps, (whole - low) / (high - low), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", CHANNELS)
def test_given_masks_have_no_channels(channels):
    masks = (views(channels) > 0).any(1)
    assert salmask_plugin.GivenLocalizer()(masks).shape == (3, 7, 7)


def test_bands_are_those_that_are_named():
    images = views(13)
    seen = []

    def keep(shown):
        seen.append(shown)
        return shown.mean(1)

    BandsLocalizer(keep, bands=[3, 2, 1])(images)
    np.testing.assert_array_equal(seen[0].numpy(), images.numpy()[:, [3, 2, 1]])


@pytest.mark.parametrize("bands", [(), (-1,)])
def test_bands_that_cannot_be(bands):
    with pytest.raises(ValueError, match="each at least 0"):
        BandsLocalizer(CenterLocalizer(), bands)


def test_bands_that_the_views_lack():
    with pytest.raises(ValueError, match=r"bands=\(3, 2, 1\): the views have channels 0 to 2"):
        BandsLocalizer(CenterLocalizer(), (3, 2, 1))(views(3))
