"""Clipped LARS against timm's, and the schedule of batches."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import nn

from salmask_plugin.adios.lars import ClippedLARS
from salmask_plugin.adios.players import Players
from salmask_plugin.adios.schedule import cosine_per_batch


def test_clipped_lars_is_timms_with_trust_clipping() -> None:
    lars = pytest.importorskip("timm.optim.lars").Lars
    torch.manual_seed(1)
    ours = nn.Sequential(nn.Linear(5, 7), nn.LayerNorm(7), nn.Linear(7, 3))
    theirs = copy.deepcopy(ours)
    tensors = [p for p in theirs.parameters() if p.ndim > 1]
    vectors = [p for p in theirs.parameters() if p.ndim == 1]
    oracle = lars(
        [{"params": tensors, "weight_decay": 0.01}, {"params": vectors, "weight_decay": 0.0}],
        lr=0.3,
        momentum=0.9,
        trust_coeff=0.02,
        trust_clip=True,
        eps=1e-8,
    )
    optimizer = ClippedLARS(ours.parameters(), lr=0.3, weight_decay=0.01, trust_coefficient=0.02)
    clipped = []
    for step in range(4):
        generator = torch.Generator().manual_seed(step)
        for size, (mine, other) in enumerate(
            zip(ours.parameters(), theirs.parameters(), strict=True)
        ):
            # From steep, where the trust ratio decides, to flat, where lr does.
            slope = torch.randn(mine.shape, generator=generator) / 20**size
            mine.grad, other.grad = slope, slope.clone()
            clipped.append(bool(0.02 * mine.norm() / slope.norm() > 0.3))
        optimizer.step()
        oracle.step()
    assert len(set(clipped)) == 2
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other)


def test_a_tensor_without_scale_is_left_to_sgd() -> None:
    zero = nn.Parameter(torch.zeros(2, 2))
    flat = nn.Parameter(torch.ones(2, 2))
    optimizer = ClippedLARS([zero, flat], lr=0.5, weight_decay=0.1)
    zero.grad, flat.grad = torch.ones(2, 2), torch.zeros(2, 2)
    optimizer.step()
    torch.testing.assert_close(zero.grad, torch.ones(2, 2))
    torch.testing.assert_close(zero.detach(), torch.full((2, 2), -0.5))
    torch.testing.assert_close(flat.detach(), torch.ones(2, 2))


@pytest.mark.parametrize("name", ["lars", "sgd"])
def test_the_online_classifier_is_at_the_plain_rate(name: Any) -> None:
    players = Players(
        optimizer=name,
        mask_optimizer="lars",
        learning_rate=0.5,
        mask_learning_rate=0.4,
        weight_decay=0.1,
        mask_weight_decay=0.2,
        trust_coefficient=0.02,
        warmup_epochs=0,
        warmup_start=0.003,
    )
    classifier = nn.Linear(2, 2)
    before = classifier.weight.detach().clone()
    (encoder, occluder), schedules = players.configure(
        [nn.Linear(2, 2)],
        nn.Linear(3, 3),
        classifier,
        batches_per_epoch=lambda: 4,
        max_epochs=1,
    )
    assert (encoder.param_groups[0]["lr"], occluder.param_groups[0]["lr"]) == (0.5, 0.4)
    assert encoder.param_groups[0]["weight_decay"] == 0.1
    assert occluder.param_groups[0]["weight_decay"] == 0.2
    assert [schedule.optimizer for schedule in schedules] == [encoder, occluder]
    classifier.weight.grad, classifier.bias.grad = torch.ones(2, 2), torch.ones(2)
    encoder.step()
    torch.testing.assert_close(classifier.weight.detach(), before - 0.5)


def rates(batches: int, **options: Any) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    schedule = cosine_per_batch(optimizer, **({"batches_per_epoch": lambda: 4} | options))
    found = []
    for _ in range(batches):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return [*found, optimizer.param_groups[0]["lr"]]


def test_the_schedule_warms_up_and_falls_to_zero_at_the_last_batch() -> None:
    found = rates(20, max_epochs=5, warmup_epochs=2, warmup_start=0.1)
    for batch in range(8):
        assert found[batch] == pytest.approx(0.1 + 0.3 * batch / 8)
    for batch in range(8, 21):
        expected = 0.4 * (1 + math.cos(math.pi * (batch - 8) / 12)) / 2
        assert found[batch] == pytest.approx(expected, abs=1e-12)
    assert found[20] == pytest.approx(0, abs=1e-12)


def test_without_warm_up_the_first_batch_has_the_full_rate() -> None:
    assert rates(1, max_epochs=5, warmup_epochs=0)[0] == 0.4


def test_the_loader_is_not_asked_before_the_first_batch() -> None:
    def fail() -> int:
        raise AssertionError("asked too early")

    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
    cosine_per_batch(optimizer, batches_per_epoch=fail, max_epochs=5, warmup_epochs=2)


def test_a_resumed_schedule_goes_on() -> None:
    whole = rates(20, max_epochs=5, warmup_epochs=1)

    def make() -> Any:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.4)
        schedule = cosine_per_batch(
            optimizer, batches_per_epoch=lambda: 4, max_epochs=5, warmup_epochs=1
        )
        return optimizer, schedule

    first, schedule = make()
    for _ in range(7):
        first.step()
        schedule.step()
    second, resumed = make()
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    for batch in range(7, 20):
        assert second.param_groups[0]["lr"] == pytest.approx(whole[batch])
        second.step()
        resumed.step()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_epochs": -1}, "max_epochs=-1 must be at least 1"),
        ({"max_epochs": 3, "warmup_epochs": -1}, "warmup_epochs=-1 must be at least 0"),
        ({"max_epochs": 3, "warmup_epochs": 1, "warmup_start": 0.5}, r"must be in \[0, 0.4\]"),
        (
            {"max_epochs": 3, "warmup_epochs": 1, "batches_per_epoch": lambda: math.inf},
            "an epoch of inf batches",
        ),
    ],
)
def test_schedules_without_an_end_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rates(2, **options)


def test_a_warm_up_longer_than_the_run_is_told() -> None:
    with pytest.warns(UserWarning, match="the learning rate only rises"):
        rates(1, max_epochs=3, warmup_epochs=3)


def test_lars_refuses_what_cannot_scale() -> None:
    parameter = nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match=r"trust_coefficient=0.* must be above 0"):
        ClippedLARS([parameter], lr=0.1, trust_coefficient=0)
    with pytest.raises(ValueError, match=r"weight_decay=-1 must be at least 0"):
        ClippedLARS([parameter], lr=0.1, weight_decay=-1)
