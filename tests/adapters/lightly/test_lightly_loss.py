"""The loss against explicit sums, against lightly's own, and its bank."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from lightly.loss import NTXentLoss
from torch import Tensor
from torch.nn.functional import normalize

from salmask_plugin import info_nce
from salmask_plugin.adapters.lightly import HardNegativeNTXentLoss

DIM = 7


def rows(count: int, seed: int, *extra: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, *extra, DIM), generator=generator)


def by_hand(
    out0: Tensor,
    out1: Tensor,
    hard: Tensor,
    bank: Tensor | None,
    *,
    temperature: float,
    rho: float,
    bias: float,
) -> Tensor:
    """Sum exponentials one by one in float64."""
    q, k, t = (normalize(x.double(), dim=-1) for x in (out0, out1, hard))
    losses = []
    for i in range(len(q)):
        own = [torch.exp(rho * (q[i] @ t[i, m]) / temperature + bias) for m in range(t.shape[1])]
        positive = torch.exp(q[i] @ k[i] / temperature)
        if bank is not None:
            others = [torch.exp(q[i] @ n / temperature) for n in bank.double()]
        else:
            others = [
                torch.exp(q[i] @ x[j] / temperature)
                for x in (q, k)
                for j in range(len(q))
                if j != i
            ]
        losses.append(-torch.log(positive / (positive + sum(others) + sum(own))))
    if bank is None:
        for i in range(len(q)):
            positive = torch.exp(k[i] @ q[i] / temperature)
            others = [
                torch.exp(k[i] @ x[j] / temperature)
                for x in (q, k)
                for j in range(len(q))
                if j != i
            ]
            losses.append(-torch.log(positive / (positive + sum(others))))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("bank_size", [0, (12, DIM)])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(("temperature", "rho", "bias"), [(0.2, 2.0, 0.0), (0.5, 0.7, -1.3)])
def test_values_and_gradients_equal_explicit_sums(
    bank_size: int | tuple[int, int], count: int, temperature: float, rho: float, bias: float
) -> None:
    criterion = HardNegativeNTXentLoss(
        temperature=temperature, memory_bank_size=bank_size, rho=rho, hard_negative_bias=bias
    )
    bank = criterion.memory_bank.bank.clone() if bank_size else None
    ours = [rows(5, 1).requires_grad_(), rows(5, 2).requires_grad_(), rows(5, 3, count)]
    theirs = [x.detach().clone().requires_grad_() for x in ours]
    ours[2].requires_grad_()

    loss = criterion(*ours)
    expected = by_hand(*theirs, bank, temperature=temperature, rho=rho, bias=bias)

    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    loss.backward()
    expected.backward()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bank_size", [0, (12, DIM)])
def test_without_hard_negatives_it_is_lightlys_loss_bit_for_bit(
    bank_size: int | tuple[int, int],
) -> None:
    torch.manual_seed(3)
    stock = NTXentLoss(temperature=0.3, memory_bank_size=bank_size)
    torch.manual_seed(3)
    ours = HardNegativeNTXentLoss(temperature=0.3, memory_bank_size=bank_size)
    for step in range(3):
        pairs = [[rows(5, 10 * step + i).requires_grad_() for i in (1, 2)] for _ in range(2)]
        losses = [stock(*pairs[0]), ours(*pairs[1])]
        assert torch.equal(*losses)
        for loss in losses:
            loss.backward()
        for a, b in zip(*pairs, strict=True):
            assert torch.equal(a.grad, b.grad)
    if bank_size:
        assert torch.equal(stock.memory_bank.bank, ours.memory_bank.bank)


def test_a_call_with_hard_negatives_leaves_the_loss_as_it_was() -> None:
    criterion = HardNegativeNTXentLoss()
    before = criterion(rows(4, 1), rows(4, 2))
    criterion(rows(4, 1), rows(4, 2), rows(4, 3))
    assert torch.equal(criterion(rows(4, 1), rows(4, 2)), before)
    assert before.ndim == 0


def test_only_keys_are_enqueued_and_never_seen_by_their_own_batch() -> None:
    criterion = HardNegativeNTXentLoss(memory_bank_size=(12, DIM))
    query, key, hard = rows(5, 1).requires_grad_(), rows(5, 2), rows(5, 3, 2)
    before = criterion.memory_bank.bank.clone()
    criterion(query, key, hard)
    bank = criterion.memory_bank.bank
    assert int(criterion.memory_bank.bank_ptr) == 5
    torch.testing.assert_close(bank[:5], normalize(key, dim=1))
    assert torch.equal(bank[5:], before[5:])


def test_both_directions_in_one_call_are_the_mean_without_own_keys() -> None:
    criterion = HardNegativeNTXentLoss(memory_bank_size=(40, DIM))
    q0, q1 = rows(5, 1).requires_grad_(), rows(5, 2).requires_grad_()
    k0, k1, t0, t1 = (rows(5, seed) for seed in (3, 4, 5, 6))
    fresh = [copy.deepcopy(criterion) for _ in range(2)]
    both = criterion(torch.cat((q0, q1)), torch.cat((k1, k0)), torch.cat((t1, t0)))
    apart = (fresh[0](q0, k1, t1) + fresh[1](q1, k0, t0)) / 2
    torch.testing.assert_close(both, apart)


def test_the_bank_survives_a_checkpoint() -> None:
    first = HardNegativeNTXentLoss(memory_bank_size=(12, DIM))
    first(rows(5, 1).requires_grad_(), rows(5, 2))
    second = HardNegativeNTXentLoss(memory_bank_size=(12, DIM))
    second.load_state_dict(first.state_dict())
    for criterion in (first, second):
        criterion(rows(5, 3).requires_grad_(), rows(5, 4))
    assert torch.equal(first.memory_bank.bank, second.memory_bank.bank)
    assert int(second.memory_bank.bank_ptr) == 10
    assert not HardNegativeNTXentLoss().state_dict()


def test_statistics_are_the_softmax_of_the_logits() -> None:
    criterion = HardNegativeNTXentLoss(0.2, (12, DIM), rho=2.0, hard_negative_bias=-0.4)
    query, key, hard = rows(5, 1).requires_grad_(), rows(5, 2), rows(5, 3, 2)
    q, k, t = (normalize(x, dim=-1) for x in (query, key, hard))
    own = 2.0 * torch.einsum("bd,bmd->bm", q, t) / 0.2 - 0.4
    others = q @ criterion.memory_bank.bank.T / 0.2
    logits = torch.cat(((q * k).sum(1, keepdim=True) / 0.2, others, own), 1)
    share = logits.softmax(1)[:, -2:].sum(1).mean()

    criterion(query, key, hard)
    found = criterion.statistics
    assert found is not None
    torch.testing.assert_close(found.similarity_positive, (q * k).sum(1).mean().detach())
    torch.testing.assert_close(
        found.similarity_hard, torch.einsum("bd,bmd->bm", q, t).mean().detach()
    )
    torch.testing.assert_close(found.hard_negative_share, share.detach())
    criterion(query, key)
    assert criterion.statistics is not None
    assert criterion.statistics.hard_negative_share is None


@pytest.mark.parametrize("bank_size", [0, (12, DIM)])
def test_autocast_changes_nothing(bank_size: int | tuple[int, int]) -> None:
    criterion = HardNegativeNTXentLoss(memory_bank_size=bank_size)
    inputs = [rows(5, seed).bfloat16() for seed in (1, 2, 3)]
    plain = [criterion(*(x.float() for x in inputs[:count])) for count in (2, 3)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = [criterion(*inputs[:count]) for count in (2, 3)]
    assert plain == mixed
    assert mixed[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"rho": float("nan")}, "rho=nan"),
        ({"hard_negative_bias": float("inf")}, "hard_negative_bias=inf"),
    ],
)
def test_bad_settings_are_named(arguments: dict[str, float], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        HardNegativeNTXentLoss(**arguments)


def test_shapes_that_do_not_fit_are_named() -> None:
    criterion = HardNegativeNTXentLoss()
    with pytest.raises(ValueError, match=r"hard_negatives \(4, 7\)"):
        criterion(rows(5, 1), rows(5, 2), rows(4, 3))
    with pytest.raises(ValueError, match=r"out1 \(4, 7\)"):
        criterion(rows(5, 1), rows(4, 2))


def test_a_bank_of_another_width_is_named() -> None:
    criterion = HardNegativeNTXentLoss(memory_bank_size=(12, DIM + 2))
    with pytest.raises(ValueError, match=rf"\({DIM},\).*\({DIM + 2},\).*=\(12, {DIM}\)"):
        criterion(rows(5, 1), rows(5, 2))


def test_a_bank_of_one_process_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightly.utils.dist.world_size", lambda: 2)
    with pytest.raises(ValueError, match="gather_distributed=False"):
        HardNegativeNTXentLoss(memory_bank_size=(12, DIM))(rows(5, 1), rows(5, 2))


@pytest.mark.parametrize("count", [0, 2])
def test_the_strict_form_is_the_cores(count: int) -> None:
    settings = {"temperature": 0.3, "rho": 1.7, "hard_negative_bias": -0.4}
    criterion = HardNegativeNTXentLoss(
        memory_bank_size=(12, DIM), positive_in_denominator=False, **settings
    )
    bank = criterion.memory_bank.bank.clone()
    hard = rows(5, 3, count) if count else None
    ours, theirs = ([rows(5, 1).requires_grad_(), rows(5, 2)] for _ in range(2))
    loss = criterion(*ours, hard)
    expected = info_nce(*theirs, bank, hard, positive_in_denominator=False, **settings)
    torch.testing.assert_close(loss, expected)
    for value in (loss, expected):
        value.backward()
    torch.testing.assert_close(ours[0].grad, theirs[0].grad)


@pytest.mark.parametrize("count", [0, 2])
def test_the_strict_form_without_a_bank_is_the_cores_row_by_row(count: int) -> None:
    """Row i contrasts with the other images of both views: its queue in the core's words."""
    criterion = HardNegativeNTXentLoss(0.3, rho=1.7, positive_in_denominator=False)
    query, key, hard = rows(4, 1), rows(4, 2), rows(4, 3, 2) if count else None
    losses = []
    for one, other, own in ((query, key, hard), (key, query, None)):
        for i in range(4):
            rest = torch.tensor([j for j in range(4) if j != i])
            losses.append(
                info_nce(
                    one[i : i + 1],
                    other[i : i + 1],
                    torch.cat((one[rest], other[rest])),
                    None if own is None else own[i : i + 1],
                    temperature=0.3,
                    rho=1.7,
                    positive_in_denominator=False,
                )
            )
    torch.testing.assert_close(criterion(query, key, hard), torch.stack(losses).mean())


