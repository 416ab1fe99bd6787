"""Whose turn draws which masks, what stands still on it, and which forward updates statistics."""

from __future__ import annotations

from typing import Any

import lightly_toy as toy
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from salmask_plugin.adapters.lightly.adios_moco import ADIOSMoCoV2
from salmask_plugin.adapters.lightly.adios_simclr import ADIOSSimCLR
from salmask_plugin.seeding import step_generator

SIZE, BATCH, BATCHES, MASKS = (16, 32), 8, 4, 3
BOTH = pytest.mark.parametrize("make", [ADIOSSimCLR, ADIOSMoCoV2])


def model(make: Any, **options: Any) -> Any:
    torch.manual_seed(7)
    own = {"queue_size": 24, "split_batch_size": None} if make is ADIOSMoCoV2 else {}
    settings: dict[str, Any] = {
        "feature_dim": 10,
        "image_size": SIZE,
        "num_masks": MASKS,
        "width": 8,
        "projection_dim": 5,
        "warmup_epochs": 0,
        "seed": 5,
    }
    return make(toy.network(), **(settings | own | options))


def fit(module: Any) -> None:
    pairs = toy.Pairs(BATCH * BATCHES, *SIZE)
    toy.trainer(1).fit(module, DataLoader(pairs, batch_size=BATCH))


@BOTH
def test_the_encoders_masks_are_a_steps_first_draw_and_the_occluders_its_second(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = model(make)
    choose, found = module.game.choose, []

    def watch(masks: Tensor, generator: torch.Generator) -> list[Tensor]:
        choices = choose(masks, generator)
        found.append(("occluder" if masks.requires_grad else "encoder", choices[0].tolist()))
        return choices

    monkeypatch.setattr(module.game, "choose", watch)
    fit(module)
    expected = []
    for step in range(BATCHES):
        generator = step_generator(5, 0, step)
        for player in ("encoder", "occluder"):
            drawn = torch.randint(MASKS, (BATCH,), generator=generator).tolist()
            expected.append((player, drawn))
    assert found == expected


@BOTH
@pytest.mark.parametrize("masks_per_step", ["one", "all"])
def test_what_makes_the_masks_learns_on_the_occluders_turn_alone(
    make: Any, masks_per_step: str
) -> None:
    """A factor on the masks that no optimiser knows: nothing reaches it from the encoder's loss."""
    module = model(make, masks_per_step=masks_per_step)
    factor = torch.ones((), requires_grad=True)
    module.occluder.register_forward_hook(lambda *args: args[2] * factor)
    turns: list[bool] = []

    def watch(*_: Any) -> None:
        turns.append(factor.grad is not None)
        factor.grad = None

    configure = module.configure_optimizers

    def configured() -> Any:
        optimizers, schedules = configure()
        for optimizer in optimizers:
            optimizer.register_step_pre_hook(watch)
        return optimizers, schedules

    module.configure_optimizers = configured
    fit(module)
    assert turns == [False, True] * BATCHES


@BOTH
def test_one_masked_forward_per_batch_updates_statistics_another_each_time(make: Any) -> None:
    module = model(make, masks_per_step="all")
    networks = [module.backbone, *([module.key_backbone] if make is ADIOSMoCoV2 else [])]
    found: list[list[int]] = []
    for network in networks:
        counts = [0]
        updates: list[int] = []

        def watch(layer: Any, *_: Any, counts: list[int] = counts, updates: Any = updates) -> None:
            counts.append(int(layer.num_batches_tracked))
            updates.append(counts[-1] - counts[-2])

        network[1].register_forward_hook(watch)
        found.append(updates)
    fit(module)
    # Clean, then the masks in order; on the occluder's turn nothing.
    own = [[1, *(int(step % MASKS == mask) for mask in range(MASKS))] for step in range(BATCHES)]
    occluders = [0] * (MASKS if make is ADIOSMoCoV2 else MASKS + 1)
    assert found[0] == [update for turn in own for update in (*turn, *occluders)]
    if make is ADIOSMoCoV2:
        assert found[1] == [update for turn in own for update in turn]
