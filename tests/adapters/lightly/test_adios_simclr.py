"""ADIOSSimCLR against the two steps written out with direct sums, and its order of events."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightly_toy as toy
import pytest
import torch
import torchvision
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly.adios_simclr import ADIOSSimCLR
from salmask_plugin.adios import mask_areas, nt_xent, sparsity_penalty
from salmask_plugin.adios.lars import ClippedLARS

SIZE = (16, 32)


def model(backbone: nn.Module | None = None, **options: Any) -> ADIOSSimCLR:
    torch.manual_seed(7)
    settings: dict[str, Any] = {
        "feature_dim": 10,
        "image_size": SIZE,
        "num_masks": 3,
        "projection_hidden_dim": 9,
        "projection_dim": 5,
        "warmup_epochs": 0,
    } | options
    return ADIOSSimCLR(backbone or toy.network(), **settings)


def batches(count: int = 24, size: tuple[int, int] = SIZE, batch_size: int = 8) -> DataLoader[Any]:
    return DataLoader(toy.Pairs(count, *size), batch_size=batch_size, drop_last=True)


def fit(module: ADIOSSimCLR, epochs: int = 1, **options: Any) -> Trainer:
    trainer = toy.trainer(epochs, **options)
    trainer.fit(module, batches())
    return trainer


def parameters(module: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_full_adios_is_the_two_steps_written_out() -> None:
    module = model(masks_per_step="all", sparsity=0.5, entropy=0.3, learning_rate=0.2)
    oracle = copy.deepcopy(module)
    fit(module)

    networks = [*oracle.backbone.parameters(), *oracle.projection_head.parameters()]
    encoder = ClippedLARS(networks, lr=0.2, weight_decay=1e-4)
    occluder = ClippedLARS(oracle.occluder.parameters(), lr=0.49876, weight_decay=1e-4)

    def project(images: torch.Tensor) -> torch.Tensor:
        return oracle.projection_head(oracle.backbone(images).flatten(1))

    for index, ((x1, x2), _) in enumerate(batches()):
        for player, rate in ((encoder, 0.2), (occluder, 0.49876)):
            player.param_groups[0]["lr"] = rate * (1 + math.cos(math.pi * index / 3)) / 2
        masks = oracle.occluder(x2).detach()
        total = sum(nt_xent(project(x1), project(x2 * (1 - masks[:, n : n + 1]))) for n in range(3))
        encoder.zero_grad()
        total.backward()
        encoder.step()

        masks = oracle.occluder(x2)
        value = sum(nt_xent(project(x1), project(x2 * (1 - masks[:, n : n + 1]))) for n in range(3))
        areas = masks.mean((2, 3))
        value = value - 0.5 * (1 / torch.sin(torch.pi * areas)).mean(0).sum()
        value = value + 0.3 * (areas.softmax(1) * areas.softmax(1).log()).sum()
        occluder.zero_grad()
        (-value).backward()
        occluder.step()

    torch.testing.assert_close(parameters(module), parameters(oracle), rtol=1e-4, atol=1e-6)


def test_adios_s_plays_one_mask_per_image_drawn_anew_each_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[torch.Tensor] = []
    module = model()
    choose = module.game.choose

    def watch(masks: torch.Tensor, generator: torch.Generator) -> list[torch.Tensor]:
        choices = choose(masks, generator)
        drawn.extend(choices)
        return choices

    monkeypatch.setattr(module.game, "choose", watch)
    fit(module)
    assert len(drawn) == 6  # 3 batches, two turns
    assert len({tuple(choice.tolist()) for choice in drawn}) == 6

    first = list(drawn)
    drawn.clear()
    torch.manual_seed(99)  # the draws are the module's own
    again = model()
    monkeypatch.setattr(again.game, "choose", watch)
    fit(again)
    torch.testing.assert_close(drawn, first)


@pytest.mark.parametrize(("masks_per_step", "played"), [("one", 1), ("all", 3)])
def test_forwards_and_statistics_per_batch(masks_per_step: str, played: int) -> None:
    for update, statistics in ((False, 2), (True, 3 + played)):
        module = model(masks_per_step=masks_per_step, occluder_updates_statistics=update)
        calls: list[bool] = []
        module.backbone.register_forward_hook(lambda *a, c=calls: c.append(a[2].requires_grad))
        fit(module)
        assert len(calls) == 3 * (2 + 2 * played)
        # The clean view of the occluder's turn needs no graph.
        assert sum(calls) == 3 * (1 + 2 * played)
        assert int(module.backbone[1].num_batches_tracked) == 3 * statistics


def test_memory_of_all_masks_is_near_that_of_one() -> None:
    class Saved:
        """A tensor kept for a backward pass; counts the bytes alive."""

        alive = peak = 0

        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor
            Saved.alive += tensor.nbytes
            Saved.peak = max(Saved.peak, Saved.alive)

        def __del__(self) -> None:
            Saved.alive -= self.tensor.nbytes

    def peak(masks_per_step: str) -> int:
        module = model(masks_per_step=masks_per_step, num_masks=6, width=8)
        Saved.alive = Saved.peak = 0
        with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
            fit(module)
        assert Saved.alive == 0
        return Saved.peak

    assert peak("all") < 1.05 * peak("one")


def test_each_turn_steps_its_own_player_alone() -> None:
    module = model(masks_per_step="all")
    moved: list[tuple[bool, bool]] = []

    before: list[list[torch.Tensor]] = []

    def remember(*_: Any) -> None:
        before[:] = [parameters(module.backbone), parameters(module.occluder)]

    def compare(*_: Any) -> None:
        now = [parameters(module.backbone), parameters(module.occluder)]
        changed = [
            any(not torch.equal(a, b) for a, b in zip(old, new, strict=True))
            for old, new in zip(before, now, strict=True)
        ]
        moved.append((changed[0], changed[1]))

    class Watch(Callback):
        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            for optimizer in trainer.optimizers:
                optimizer.register_step_pre_hook(remember)
                optimizer.register_step_post_hook(compare)

    fit(module, callbacks=[Watch()])
    assert moved == [(True, False), (False, True)] * 3
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_the_schedules_count_batches() -> None:
    found: list[list[float]] = []

    class Rates(Callback):
        def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
            found.append([group["lr"] for o in trainer.optimizers for group in o.param_groups])

    module = model(warmup_epochs=1, learning_rate=0.2, mask_learning_rate=0.1)
    trainer = fit(module, epochs=3, callbacks=[Rates()])
    assert trainer.global_step == 18  # twice the batches
    for batch, rates in enumerate(found):
        for rate, largest in zip(rates, (0.2, 0.1), strict=True):
            if batch < 3:
                expected = 0.003 + (largest - 0.003) * batch / 3
            else:
                expected = largest * (1 + math.cos(math.pi * (batch - 3) / 6)) / 2
            assert rate == pytest.approx(expected)


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("masks_per_step", ["one", "all"])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path, masks_per_step: str) -> None:
    options: dict[str, Any] = {"masks_per_step": masks_per_step, "warmup_epochs": 1}
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
    path = str(tmp_path / "first" / "epoch=0.ckpt")
    saving("second").fit(resumed, batches(), ckpt_path=path, weights_only=True)
    assert resumed.steps.batches_seen == 9
    torch.testing.assert_close(resumed.state_dict(), whole.state_dict(), rtol=0, atol=0)


def test_bf16_mixed_trains_both_players() -> None:
    module = model(masks_per_step="all")
    before = parameters(module)
    fit(module, precision="bf16-mixed")
    for old, new in zip(before, parameters(module), strict=True):
        assert new.isfinite().all()
        assert not torch.equal(old, new)


def test_what_is_logged() -> None:
    module = model(num_classes=3, masks_per_step="all")
    start = copy.deepcopy(module)
    trainer = toy.trainer(1, limit_train_batches=1)
    trainer.fit(module, batches())
    logged = trainer.callback_metrics
    (x1, x2), _ = next(iter(batches()))
    masks = start.occluder(x2).detach()
    areas = mask_areas(masks)
    torch.testing.assert_close(logged["mask_ratio"], torch.tensor(1 / 3))
    torch.testing.assert_close(logged["adios_penalty"], sparsity_penalty(areas).sum())
    for slot in range(3):
        torch.testing.assert_close(logged[f"adios_area_{slot}"], areas[:, slot].mean())
    terms = [
        nt_xent(
            start.projection_head(start.backbone(x1)),
            start.projection_head(start.backbone(x2 * (1 - masks[:, n : n + 1]))),
        )
        for n in range(3)
    ]
    expected = torch.stack(terms).mean().detach()
    torch.testing.assert_close(logged["train_loss"], expected)
    assert "train_online_cls_loss" in logged


def test_forward_is_the_backbone_on_clean_images(make_images: Callable[..., Any]) -> None:
    module = model().eval()
    images = make_images(4, 16, 32)
    torch.testing.assert_close(module(images), module.backbone(images).flatten(1))


@pytest.mark.parametrize("masks_per_step", ["one", "all"])
def test_resnet18_takes_a_step(masks_per_step: str) -> None:
    backbone = torchvision.models.resnet18()
    backbone.fc = nn.Identity()
    module = model(
        backbone, feature_dim=512, image_size=32, masks_per_step=masks_per_step, num_masks=2
    )
    trainer = toy.trainer(1, limit_train_batches=1)
    trainer.fit(module, batches(4, (32, 32), 4))
    assert trainer.callback_metrics["train_loss"].isfinite()


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step() -> None:
    images = [torch.full((4, 3, *SIZE), float("nan"))] * 2
    loader = DataLoader([0], collate_fn=lambda _: (images, torch.zeros(4)))  # type: ignore[arg-type]
    with pytest.raises(FloatingPointError, match="batch 0"):
        toy.trainer(1).fit(model(), loader)


def test_a_batch_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="a batch of 1 has no negatives"):
        toy.trainer(1).fit(model(), batches(1, batch_size=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"masking": toy.masking()}, "masking must be None for ADIOS"),
        ({"num_masks": 1}, "num_masks=1 must be at least 2"),
        ({"masks_per_step": "two"}, "masks_per_step='two' must be one of"),
        ({"sparsity": -1.0}, r"sparsity=-1.0 must be at least 0"),
        ({"entropy": float("nan")}, "entropy=nan must be finite"),
        ({"seed": -1}, "seed=-1 must be at least 0"),
        ({"optimizer": "adam"}, "optimizer='adam' must be one of"),
        ({"mask_optimizer": "adam"}, "mask_optimizer='adam' must be one of"),
        ({"image_size": 30}, "divisible by 4"),
    ],
)
def test_bad_settings_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model(**options)
