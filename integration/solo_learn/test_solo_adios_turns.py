"""ADIOS in solo-learn: whose turn draws which masks, and which forward updates statistics."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from solo_toy import BATCH, make_batch, recipe
from torch import Tensor, nn
from torch.utils.data import DataLoader

from salmask_plugin.seeding import step_generator

pytestmark = [pytest.mark.solo, pytest.mark.filterwarnings("ignore")]

METHODS = ["salmask_adios_simclr", "salmask_adios_mocov2plus"]
BATCHES, MASKS = 4, 3
Make = Callable[[str, str], Any]


@pytest.fixture
def make(build: Callable[..., Any]) -> Make:
    """Return make(method, recipe) -> a method on a small network that logs."""

    def small(method: str, name: str) -> Any:
        node = recipe(name, num_masks=MASKS, width=8)
        model = build(method, node, proj_hidden_dim=9, proj_output_dim=5)
        torch.manual_seed(1)
        model.backbone = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Conv2d(6, 512, 3, stride=2, padding=1),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        if hasattr(model, "momentum_backbone"):
            model.momentum_backbone = copy.deepcopy(model.backbone).requires_grad_(False)
        del model.log, model.log_dict
        return model

    return small


def fit(model: Any) -> None:
    from lightning.pytorch import Trainer

    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    batches = [make_batch(seed) for seed in range(BATCHES)]
    trainer.fit(model, DataLoader(batches, batch_size=None))  # type: ignore[arg-type]


@pytest.mark.parametrize("method", METHODS)
def test_the_encoders_masks_are_a_steps_first_draw_and_the_occluders_its_second(
    make: Make, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = make(method, "adios_s")
    choose, found = model.game.choose, []

    def watch(masks: Tensor, generator: torch.Generator) -> list[Tensor]:
        choices = choose(masks, generator)
        found.append(("occluder" if masks.requires_grad else "encoder", choices[0].tolist()))
        return choices

    monkeypatch.setattr(model.game, "choose", watch)
    fit(model)
    expected = []
    for step in range(BATCHES):
        generator = step_generator(int(model.cfg.seed), 0, step)
        for player in ("encoder", "occluder"):
            expected.append((player, torch.randint(MASKS, (BATCH,), generator=generator).tolist()))
    assert found == expected


@pytest.mark.parametrize("method", METHODS)
def test_one_masked_forward_per_batch_updates_statistics_another_each_time(
    make: Make, method: str
) -> None:
    model = make(method, "adios")
    counts: list[int] = [0]
    updates: list[int] = []

    def watch(layer: Any, *_: Any) -> None:
        counts.append(int(layer.num_batches_tracked))
        updates.append(counts[-1] - counts[-2])

    model.backbone[1].register_forward_hook(watch)
    fit(model)
    # Clean, then the masks in order; on the occluder's turn nothing.
    occluders = [0] * (MASKS + 1 if method == "salmask_adios_simclr" else MASKS)
    expected = [
        [1, *(int(step % MASKS == mask) for mask in range(MASKS)), *occluders]
        for step in range(BATCHES)
    ]
    assert updates == [update for turn in expected for update in turn]


@pytest.mark.parametrize("name", ["adios", "adios_s"])
@pytest.mark.parametrize("method", METHODS)
def test_what_makes_the_masks_learns_on_the_occluders_turn_alone(
    make: Make, method: str, name: str
) -> None:
    """A factor on the masks that no optimiser knows: nothing reaches it from the encoder's loss."""
    model = make(method, name)
    factor = torch.ones((), requires_grad=True)
    model.occluder.register_forward_hook(lambda *args: args[2] * factor)
    turns: list[bool] = []

    def watch(*_: Any) -> None:
        turns.append(factor.grad is not None)
        factor.grad = None

    configure = model.configure_optimizers

    def configured() -> Any:
        optimizers, schedules = configure()
        for optimizer in optimizers:
            optimizer.register_step_pre_hook(watch)
        return optimizers, schedules

    model.configure_optimizers = configured
    fit(model)
    assert turns == [False, True] * BATCHES
