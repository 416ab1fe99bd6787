"""Grouped BatchNorm against plain layers per group and against lightly's; traceless forwards."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from typing import Any

import lightly_toy as toy
import pytest
import timm
import torch
from lightly.models.batchnorm import SplitBatchNorm
from timm.layers import BatchNormAct2d
from timm.layers.norm_act import SyncBatchNormAct
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from salmask_plugin.adapters.lightly import (
    MaskedSimCLR,
    SupervisedClassifier,
    frozen_running_statistics,
    plain_batch_norm,
    resnet,
    split_batch_norm,
)
from salmask_plugin.adapters.lightly.batch_norm import (
    GroupedBatchNorm,
    GroupedBatchNormAct,
)
from salmask_plugin.adapters.lightly.batch_norm_notice import GroupsNotice, describe_groups


def images(batch: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((batch, 3, 4, 5), generator=generator) * 2 + torch.arange(3)[:, None, None]


def test_each_group_is_a_batchnorm_of_its_own() -> None:
    layer, x = GroupedBatchNorm(3, group_size=4), images(12)
    output = layer(x)
    for group in range(3):
        expected = nn.BatchNorm2d(3)(x[group::3])
        torch.testing.assert_close(output[group::3], expected)


def test_it_equals_lightlys_layer_in_training_and_evaluation() -> None:
    ours, theirs = GroupedBatchNorm(3, group_size=4), SplitBatchNorm(3, num_splits=3)
    for step in range(3):
        x = images(12, step)
        assert torch.equal(ours(x), theirs(x))
    ours.eval()
    theirs.eval()
    torch.testing.assert_close(ours.running_mean, theirs.running_mean[:3])
    torch.testing.assert_close(ours.running_var, theirs.running_var[:3])
    torch.testing.assert_close(ours(images(5)), theirs(images(5)))


def test_a_batch_that_is_no_multiple_is_normalised_whole() -> None:
    ours, plain = GroupedBatchNorm(3, group_size=4), nn.BatchNorm2d(3)
    assert torch.equal(ours(images(10)), plain(images(10)))
    torch.testing.assert_close(ours.running_var, plain.running_var)


@pytest.mark.parametrize(
    ("batch", "group", "devices", "whole", "text"),
    [
        (128, 32, 1, 0, "4 groups of 32 images, keys shuffled."),
        (128, 32, 1, 2, "4 groups of 32 images, keys shuffled. 2 of 20 layers are of another kind"),
        (128, 32, 1, 20, "NOT split, 128 images are normalised together, since none of the 20"),
        (100, 32, 1, 0, "NOT split"),
        (32, 32, 1, 0, "not split, 32"),
        (64, None, 1, 20, "not split, 64"),
        (64, 32, 4, 0, "each of 4 devices"),
    ],
)
def test_the_split_is_said_in_words(
    batch: int, group: int, devices: int, whole: int, text: str
) -> None:
    assert text in describe_groups(batch, group, devices=devices, layers=20, whole=whole)


def test_synchronised_layers_are_said_to_see_all_devices(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level("INFO"):
        GroupsNotice(32)(32, nn.Sequential(nn.SyncBatchNorm(3)), devices=4)
    assert "4 devices normalise 128 images together." in caplog.text


def test_a_backbone_without_batch_norm_is_said_to_have_none() -> None:
    assert "has none" in describe_groups(64, 32, devices=1, layers=0)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "regnety_002", "resnet18"])
def test_timms_layers_are_split_too(name: str) -> None:
    """timm's norms carry their activation, and are a kind of their own."""
    torch.manual_seed(0)
    plain = timm.create_model(name, num_classes=0)
    split = copy.deepcopy(plain)
    split_batch_norm(split, 4)
    layers = [part for part in split.modules() if isinstance(part, _BatchNorm)]
    assert len(layers) == sum(isinstance(part, _BatchNorm) for part in plain.modules()) > 15
    assert all(isinstance(layer, GroupedBatchNorm) for layer in layers)
    assert split.state_dict().keys() == plain.state_dict().keys()
    x = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = torch.stack([copy.deepcopy(plain)(x[group::2]) for group in range(2)], 1)
        torch.testing.assert_close(split(x), expected.flatten(0, 1), rtol=1e-3, atol=1e-4)
        back = plain_batch_norm(split)
        assert [type(part) for part in back.modules()] == [type(part) for part in plain.modules()]
        torch.testing.assert_close(back.eval()(x), split.eval()(x))


class OwnNorm(nn.BatchNorm2d):
    """A kind that nobody knows."""


