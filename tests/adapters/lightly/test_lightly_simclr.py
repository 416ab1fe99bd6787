"""MaskedSimCLR against a SimCLR step written out with lightly's parts."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import lightly_toy as toy
import pytest
import torch
from lightly.loss import NTXentLoss
from lightly.models.modules import SimCLRProjectionHead
from lightly.utils.lars import LARS
from torch import nn
from torch.utils.data import DataLoader

from salmask_plugin import MomentumLocalizer, step_generator
from salmask_plugin.adapters.lightly import HardNegativeNTXentLoss, MaskedSimCLR

pytestmark = pytest.mark.filterwarnings("ignore:The hard negatives dominate")


def model(masking: Any = None, **options: Any) -> MaskedSimCLR:
    torch.manual_seed(7)
    settings: dict[str, Any] = {"feature_dim": 10, "projection_dim": 5, "warmup_epochs": 0}
    return MaskedSimCLR(toy.network(), masking=masking, **(settings | options))


def fixed() -> DataLoader[Any]:
    return DataLoader(toy.Pairs(24), batch_size=8)


def test_the_baseline_is_lightlys_simclr_bit_for_bit() -> None:
    ours = model()
    toy.trainer().fit(ours, fixed())

    torch.manual_seed(7)
    backbone = toy.network()
    head = SimCLRProjectionHead(10, 10, 5)
    criterion = NTXentLoss(temperature=0.2)
    plain = [*backbone[1].parameters(), *head.layers[1].parameters(), *head.layers[4].parameters()]
    plain += [backbone[0].bias, backbone[3].bias]
    plain += [
        layer.bias
        for layer in head.layers
        if isinstance(layer, nn.Linear) and layer.bias is not None
    ]
    ids = {id(p) for p in plain}
    rest = [p for p in (*backbone.parameters(), *head.parameters()) if id(p) not in ids]
    optimizer = LARS(
        [{"params": rest}, {"params": plain, "weight_decay": 0.0}],
        lr=0.3,
        momentum=0.9,
        weight_decay=1e-4,
        trust_coefficient=0.02,
    )
    for (x0, x1), _ in fixed():
        loss = criterion(head(backbone(x0)), head(backbone(x1)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    for (name, a), b in zip(ours.backbone.named_parameters(), backbone.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7, msg=name)


def test_the_first_view_is_masked_and_its_rows_take_the_hard_negatives() -> None:
    masking = toy.masking(num_negatives=2, view_filter=toy.high_pass())
    module = model(masking, seed=3)
    inputs: list[Any] = []
    module.criterion.register_forward_pre_hook(lambda _, x: inputs.append(x))
    twin = copy.deepcopy(module)
    toy.trainer(limit_train_batches=1).fit(module, fixed())

    (x0, x1), _ = next(iter(fixed()))
    views = masking(x0, x1, step_generator(3, 0, 0))
    assert views.negatives is not None
    project = nn.Sequential(twin.backbone, twin.projection_head)
    out0, out1 = project(views.query), project(views.key)
    with torch.no_grad():
        hard = torch.stack([project(images) for images in views.negatives.unbind(1)], 1)
    for found, expected in zip(inputs[0], (out0, out1, hard), strict=True):
        torch.testing.assert_close(found, expected)
    assert not inputs[0][2].requires_grad


@pytest.mark.parametrize("dropout", [False, True])
def test_hard_negatives_change_no_statistics_and_no_randomness(dropout: bool) -> None:
    settings = {"query": None, "view_filter": None}
    with_negatives, without = model(toy.masking(**settings)), model()
    states = []
    for module in (with_negatives, without):
        if dropout:
            module.backbone.append(nn.Dropout(0.3))
        torch.manual_seed(1)
        toy.trainer(limit_train_batches=1).fit(module, toy.loader())
        states.append(torch.get_rng_state())
    assert torch.equal(*states)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        a, b = (getattr(module.backbone[1], name) for module in (with_negatives, without))
        assert torch.equal(a, b), name


def test_a_waiting_momentum_localizer_gets_the_backbone() -> None:
    plain = nn.Identity()
    waiting = partial(MomentumLocalizer, layer="3", view_filter=plain)
    module = model(toy.masking(localizer=waiting, view_filter=toy.high_pass()))
    localizer = module.step_masking.masking.localizer  # type: ignore[union-attr]
    assert localizer.encoder is module.backbone  # type: ignore[union-attr]
    assert localizer.view_filter is plain  # type: ignore[union-attr]
    toy.trainer().fit(module, toy.loader())


def test_the_loss_gathers_and_has_no_bank() -> None:
    criterion = model().criterion
    assert isinstance(criterion, HardNegativeNTXentLoss)
    assert criterion.gather_distributed
    assert not criterion.has_bank
    assert not any("criterion" in name for name in model().state_dict())


def test_plain_sgd_and_a_head_of_another_width() -> None:
    """Three steps by torch's SGD, the decay added to the gradient by hand."""
    ours = model(optimizer="sgd", learning_rate=0.1, weight_decay=0.01, projection_hidden_dim=7)
    torch.manual_seed(7)
    backbone, head = toy.network(), SimCLRProjectionHead(10, 7, 5)
    criterion = NTXentLoss(temperature=0.2)
    named = [*backbone.named_parameters(), *head.named_parameters()]
    speeds = [torch.zeros_like(value) for _, value in named]
    toy.trainer().fit(ours, fixed())
    for (x0, x1), _ in fixed():
        loss = criterion(head(backbone(x0)), head(backbone(x1)))
        gradients = torch.autograd.grad(loss, [value for _, value in named])
        with torch.no_grad():
            for (_, value), speed, gradient in zip(named, speeds, gradients, strict=True):
                decay = 0.01 if value.ndim > 1 else 0.0  # not on biases and norms
                speed.mul_(0.9).add_(gradient + decay * value)
                value.sub_(0.1 * speed)
    found = [*ours.backbone.parameters(), *ours.projection_head.parameters()]
    for a, (name, b) in zip(found, named, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, msg=name)


def test_the_online_classifier_is_outside_lars() -> None:
    module = model(num_classes=3)
    module.trainer = toy.trainer(2)
    scaled, plain = module.configure_optimizers()[0][0].param_groups
    ids = {id(p) for p in plain["params"]}
    assert plain["weight_decay"] == 0
    assert scaled["weight_decay"] == 1e-4
    assert all(id(p) in ids for p in module.online_classifier.parameters())  # type: ignore[union-attr]
    toy.trainer().fit(module, toy.loader())


def test_misuse_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match="weight_decay=0"):
        model(weight_decay=0)
    with pytest.raises(ValueError, match="weight_decay=-1"):
        model(weight_decay=-1, optimizer="sgd")
    with pytest.raises(ValueError, match="optimizer='adam'"):
        model(optimizer="adam")
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    single = MaskedSimCLR(pooling, feature_dim=3, warmup_epochs=0)
    with pytest.raises(ValueError, match="batch of 1"):
        toy.trainer().fit(single, DataLoader(toy.Pairs(1), batch_size=1))
