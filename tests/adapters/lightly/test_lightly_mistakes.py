"""What people do with the modules at first, and the sentence that they are told."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import lightly_toy as toy
import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from salmask_plugin import (
    GridMask,
    Masking,
    MeanFill,
    NegativeEncoding,
    SaliencyMasking,
    UniformLocalizer,
)
from salmask_plugin.adapters.lightly import (
    ADIOSMoCoV2,
    ADIOSSimCLR,
    MaskedMoCoV2,
    MaskedSimCLR,
    SaliencyMaskingCallback,
    SupervisedClassifier,
)
from salmask_plugin.adapters.lightly.evaluation import knn_evaluation
from salmask_plugin.warm_up import SaliencyWarmUp

VIEW = torch.zeros(4, 3, 8, 8)
METHODS = [MaskedMoCoV2, MaskedSimCLR]


def module(method: Any = MaskedMoCoV2, **options: Any) -> Any:
    settings: dict[str, Any] = {"feature_dim": 10, "masking": None} | options
    small = {"queue_size": 8, "split_batch_size": None} if method is MaskedMoCoV2 else {}
    return method(toy.network(), **small, **settings)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("batch", "error", "words"),
    [
        (
            {"image": VIEW, "label": torch.zeros(4)},
            TypeError,
            "the batch is a dict with the keys image, label; ([view, view], targets) is needed: "
            "let the data set return ([view, view], target), or the loader's collate_fn make it.",
        ),
        (VIEW, TypeError, "the batch is a Tensor; ([view, view], targets) is needed"),
        (
            ([VIEW.to(torch.uint8)] * 2, torch.zeros(4)),
            ValueError,
            "batch[0][0] are torch.uint8 (4, 3, 8, 8); normalised floating-point views "
            "(B, C, H, W) are expected: v2.ToDtype(torch.float32, scale=True), then v2.Normalize, "
            "makes them.",
        ),
        (
            ([VIEW, VIEW[0]], torch.zeros(4)),
            ValueError,
            "are expected: batch[0][1][None] is a batch of one image.",
        ),
    ],
    ids=["dict", "tensor", "uint8", "single"],
)
@pytest.mark.parametrize("masked", [False, True])
def test_a_batch_of_another_form(
    method: Any, batch: Any, error: Any, words: str, masked: bool
) -> None:
    """The baseline is asked as the masked run is."""
    model = module(method, masking=toy.masking() if masked else None)
    with pytest.raises(error) as caught:
        model.training_step(batch, 0)
    assert words in str(caught.value)


def test_a_dict_is_named_where_a_trainer_brings_it() -> None:
    data = [{"image": torch.zeros(3, 8, 8), "label": 0}] * 4
    loader = DataLoader(data, batch_size=4)  # type: ignore[arg-type]
    for model, callbacks in (
        (module(), []),
        (module(MaskedSimCLR), [SaliencyMaskingCallback(toy.masking(negative=None), 0)]),
    ):
        with pytest.raises(TypeError, match="the batch is a dict with the keys image, label"):
            toy.trainer(callbacks=callbacks).fit(model, loader)


@pytest.mark.parametrize("method", [*METHODS, SupervisedClassifier])
def test_another_width_of_features(method: Any) -> None:
    options = {"num_classes": 3} if method is SupervisedClassifier else {}
    model = module(method, feature_dim=512, **options)
    labelled = (VIEW, torch.zeros(4, dtype=torch.long))

    def train() -> None:
        if method is SupervisedClassifier:
            model.training_step(labelled, 0)
        else:
            toy.trainer().fit(model, toy.loader(8))

    with pytest.raises(ValueError, match="feature_dim=512") as caught:
        train()
    assert str(caught.value) == (
        "feature_dim=512, but the backbone's features have 10: build the module with "
        "feature_dim=10."
    )


@pytest.mark.parametrize("method", METHODS)
def test_steps_without_epochs(method: Any) -> None:
    trainer = Trainer(max_steps=2, accelerator="cpu", logger=False, enable_checkpointing=False)
    with pytest.raises(ValueError, match=r"give the Trainer max_epochs=N. max_steps alone"):
        trainer.fit(module(method), toy.loader(8))


@pytest.mark.parametrize("given", [GridMask(), Masking(GridMask(), MeanFill()), Masking])
def test_a_part_where_the_whole_recipe_belongs(given: Any) -> None:
    for build in (
        lambda: module(masking=given),
        lambda: module(MaskedSimCLR, masking=given),
        lambda: SaliencyMaskingCallback(given, query_index=0),
    ):
        with pytest.raises(ValueError, match=r"masking=\w+\(...\) must be a SaliencyMasking, such"):
            build()


def test_a_recipe_of_no_part_masks_nothing_and_is_refused() -> None:
    inert = SaliencyMasking(UniformLocalizer())
    for build in (
        lambda: module(masking=inert),
        lambda: module(MaskedSimCLR, masking=inert),
        lambda: SaliencyMaskingCallback(inert, query_index=0),
    ):
        with pytest.raises(ValueError, match=r"does nothing: give it query=Masking.*masking=None"):
            build()


@pytest.mark.parametrize("host", ["lightly", "pytorch_lightning"])
def test_without_the_host(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    package = "salmask_plugin.adapters.lightly"
    before = sys.modules[package]
    monkeypatch.delitem(sys.modules, package)
    monkeypatch.setitem(sys.modules, host, None)  # type: ignore[arg-type]
    with pytest.raises(ImportError) as caught:
        importlib.import_module(package)
    assert str(caught.value) == (
        f"{package} needs {host}, which is not installed: pip install '.[lightly]' in the clone of "
        "salmask_plugin."
    )
    monkeypatch.undo()
    assert sys.modules[package] is before


@pytest.mark.parametrize("name", ["simclr", "adios"])
def test_a_last_batch_of_one_is_refused_before_the_first(name: str) -> None:
    def model() -> Any:
        if name == "simclr":
            return module(MaskedSimCLR, warmup_epochs=0)
        options: dict[str, Any] = {"num_masks": 2, "width": 4, "warmup_epochs": 0, "norm": "none"}
        return ADIOSSimCLR(toy.network(), feature_dim=10, image_size=16, **options)

    def loader(count: int, **options: Any) -> DataLoader[Any]:
        return DataLoader(toy.Pairs(count, 16, 16), batch_size=8, **options)

    refused = model()
    with pytest.raises(ValueError, match=r"last batch of one of the 17 images.* drop_last=True"):
        toy.trainer().fit(refused, loader(17))
    assert refused.trainer.global_step == 0
    toy.trainer().fit(model(), loader(17, drop_last=True))
    toy.trainer(limit_train_batches=2).fit(model(), loader(17))
    toy.trainer(max_steps=2).fit(model(), loader(17))
    toy.trainer().fit(model(), loader(18))


@pytest.mark.parametrize(
    ("method", "options", "words"),
    [
        (MaskedMoCoV2, {"projection_batch_norm": "no"}, "projection_batch_norm='no' must be True"),
        (MaskedMoCoV2, {"queue_size": 8.0}, r"queue_size=8\.0 must be a whole number"),
        (MaskedMoCoV2, {"momentum": "0.9"}, "momentum='0.9' must be a number"),
        (MaskedMoCoV2, {"warmup_epochs": -1}, "warmup_epochs=-1 must be at least 0"),
        (MaskedMoCoV2, {"split_batch_size": 1}, "group_size=1"),
        (MaskedMoCoV2, {"learning_rate": float("nan")}, "learning_rate=nan"),
        (MaskedSimCLR, {"projection_hidden_dim": 0}, "projection_hidden_dim=0 must be at least 1"),
        (MaskedSimCLR, {"projection_dim": 2.5}, r"projection_dim=2\.5 must be a whole number"),
        (MaskedSimCLR, {"feature_dim": "10"}, "feature_dim='10' must be a whole number"),
        (MaskedSimCLR, {"trust_coefficient": 0}, "trust_coefficient=0 must be above 0"),
        (MaskedSimCLR, {"seed": 1.5}, r"seed=1\.5 must be a whole number"),
        (MaskedSimCLR, {"query_index": True}, "query_index=True must be 0 or 1"),
        (MaskedSimCLR, {"warm_up": SaliencyWarmUp}, "warm_up=SaliencyWarmUp, a class, must be"),
        (
            MaskedSimCLR,
            {"negative_encoding": NegativeEncoding},
            "negative_encoding=.* a class",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(
    method: Any, options: dict[str, Any], words: str
) -> None:
    settings = {"feature_dim": 10, "masking": toy.masking()} | options
    with pytest.raises(ValueError, match=words):
        method(toy.network(), **settings)


@pytest.mark.parametrize(
    ("method", "needed"),
    [
        (MaskedMoCoV2, {}),
        (MaskedSimCLR, {}),
        (ADIOSMoCoV2, {"image_size": 32}),
        (ADIOSSimCLR, {"image_size": 32}),
        (SupervisedClassifier, {"num_classes": 3}),
    ],
)
@pytest.mark.parametrize("backbone", [None, "resnet18", nn.Identity])
def test_what_is_no_network_is_refused(method: Any, needed: Any, backbone: Any) -> None:
    with pytest.raises(ValueError, match=r"backbone=.* must be an nn\.Module"):
        method(backbone, feature_dim=10, **needed)


@pytest.mark.parametrize("method", [ADIOSMoCoV2, ADIOSSimCLR])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"occluder_updates_statistics": "no"}, "occluder_updates_statistics='no' must be True"),
        ({"learning_rate": float("nan")}, "learning_rate=nan must be at least 0"),
        ({"weight_decay": "0"}, "weight_decay='0' must be a number"),
        ({"warmup_epochs": 2.5}, r"warmup_epochs=2\.5 must be a whole number"),
        ({"image_size": 32.5}, "image_size="),
    ],
)
def test_settings_of_adios_are_refused_by_name(
    method: Any, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        method(toy.network(), **({"feature_dim": 10, "image_size": 32, "width": 8} | options))


def test_labels_that_are_no_classes_are_refused() -> None:
    images = torch.rand(6, 3, 8, 8)
    for labels in (torch.rand(6), torch.zeros(6, 2).long()):
        loader = DataLoader(TensorDataset(images, labels), batch_size=3)
        with pytest.raises(ValueError, match=r"labels are torch.* classes are whole numbers"):
            knn_evaluation(nn.Flatten(), loader, loader, num_classes=2, k=2)