class CountingNorm(nn.Module):
    """Keeps a running mean that is not torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running_mean", torch.zeros(3))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        self.running_mean += input.mean((0, 2, 3))
        return input


def test_layers_that_are_not_split_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), OwnNorm(3), nn.BatchNorm2d(3, affine=False))
    split_batch_norm(network, 4)
    with caplog.at_level("INFO"):
        GroupsNotice(4)(8, network, devices=1)
    assert "2 of 3 layers are of another kind and NOT split" in caplog.text


def test_a_split_backbone_keeps_parameters_and_loads_into_torchvision() -> None:
    backbone, dim = resnet("resnet18", stem="cifar")
    parameters = list(backbone.parameters())
    split_batch_norm(backbone, 2)
    assert dim == 512
    assert sum(isinstance(layer, GroupedBatchNorm) for layer in backbone.modules()) == 20
    assert all(a is b for a, b in zip(parameters, backbone.parameters(), strict=True))
    x = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    backbone(x)
    backbone.eval()

    plain, _ = resnet("resnet18", stem="cifar")
    plain.load_state_dict(backbone.state_dict())
    torch.testing.assert_close(plain.eval()(x), backbone(x))
    exported = plain_batch_norm(backbone)
    assert not any(isinstance(layer, GroupedBatchNorm) for layer in exported.modules())
    torch.testing.assert_close(exported(x), backbone(x))


@pytest.mark.parametrize(("stem", "side"), [("standard", 2), ("cifar", 8), ("cifar_pool", 4)])
def test_stems_differ_in_how_far_they_shrink_the_view(stem: Any, side: int) -> None:
    backbone, _ = resnet("resnet18", stem=stem)
    maps: list[torch.Tensor] = []
    backbone.layer4.register_forward_hook(lambda *hooked: maps.append(hooked[2]))
    backbone.eval()(torch.zeros(1, 3, 64, 48))
    assert maps[0].shape == (1, 512, side, -(-side * 48 // 64))


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(3),
        GroupedBatchNorm(3, 4),
        GroupedBatchNorm(3),
        BatchNormAct2d(3),
        GroupedBatchNormAct(BatchNormAct2d(3), 4),
        nn.InstanceNorm2d(3, track_running_stats=True),
        nn.InstanceNorm2d(3, affine=True, track_running_stats=True),
        CountingNorm(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_frozen_statistics_normalise_by_the_batch_and_leave_no_trace(layer: nn.Module) -> None:
    expected = copy.deepcopy(layer)(images(12))
    before = copy.deepcopy(layer.state_dict())
    with frozen_running_statistics(layer):
        output = layer(images(12))
    assert torch.equal(output, expected)
    for name, value in layer.state_dict().items():
        assert torch.equal(value, before[name]), name
    layer(images(12))
    assert not torch.equal(layer.running_mean, before["running_mean"])


def test_frozen_statistics_come_back_after_an_error_and_spare_eval_layers() -> None:
    layer = nn.BatchNorm2d(3)
    with pytest.raises(KeyError), frozen_running_statistics(layer):
        raise KeyError
    assert layer.running_mean is not None
    evaluated = nn.BatchNorm2d(3).eval()
    with frozen_running_statistics(evaluated):
        torch.testing.assert_close(evaluated(images(4)), images(4) / (1 + 1e-5) ** 0.5)


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(3),
        nn.SyncBatchNorm(3),
        GroupedBatchNorm(3, 4),
        BatchNormAct2d(3),
        GroupedBatchNormAct(BatchNormAct2d(3), 4),
        SyncBatchNormAct(3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_sync_batchnorm_is_refused_where_torchs_conversion_changes_the_function(
    layer: nn.Module,
) -> None:
    if isinstance(layer, SyncBatchNormAct):
        layer.act = nn.ReLU()
    plain = copy.deepcopy(layer).eval()
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(plain))
    same = torch.equal(plain(images(4)), converted(images(4)))
    assert same == (not hasattr(layer, "act"))
    several = toy.trainer(devices=2, strategy="ddp", sync_batchnorm=True)
    for method in (MaskedSimCLR, SupervisedClassifier):
        options: dict[str, Any] = {"num_classes": 2} if method is SupervisedClassifier else {}
        module = method(nn.Sequential(layer), feature_dim=3, masking=None, **options)
        module.trainer = several
        words = r"sync_batchnorm=true would lose a part of \w*Act\w* \(backbone.0\)"
        with nullcontext() if same else pytest.raises(ValueError, match=words):
            module.setup("fit")
        module.trainer = toy.trainer(sync_batchnorm=True)  # one device converts nothing
        module.setup("fit")


def test_a_layer_with_two_names_is_one_layer_of_groups_and_one_plain_again() -> None:
    shared = nn.BatchNorm2d(3)
    network = nn.Sequential(shared, nn.Sequential(nn.ReLU(), shared))
    network.again = shared
    split_batch_norm(network, 4)
    assert isinstance(network[0], GroupedBatchNorm)
    assert network[0] is network[1][1] is network.again
    plain = plain_batch_norm(network)
    assert type(plain[0]) is nn.BatchNorm2d
    assert plain[0] is plain[1][1] is plain.again


def test_a_layer_alone_is_plain_again() -> None:
    layer = GroupedBatchNorm(3, group_size=4)
    layer(images(8))
    plain = plain_batch_norm(layer)
    assert type(plain) is nn.BatchNorm2d
    assert torch.equal(plain.running_mean, layer.running_mean)
    assert type(layer) is GroupedBatchNorm


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="group_size=1"):
        GroupedBatchNorm(3, 1)
    with pytest.raises(ValueError, match="momentum=None"):
        split_batch_norm(nn.Sequential(nn.BatchNorm2d(3, momentum=None)), 4)
    with pytest.raises(ValueError, match="name='vgg'"):
        resnet("vgg")
    with pytest.raises(ValueError, match="stem='small'"):
        resnet("resnet18", stem="small")  # type: ignore[arg-type]
