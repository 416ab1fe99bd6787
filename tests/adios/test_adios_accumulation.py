"""Term by term equals the direct sum; the players touch only themselves, with opposite signs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from salmask_plugin.adios import (
    OcclusionModel,
    accumulate,
    all_slots,
    frozen,
    mask_areas,
    moco_term,
    nt_xent,
    occlude,
    occluder_regularizer,
    random_slots,
    select_masks,
)


class Players(nn.Module):
    """An encoder with BatchNorm and an occluder of 3 masks, in float64."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(4)
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(24, 7),
        )
        self.occluder = OcclusionModel((16, 32), num_masks=3, width=8)
        self.double()

    def losses(self, clean: Tensor, other: Tensor, masks: Tensor) -> list[Tensor]:
        z1 = self.encoder(clean)
        return [
            nt_xent(z1, self.encoder(occlude(other, select_masks(masks, choice))))
            for choice in all_slots(masks)
        ]


@pytest.fixture
def views(make_images: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    images = make_images(10, 16, 32).double()
    return images[:5], images[5:]


def gradients(module: nn.Module) -> list[Tensor | None]:
    return [p.grad.clone() if p.grad is not None else None for p in module.parameters()]


def test_the_encoders_turn_equals_the_direct_sum(views: tuple[Tensor, Tensor]) -> None:
    players, (clean, other) = Players(), views
    masks = players.occluder(other).detach()
    direct = torch.stack(players.losses(clean, other, masks)).sum()
    direct.backward()
    expected = gradients(players.encoder)

    players.zero_grad()
    total = accumulate(
        players.encoder(clean),
        [
            lambda z1, choice=choice: nt_xent(
                z1, players.encoder(occlude(other, select_masks(masks, choice)))
            )
            for choice in all_slots(masks)
        ],
    )
    torch.testing.assert_close(total, direct.detach())
    torch.testing.assert_close(gradients(players.encoder), expected)
    assert all(gradient is None for gradient in gradients(players.occluder))


def occluders_turn(players: Players, clean: Tensor, other: Tensor, sparsity: float) -> Tensor:
    with frozen(players.encoder):
        with torch.no_grad():
            z1 = players.encoder(clean)
        masks = players.occluder(other)
        terms = [
            lambda m, choice=choice: (
                -nt_xent(z1, players.encoder(occlude(other, select_masks(m, choice))))
            )
            for choice in all_slots(masks)
        ]
        terms.append(lambda m: -occluder_regularizer(mask_areas(m), sparsity=sparsity))
        return accumulate(masks, terms)


def test_the_occluders_turn_equals_the_direct_sum(views: tuple[Tensor, Tensor]) -> None:
    players, (clean, other) = Players(), views
    masks = players.occluder(other)
    direct = torch.stack(players.losses(clean, other, masks)).sum()
    direct = direct + occluder_regularizer(mask_areas(masks), sparsity=0.75)
    (-direct).backward()
    expected = gradients(players.occluder)

    players.zero_grad()
    total = occluders_turn(players, clean, other, 0.75)
    torch.testing.assert_close(total, -direct.detach())
    torch.testing.assert_close(gradients(players.occluder), expected)
    assert all(gradient is None for gradient in gradients(players.encoder))
    assert all(parameter.requires_grad for parameter in players.encoder.parameters())


def test_the_players_pull_the_same_loss_in_opposite_directions(
    views: tuple[Tensor, Tensor],
) -> None:
    players, (clean, other) = Players(), views

    def value() -> float:
        with torch.no_grad():
            return float(torch.stack(players.losses(clean, other, players.occluder(other))).sum())

    before = value()
    occluders_turn(players, clean, other, sparsity=0.0)
    # The gradient of the loss itself, for the sign.
    found = gradients(players.occluder)
    players.zero_grad()
    torch.stack(players.losses(clean, other, players.occluder(other))).sum().backward()
    for mine, theirs in zip(found, gradients(players.occluder), strict=True):
        assert mine is not None
        assert theirs is not None
        torch.testing.assert_close(mine, -theirs)
    encoders = gradients(players.encoder)

    def moved(module: nn.Module, steps: list[Tensor | None]) -> float:
        with torch.no_grad():
            for parameter, step in zip(module.parameters(), steps, strict=True):
                assert step is not None
                parameter -= 1e-3 * step
            after = value()
            for parameter, step in zip(module.parameters(), steps, strict=True):
                assert step is not None
                parameter += 1e-3 * step
        return after

    assert moved(players.occluder, found) > before
    assert moved(players.encoder, encoders) < before


def test_one_drawn_mask_is_the_mean_term_in_expectation(
    views: tuple[Tensor, Tensor], generator: torch.Generator
) -> None:
    # With B = 2 and N = 3 all 9 draws can be listed. It holds where images do not meet: MoCo's term
    # with BatchNorm in evaluation mode. NT-Xent contrasts the images of a batch with each other.
    players, (clean, other) = Players(), (views[0][:2], views[1][:2])
    players.requires_grad_(False)
    players.encoder.eval()
    masks = players.occluder(other)
    queue = torch.randn((9, 7), generator=generator, dtype=torch.float64)
    z1 = players.encoder(clean)

    def term(choice: Tensor) -> Tensor:
        z2 = players.encoder(occlude(other, select_masks(masks, choice)))
        return moco_term(z1, z1 + 1, z2, z2 - 1, queue)

    full = torch.stack([term(choice) for choice in all_slots(masks)]).mean()
    listed = [term(torch.tensor([a, b])) for a in range(3) for b in range(3)]
    torch.testing.assert_close(torch.stack(listed).mean(), full)
    drawn = torch.stack([term(random_slots(masks, generator)[0]) for _ in range(300)])
    assert abs(float(drawn.mean() - full)) < 4 * float(drawn.std()) / 300**0.5


def test_accumulation_keeps_the_activations_of_one_term_alive() -> None:
    weight = torch.ones(4, requires_grad=True)
    alive: list[int] = []
    open_terms = 0

    class Counted(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            nonlocal open_terms
            open_terms += 1
            alive.append(open_terms)
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:
            nonlocal open_terms
            open_terms -= 1
            return gradient

    accumulate(weight * 2, [lambda s: Counted.apply(s).sum() for _ in range(5)])
    assert max(alive) == 1
    torch.testing.assert_close(weight.grad, torch.full((4,), 10.0))


def test_bf16_terms_are_added_in_float32() -> None:
    shared = torch.ones(3, dtype=torch.bfloat16, requires_grad=True)
    seen: list[torch.dtype] = []

    def term(stand_in: Tensor) -> Tensor:
        seen.append(stand_in.dtype)
        return (stand_in * (1 / 512)).sum()

    # In bfloat16, 1 + 1/512 is 1: 512 such gradients would stop growing at a half.
    accumulate(shared * 1.0, [lambda s: s.sum(), *[term] * 512])
    assert set(seen) == {torch.float32}
    assert shared.grad is not None
    torch.testing.assert_close(shared.grad.float(), torch.full((3,), 2.0))


def test_a_hosts_backward_scales_each_term_once() -> None:
    weight = torch.ones(3, requires_grad=True)
    accumulate(
        weight * 3, [lambda s: s.sum(), lambda s: (s * 2).sum()], lambda loss: (8 * loss).backward()
    )
    torch.testing.assert_close(weight.grad, torch.full((3,), 72.0))


def test_frozen_restores_flags_also_after_an_error() -> None:
    module = nn.Linear(2, 2)
    module.bias.requires_grad_(False)

    def play() -> None:
        with frozen(module):
            assert not module.weight.requires_grad
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        play()
    assert module.weight.requires_grad
    assert not module.bias.requires_grad


def test_both_players_learn_in_one_autocast_region_with_its_cache(
    views: tuple[Tensor, Tensor],
) -> None:
    # Autocast keeps half-precision copies of parameters; made without gradient on the other
    # player's turn, they would leave the occluder without any.
    players, (clean, other) = Players().float(), (views[0].float(), views[1].float())
    optimizer = torch.optim.SGD(players.encoder.parameters(), lr=0.5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with frozen(players.occluder):
            masks = players.occluder(other).detach()
            accumulate(
                players.encoder(clean),
                [lambda z: nt_xent(z, players.encoder(occlude(other, masks[:, 0])))],
            )
        optimizer.step()
        occluders_turn(players, clean, other, 0.75)
        inside = gradients(players.occluder)
    players.occluder.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        occluders_turn(players, clean, other, 0.75)
    for mine, fresh in zip(inside, gradients(players.occluder), strict=True):
        assert mine is not None
        torch.testing.assert_close(mine, fresh)
        assert mine.isfinite().all()
