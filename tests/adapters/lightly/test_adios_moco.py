"""ADIOSMoCoV2 against the two steps written out, its queue, and its key encoder."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import lightly_toy as toy
import pytest
import torch
import torchvision
from lightly.models.utils import update_momentum
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly.adios_moco import ADIOSMoCoV2
from salmask_plugin.adapters.lightly.batch_norm import GroupedBatchNorm
from salmask_plugin.adios.lars import ClippedLARS

SIZE = (16, 32)


def model(backbone: nn.Module | None = None, **options: Any) -> ADIOSMoCoV2:
    torch.manual_seed(7)
    settings: dict[str, Any] = {
        "feature_dim": 10,
        "image_size": SIZE,
        "num_masks": 3,
        "width": 8,
        "projection_dim": 5,
        "queue_size": 24,
        "split_batch_size": None,
        "warmup_epochs": 0,
    } | options
    return ADIOSMoCoV2(backbone or toy.network(), **settings)


def batches(count: int = 24, size: tuple[int, int] = SIZE, batch_size: int = 8) -> DataLoader[Any]:
    return DataLoader(toy.Pairs(count, *size), batch_size=batch_size, drop_last=True)


def fit(module: ADIOSMoCoV2, epochs: int = 1, **options: Any) -> Trainer:
    trainer = toy.trainer(epochs, **options)
    trainer.fit(module, batches())
    return trainer


def parameters(module: nn.Module) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def info_nce(query: Tensor, key: Tensor, queue: Tensor) -> Tensor:
    query, key = F.normalize(query), F.normalize(key)
    logits = torch.cat(((query * key).sum(1, keepdim=True), query @ queue.T), 1) / 0.2
    return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.long))


def test_full_adios_is_the_two_steps_written_out() -> None:
    # Without BatchNorm groups the shuffle of the keys changes nothing but rounding.
    module = model(masks_per_step="all", sparsity=0.5, learning_rate=0.1, momentum=0.9)
    oracle = copy.deepcopy(module)
    fit(module)

    networks = [*oracle.backbone.parameters(), *oracle.projection_head.parameters()]
    encoder = torch.optim.SGD(networks, lr=0.1, momentum=0.9, weight_decay=1e-4)
    occluder = ClippedLARS(oracle.occluder.parameters(), lr=0.12952, weight_decay=1e-5)
    queue = oracle.queue.bank.clone()

    def query(images: Tensor) -> Tensor:
        return oracle.projection_head(oracle.backbone(images).flatten(1))

    @torch.no_grad()
    def key(images: Tensor) -> Tensor:
        return oracle.key_projection_head(oracle.key_backbone(images).flatten(1))

    def mean_term(x1: Tensor, x2: Tensor, masks: Tensor) -> Tensor:
        total = torch.zeros(())
        for n in range(3):
            occluded = x2 * (1 - masks[:, n : n + 1])
            total = total + info_nce(query(x1), key(occluded), queue) / 2
            total = total + info_nce(query(occluded), key(x1), queue) / 2
        return total / 3

    for index, ((x1, x2), _) in enumerate(batches()):
        for player, rate in ((encoder, 0.1), (occluder, 0.12952)):
            player.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * index / 3)) / 2
        update_momentum(oracle.backbone, oracle.key_backbone, m=0.9)
        update_momentum(oracle.projection_head, oracle.key_projection_head, m=0.9)
        encoder.zero_grad()
        mean_term(x1, x2, oracle.occluder(x2).detach()).backward()
        encoder.step()
        masks = oracle.occluder(x2)
        value = mean_term(x1, x2, masks)
        value = value - 0.5 * (1 / torch.sin(torch.pi * masks.mean((2, 3)))).mean(0).sum()
        occluder.zero_grad()
        (-value).backward()
        occluder.step()
        queue[8 * index : 8 * index + 8] = F.normalize(key(x1))

    torch.testing.assert_close(parameters(module), parameters(oracle), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(module.queue.bank, queue, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("masks_per_step", "played"), [("one", 1), ("all", 3)])
def test_forwards_and_statistics_per_batch(masks_per_step: str, played: int) -> None:
    for update, statistics in ((False, 2), (True, 2 + played)):
        module = model(masks_per_step=masks_per_step, occluder_updates_statistics=update)
        online: list[bool] = []
        keys: list[bool] = []
        module.backbone.register_forward_hook(lambda *a, c=online: c.append(a[2].requires_grad))
        module.key_backbone.register_forward_hook(lambda *a, c=keys: c.append(a[2].requires_grad))
        fit(module)
        # The occluder's turn encodes occluded queries alone: the clean key is still valid.
        assert online == [True] * 3 * (1 + 2 * played)
        assert keys == [False] * 3 * (1 + played)
        assert int(module.backbone[1].num_batches_tracked) == 3 * statistics
        assert int(module.key_backbone[1].num_batches_tracked) == 3 * 2


def test_keys_are_enqueued_once_after_both_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    module = model(masks_per_step="all")
    start = module.queue.bank.clone()
    seen: list[Tensor] = []
    occluder_term = module._occluder_term

    def watch(*arguments: Tensor) -> Tensor:
        seen.append(module.queue.bank.clone())
        return occluder_term(*arguments)

    monkeypatch.setattr(module, "_occluder_term", watch)
    toy.trainer(1, limit_train_batches=1).fit(module, batches())
    for bank in seen:
        torch.testing.assert_close(bank, start, rtol=0, atol=0)
    assert int(module.queue.bank_ptr) == 8
    assert not torch.equal(module.queue.bank[:8], start[:8])
    torch.testing.assert_close(module.queue.bank[8:], start[8:], rtol=0, atol=0)
    torch.testing.assert_close(module.queue.bank.norm(dim=1), torch.ones(24))


def test_batch_norm_is_split_on_one_device_and_said_once(caplog: pytest.LogCaptureFixture) -> None:
    module = model(split_batch_size=4)
    layers = [m for m in module.modules() if isinstance(m, GroupedBatchNorm)]
    assert [layer.group_size for layer in layers] == [4, 4]
    with caplog.at_level("INFO"):
        fit(module)
    assert caplog.text.count("BatchNorm: split into 2 groups of 4 images") == 1


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    options: dict[str, Any] = {"warmup_epochs": 1, "split_batch_size": 4}
    whole = model(**options)
    fit(whole, epochs=3)

    class Stop(Callback):
        def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
            trainer.should_stop = trainer.current_epoch == 0

    def saving(folder: str, *callbacks: Callback) -> Trainer:
        keep = ModelCheckpoint(tmp_path / folder, filename="{epoch}", save_top_k=-1)
        return toy.trainer(3, callbacks=[*callbacks, keep], enable_checkpointing=True)

    saving("first", Stop()).fit(model(**options), batches())
    resumed = model(**options)
    torch.manual_seed(5)  # key shuffles, which decide BatchNorm's groups, are of the step alone
    resumed.queue.bank.zero_()
    path = str(tmp_path / "first" / "epoch=0.ckpt")
    saving("second").fit(resumed, batches(), ckpt_path=path, weights_only=True)
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_bf16_mixed_trains_both_players() -> None:
    module = model(masks_per_step="all", num_classes=3)
    before = copy.deepcopy(module)
    fit(module, precision="bf16-mixed")
    assert all(parameter.isfinite().all() for parameter in parameters(module))
    for name in ("backbone", "projection_head", "key_backbone", "occluder"):
        pairs = zip(
            getattr(before, name).parameters(), getattr(module, name).parameters(), strict=True
        )
        assert all(not torch.equal(old, new) for old, new in pairs if old.ndim > 1), name
    assert module.queue.bank.dtype == torch.float32


@pytest.mark.parametrize("masks_per_step", ["one", "all"])
def test_resnet18_takes_a_step(masks_per_step: str) -> None:
    backbone = torchvision.models.resnet18()
    backbone.fc = nn.Identity()
    module = model(
        backbone,
        feature_dim=512,
        image_size=64,
        masks_per_step=masks_per_step,
        num_masks=2,
        split_batch_size=2,
    )
    trainer = toy.trainer(1, limit_train_batches=1)
    trainer.fit(module, batches(4, (64, 64), 4))
    assert trainer.callback_metrics["train_loss"].isfinite()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masking": toy.masking()}, "masking must be None for ADIOS"),
        ({"momentum": 1.5}, r"momentum=1.5 must be at least 0 and at most 1"),
        ({"queue_size": 0}, "queue_size=0 must be at least 1"),
        ({"temperature": 0.0}, "temperature=0.0 must be above 0"),
        ({"optimizer": "adam"}, "optimizer='adam' must be one of"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**options)