def test_the_strict_form_needs_a_negative_and_stays_finite_near_the_positive() -> None:
    strict = HardNegativeNTXentLoss(0.01, positive_in_denominator=False)
    with pytest.raises(ValueError, match="a batch of 1"):
        strict(rows(1, 1), rows(1, 2))
    # exp(1 / 0.01) overflows float32: subtracting it from the sum would give NaN.
    same = torch.eye(DIM)[:3].requires_grad_()
    loss = strict(same, same.detach())
    torch.testing.assert_close(loss, torch.tensor(math.log(4.0) - 100))
    loss.backward()
    assert same.grad is not None
    assert same.grad.isfinite().all()


def test_the_place_in_the_bank_is_lightlys_through_its_end_and_a_checkpoint() -> None:
    """7 keys into 12 places: the second batch fills the end, its rest is dropped."""
    torch.manual_seed(0)
    stock, ours = (
        kind(memory_bank_size=(12, DIM)) for kind in (NTXentLoss, HardNegativeNTXentLoss)
    )
    ours.memory_bank.bank.copy_(stock.memory_bank.bank)
    for step in range(5):
        for criterion in (stock, ours):
            criterion(rows(7, step).requires_grad_(), rows(7, 10 + step))
        assert torch.equal(stock.memory_bank.bank, ours.memory_bank.bank)
        assert torch.equal(stock.memory_bank.bank_ptr, ours.memory_bank.bank_ptr)
        state, ours = ours.state_dict(), HardNegativeNTXentLoss(memory_bank_size=(12, DIM))
        ours.load_state_dict(state)
        assert ours.memory_bank.place == int(stock.memory_bank.bank_ptr)


