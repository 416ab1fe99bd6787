"""A localizer by name, for views normalised as solo-learn normalises them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from salmask_plugin import SCDALocalizer, UniformLocalizer
from salmask_plugin.adapters.solo_learn.localizer import (
    NORMALISED_BY,
    ImageNetViews,
    build_localizer,
    trained_on,
)
from salmask_plugin.adapters.solo_learn.masking_in_words import describe
from salmask_plugin.adapters.solo_learn.settings import MaskingSettings
from salmask_plugin.localizers.frozen import IMAGENET_MEAN, IMAGENET_STD

MASKS = {"query": {"sampler": {}, "fill": {}}}


def settings(**changes):
    return MaskingSettings(**{"recipe": "mean", **MASKS, **changes})


def column(values):
    return torch.tensor(values).view(1, -1, 1, 1)


def test_shows_imagenet_views_whatever_the_host_subtracted(generator):
    pixels = torch.rand((2, 3, 9, 7), generator=generator)
    mean, std = NORMALISED_BY["cifar10"]
    seen = []
    localizer = ImageNetViews(lambda images: seen.append(images) or images[:, 0], mean, std)
    localizer((pixels - column(mean)) / column(std))
    torch.testing.assert_close(seen[0], (pixels - column(IMAGENET_MEAN)) / column(IMAGENET_STD))


def test_embedded_localizer_for_cifar_views_and_untouched_randomness():
    state = torch.get_rng_state()
    built = build_localizer(
        settings(localizer="efficientnet_lite0"), normalised_by=NORMALISED_BY["cifar10"]
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(built, ImageNetViews)
    assert isinstance(built.localizer, SCDALocalizer)
    assert trained_on(built) == "ImageNet-1k labels"
    assert built(torch.zeros((1, 3, 32, 32))).shape == (1, 7, 7)


def test_without_masks_nothing_is_loaded():
    missing = MaskingSettings(recipe="none", localizer="resnet50", localizer_weights="missing.pth")
    assert isinstance(build_localizer(missing), UniformLocalizer)


def test_missing_weights_name_the_embedded_alternative(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def refuse(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    with pytest.raises(FileNotFoundError, match="localizer=efficientnet_lite0"):
        build_localizer(settings(localizer="resnet50"))


def test_momentum_reads_the_key_encoder():
    encoder = nn.Sequential(nn.Conv2d(3, 4, 3, stride=4), nn.ReLU())
    built = build_localizer(settings(localizer="momentum", momentum_layer="1"), key_encoder=encoder)
    assert built(torch.rand((2, 3, 24, 20))).shape == (2, 6, 5)
    with pytest.raises(ValueError, match="needs a method with a momentum encoder"):
        build_localizer(settings(localizer="momentum"))


@pytest.mark.parametrize("name", ["uniform", "center"])
def test_controls_use_the_grid(name):
    built = build_localizer(settings(localizer=name, grid=(5, 6)))
    assert built(torch.rand((2, 3, 30, 30))).shape == (2, 5, 6)


def test_the_line_at_start():
    values = {"method": "salmask_simclr", "highpass": True, "seed": 3}
    line = describe(settings(negative={}, branch="both"), UniformLocalizer(), **values)
    for part in (
        "recipe=mean",
        "seed=3",
        "high-pass",
        "branch=both",
        "localizer=resnet50",
        "rho=2",
    ):
        assert part in line
    baseline = describe(MaskingSettings(recipe="none"), UniformLocalizer(), **values)
    assert "this is the baseline" in baseline
    assert "active" not in baseline
