"""lightly's modules on views of 1, 4 and 13 channels: an epoch of training, then features."""

from __future__ import annotations

from typing import Any

import lightly_toy as toy
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from salmask_plugin.adapters.lightly import (
    ADIOSMoCoV2,
    ADIOSSimCLR,
    MaskedMoCoV2,
    MaskedSimCLR,
    SupervisedClassifier,
    resnet,
)
from salmask_plugin.encoders import load_backbone, small_convnet

COUNT, BATCH, SIDE = 8, 4, 32
HEADS = {"projection_hidden_dim": 8, "projection_dim": 6}
ADIOS = {"image_size": SIDE, "num_masks": 2, "warmup_epochs": 0}
MODULES: dict[type, dict[str, Any]] = {
    MaskedMoCoV2: {"queue_size": BATCH, "split_batch_size": 2, "hard_negative_bias": -9.7},
    MaskedSimCLR: HEADS,
    ADIOSMoCoV2: {**ADIOS, "queue_size": BATCH, "split_batch_size": 2},
    ADIOSSimCLR: {**ADIOS, **HEADS},
}


class Bands(Dataset[Any]):
    """Two random views of some channels, and a class."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __len__(self) -> int:
        return COUNT

    def __getitem__(self, index: int) -> tuple[list[Tensor], int]:
        generator = torch.Generator().manual_seed(index)
        views = torch.randn((2, self.channels, SIDE, SIDE), generator=generator)
        return [views[0], views[1]], index % 2


@pytest.mark.parametrize("channels", [1, 4, 13])
@pytest.mark.parametrize("kind", MODULES, ids=lambda kind: kind.__name__)
def test_modules_train_on_any_channels(kind: type, channels: int, tmp_path: Any) -> None:
    torch.manual_seed(0)
    backbone, width = small_convnet((4, 4, 4, 8), in_channels=channels)
    options = dict(MODULES[kind])
    if kind in (ADIOSMoCoV2, ADIOSSimCLR):
        options["in_channels"] = channels
    else:
        options["masking"] = toy.masking(view_filter=toy.high_pass())
    module = kind(backbone, feature_dim=width, **options)
    before = backbone.stem[0].weight.detach().clone()
    trainer = toy.trainer()
    trainer.fit(module, DataLoader(Bands(channels), batch_size=BATCH))
    assert not torch.equal(before, backbone.stem[0].weight)
    images = torch.randn(2, channels, SIDE, SIDE)
    assert module.eval()(images).shape == (2, width)

    trainer.save_checkpoint(tmp_path / "run.ckpt")
    loaded = load_backbone(tmp_path / "run.ckpt")
    assert loaded.architecture == "small_4_4_4_8"
    with torch.no_grad():
        torch.testing.assert_close(loaded.filtered()(images), module(images))


def test_a_classifier_trains_on_any_channels() -> None:
    backbone, width = small_convnet((4, 4, 4, 8), in_channels=4)
    module = SupervisedClassifier(backbone, feature_dim=width, num_classes=2)
    samples = [(views[0], label) for views, label in (Bands(4)[index] for index in range(COUNT))]
    toy.trainer().fit(module, DataLoader(samples, batch_size=BATCH))
    assert module.eval()(torch.randn(2, 4, SIDE, SIDE)).shape == (2, width)


def test_an_occluder_says_which_channels_it_takes() -> None:
    backbone, width = small_convnet((4, 4, 4, 8), in_channels=4)
    module = ADIOSSimCLR(backbone, feature_dim=width, **MODULES[ADIOSSimCLR])
    with pytest.raises(ValueError, match=r"must be \(B, 3, 32, 32\)"):
        module.occluder(torch.randn(2, 4, SIDE, SIDE))
    with pytest.raises(ValueError, match="in_channels=0 must be at least 1"):
        ADIOSSimCLR(backbone, feature_dim=width, **MODULES[ADIOSSimCLR], in_channels=0)


@pytest.mark.parametrize("stem", ["standard", "cifar"])
def test_resnets_of_any_channels_come_back(stem: str, tmp_path: Any) -> None:
    network, width = resnet("resnet18", stem=stem, in_channels=4)
    torch.save({"state_dict": network.state_dict()}, tmp_path / "four.pt")
    name = "resnet18" + ("" if stem == "standard" else "_cifar")
    loaded = load_backbone(tmp_path / "four.pt", architecture=name)
    images = torch.randn(2, 4, SIDE, SIDE)
    with torch.no_grad():
        torch.testing.assert_close(loaded.network(images), network.eval()(images))
    assert loaded.feature_dim == width
    with pytest.raises(ValueError, match="in_channels=0"):
        resnet("resnet18", in_channels=0)
