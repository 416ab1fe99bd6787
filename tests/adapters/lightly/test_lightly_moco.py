"""MaskedMoCoV2 against a MoCo step written out with lightly's parts, and its order of events."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import lightly_toy as toy
import pytest
import torch
from lightly.loss import NTXentLoss
from lightly.models.batchnorm import SplitBatchNorm
from lightly.models.modules import MoCoProjectionHead
from lightly.models.utils import batch_shuffle, batch_unshuffle, update_momentum
from pytorch_lightning import Callback
from torch import nn

from salmask_plugin import HighPassFilter, MomentumLocalizer, step_generator
from salmask_plugin.adapters.lightly import MaskedMoCoV2

# With 24 keys they do; test_lightly_logs.py is about it.
pytestmark = pytest.mark.filterwarnings("ignore:The hard negatives dominate")


def model(masking: Any = None, **options: Any) -> MaskedMoCoV2:
    torch.manual_seed(7)
    settings: dict[str, Any] = {
        "feature_dim": 10,
        "projection_dim": 5,
        "queue_size": 24,
        "split_batch_size": 4,
        "learning_rate": 0.1,
    } | options
    return MaskedMoCoV2(
        settings.pop("backbone", None) or toy.network(), masking=masking, **settings
    )


def written_out(steps: int) -> tuple[nn.Module, NTXentLoss, list[torch.Tensor]]:
    """The baseline in plain PyTorch, with lightly's own parts and its own SplitBatchNorm."""
    torch.manual_seed(7)
    backbone = toy.network()
    backbone[1] = SplitBatchNorm(6, num_splits=2)
    head = MoCoProjectionHead(10, 10, 5)
    key_backbone, key_head = copy.deepcopy(backbone), copy.deepcopy(head)
    criterion = NTXentLoss(temperature=0.2, memory_bank_size=(24, 5), gather_distributed=True)
    parameters = [*backbone.parameters(), *head.parameters()]
    optimizer = torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-4)
    torch.manual_seed(11)
    losses = []
    for (x0, x1), _ in toy.loader():
        query = head(backbone(x0))
        update_momentum(backbone, key_backbone, m=0.999)
        update_momentum(head, key_head, m=0.999)
        with torch.no_grad():
            state = torch.get_rng_state()
            torch.manual_seed(step_generator(0, 2**20, len(losses)).initial_seed())
            shuffled, order = batch_shuffle(x1)
            torch.set_rng_state(state)
            key = batch_unshuffle(key_head(key_backbone(shuffled)), order)
        loss = criterion(query, key)
        losses.append(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if len(losses) == steps:
            break
    return backbone, criterion, losses


class Losses(Callback):
    """Collect the losses, and optionally what the global generator draws next."""

    def __init__(self) -> None:
        self.values: list[torch.Tensor] = []
        self.states: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, *_: Any) -> None:
        self.values.append(outputs["loss"].detach().clone())
        self.states.append(torch.get_rng_state())


def fit(module: MaskedMoCoV2, **options: Any) -> Losses:
    torch.manual_seed(11)
    losses = Losses()
    toy.trainer(callbacks=[losses], **options).fit(module, toy.loader())
    return losses