@pytest.mark.parametrize(
    "device", ["meta", pytest.param("cuda", marks=pytest.mark.gpu)], ids=["meta", "cuda"]
)
@pytest.mark.parametrize("hard", [False, True])
def test_the_bank_follows_the_embeddings(device: str, hard: bool) -> None:
    """As in lightly's loss, which is built on the CPU and called with embeddings of a GPU."""
    stock = NTXentLoss(memory_bank_size=(12, DIM))  # its bank cannot take keys without values
    assert stock(rows(5, 1).to(device), rows(5, 2).to(device)).device.type == device
    loss = HardNegativeNTXentLoss(memory_bank_size=(12, DIM))
    query, key = rows(5, 1).to(device).requires_grad_(), rows(5, 2).to(device)
    more = [rows(5, 3).to(device)] if hard else []
    for _ in range(2):
        found = loss(query, key, *more)
        found.backward()
    assert found.device.type == device
    assert loss.memory_bank.bank.device.type == device
    assert loss.memory_bank.bank_ptr.device.type == device
    assert loss.memory_bank.place == 10


@pytest.mark.gpu
def test_a_bank_that_moved_is_the_bank_that_never_did() -> None:
    losses = []
    for device in ("cpu", "cuda"):
        torch.manual_seed(3)
        loss = HardNegativeNTXentLoss(memory_bank_size=(12, DIM))
        for step in range(4):
            out = rows(5, step).to(device).requires_grad_(), rows(5, 10 + step).to(device)
            found = loss(*out)
        losses.append((found.cpu(), loss.memory_bank.bank.cpu()))
    for one, other in zip(*losses, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("bank_size", [0, (12, DIM)])
def test_an_empty_batch_is_an_error(bank_size: int | tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"out0 \(0, 7\) has no rows"):
        HardNegativeNTXentLoss(memory_bank_size=bank_size)(rows(0, 1), rows(0, 2))


def test_a_word_is_no_yes() -> None:
    with pytest.raises(ValueError, match="positive_in_denominator='no' must be True or False"):
        HardNegativeNTXentLoss(positive_in_denominator="no")