def test_the_baseline_is_lightlys_moco_bit_for_bit() -> None:
    ours = model()
    losses = fit(ours)
    backbone, criterion, expected = written_out(3)
    assert torch.equal(torch.stack(losses.values), torch.stack(expected))
    for (name, a), b in zip(ours.backbone.named_parameters(), backbone.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert torch.equal(ours.criterion.memory_bank.bank, criterion.memory_bank.bank)


def test_masking_shares_initialisation_and_randomness_with_the_baseline() -> None:
    plain, masked = model(), model(toy.masking(num_negatives=2))
    for (name, a), b in zip(plain.state_dict().items(), masked.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    states = [fit(module).states for module in (plain, masked)]
    for a, b in zip(*states, strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(plain.backbone[0].weight, masked.backbone[0].weight)


def test_a_step_encodes_query_then_averages_then_key_then_negatives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    masking = toy.masking(num_negatives=2)
    module = model(masking)
    events: list[tuple[str, torch.Tensor | None]] = []
    module.backbone.register_forward_pre_hook(lambda _, x: events.append(("query", x[0])))
    module.key_backbone.register_forward_pre_hook(lambda _, x: events.append(("key", x[0])))
    monkeypatch.setattr(
        "salmask_plugin.adapters.lightly.moco.update_momentum",
        lambda *_, m: events.append(("ema", None)),
    )
    statistics: list[torch.Tensor] = []
    key_norm = module.key_backbone[1]
    module.key_backbone.register_forward_hook(
        lambda *_: statistics.append(
            torch.zeros(1) if key_norm.running_mean is None else key_norm.running_mean.clone()
        )
    )
    fit(module, limit_train_batches=1)
    assert [name for name, _ in events] == ["query", "ema", "ema", "key", "key", "key"]

    batch = next(iter_batches())
    views = masking(*batch[0], step_generator(0, 0, 0))
    assert views.negatives is not None
    seen = [images for _, images in events if images is not None]
    assert torch.equal(seen[0], views.query)
    for found, expected in zip(seen[1:], (views.key, *views.negatives.unbind(1)), strict=True):
        assert same_rows(found, expected)
    assert torch.equal(key_norm.running_mean, statistics[0])
    assert len(module.criterion.memory_bank.bank) == 24
    assert int(module.criterion.memory_bank.bank_ptr) == 8


def iter_batches() -> Any:
    torch.manual_seed(11)
    return iter(toy.loader())


def same_rows(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal up to the order of the images."""
    return torch.equal(a.flatten(1).sum(1).sort()[0], b.flatten(1).sum(1).sort()[0])


def test_hard_negatives_come_back_in_the_order_of_their_images() -> None:
    """Without BatchNorm an embedding depends on its image alone: the shuffle must cancel."""
    module = model(toy.masking(num_negatives=2), backbone=toy.network(normalised=False))
    found: list[Any] = []
    module.criterion.register_forward_pre_hook(lambda _, inputs: found.append(inputs))
    fit(module, limit_train_batches=1)
    batch = next(iter_batches())
    views = toy.masking(num_negatives=2)(*batch[0], step_generator(0, 0, 0))
    fresh = model(backbone=toy.network(normalised=False))
    with torch.no_grad():
        expected = [
            fresh.key_projection_head(fresh.key_backbone(images))
            for images in views.negatives.unbind(1)  # type: ignore[union-attr]
        ]
    torch.testing.assert_close(found[0][2], torch.stack(expected, 1), rtol=1e-4, atol=1e-5)
    assert not found[0][2].requires_grad
    assert not found[0][1].requires_grad


def test_a_masked_key_is_contrasted_and_the_query_is_not_masked() -> None:
    module = model(toy.masking(branch="key", negative=None), query_index=1)
    seen: dict[str, torch.Tensor] = {}
    module.backbone.register_forward_pre_hook(lambda _, x: seen.update(query=x[0]))
    module.key_backbone.register_forward_pre_hook(lambda _, x: seen.update(key=x[0]))
    fit(module, limit_train_batches=1)
    x0, x1 = next(iter_batches())[0]
    assert torch.equal(seen["query"], x1)
    assert not same_rows(seen["key"], x0)


def test_the_filter_is_applied_once_in_training_and_in_forward() -> None:
    calls: list[int] = []

    class Counting(HighPassFilter):
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            calls.append(len(images))
            return super().forward(images)

    view_filter = Counting(5, 2.0)
    module = model(toy.masking(query=None, negative=None, view_filter=view_filter))
    seen: list[torch.Tensor] = []
    module.backbone.register_forward_pre_hook(lambda _, x: seen.append(x[0]))
    fit(module, limit_train_batches=1)
    assert calls == [8, 8]
    x0, _ = next(iter_batches())[0]
    plain = HighPassFilter(5, 2.0)
    assert torch.equal(seen[0], plain(x0))
    module.eval()
    features = module(x0)
    assert torch.equal(seen[1], plain(x0))
    assert features.shape == (8, 10)


def test_nothing_of_the_localizer_enters_the_module() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    high_pass = toy.high_pass()
    localizer = MomentumLocalizer(network, "1", high_pass)
    module = model(toy.masking(localizer=localizer, view_filter=high_pass))
    assert module.state_dict().keys() == model().state_dict().keys()
    assert not any(part is network for part in module.modules())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    fit(module)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_waiting_momentum_localizer_gets_the_key_encoder() -> None:
    view_filter = toy.high_pass()
    waiting = partial(MomentumLocalizer, layer="3")
    module = model(toy.masking(localizer=waiting, view_filter=view_filter))
    localizer = module.step_masking.masking.localizer  # type: ignore[union-attr]
    assert isinstance(localizer, MomentumLocalizer)
    assert localizer.encoder is module.key_backbone
    assert localizer.view_filter is view_filter
    assert len(fit(module).values) == 3


def test_only_the_query_encoder_learns_by_gradient() -> None:
    module = model(toy.masking())
    fit(module)
    assert all(not p.requires_grad for p in module.key_backbone.parameters())
    trained = module.configure_optimizers()[0][0].param_groups[0]
    assert trained["weight_decay"] == 1e-4
    assert trained["momentum"] == 0.9
    ids = {id(p) for p in trained["params"]}
    assert ids == {
        id(p) for part in (module.backbone, module.projection_head) for p in part.parameters()
    }


def test_online_classifier_trains_on_clean_features_and_changes_nothing_else() -> None:
    with_classes, without = (
        model(toy.masking(view_filter=toy.high_pass()), num_classes=classes)
        for classes in (3, None)
    )
    fit(without)
    losses = fit(with_classes)
    assert len(losses.values) == 3
    for (name, a), b in zip(
        without.state_dict().items(), with_classes.state_dict().values(), strict=False
    ):
        assert torch.equal(a, b), name
    assert with_classes.online_classifier is not None
    assert with_classes.online_classifier.feature_dim == 10


def test_the_head_may_have_batch_norm() -> None:
    """Off is MoCo v2's head. With it the key's head has the same layers and follows by momentum."""
    plain, normed = model(), model(projection_batch_norm=True)
    for head in (normed.projection_head, normed.key_projection_head):
        kinds = [type(layer) for layer in head.layers]
        assert kinds == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d]
    assert [type(layer) for layer in plain.projection_head.layers] == [
        nn.Linear,
        nn.ReLU,
        nn.Linear,
    ]
    fit(normed)
    before = normed.key_projection_head.layers[1].weight
    assert not torch.equal(before, normed.projection_head.layers[1].weight)
    assert not torch.equal(before, torch.ones_like(before))


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"query_index": 2}, "query_index=2"),
        ({"seed": -1}, "seed=-1"),
        ({"momentum": 1.5}, "momentum=1.5"),
        ({"queue_size": 0}, "queue_size=0"),
    ],
)
def test_bad_settings_are_named(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        model(**options)
