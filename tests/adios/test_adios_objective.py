"""Penalty, entropy and contrastive terms, against the paper's numbers and hand loops."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from salmask_plugin.adios import (
    area_entropy,
    moco_occluder_term,
    moco_term,
    nt_xent,
    occluder_regularizer,
    sparsity_penalty,
)


def penalty(area: float, dtype: torch.dtype = torch.float32, **options: float) -> float:
    return float(sparsity_penalty(torch.full((3, 1), area, dtype=dtype), **options))


@pytest.mark.parametrize(
    ("area", "value"), [(0.5, 1.0), (0.25, 1.41), (1 / 6, 2.0), (0.05, 6.4), (0.01, 31.8)]
)
def test_penalty_has_the_values_of_the_specification(area: float, value: float) -> None:
    digits = 1 if value > 5 else 2
    assert round(penalty(area), digits) == value
    assert penalty(1 - area) == pytest.approx(penalty(area), rel=1e-5)


def test_penalty_is_averaged_over_images_and_kept_per_mask() -> None:
    areas = torch.tensor([[0.5, 0.25, 0.25], [1 / 6, 1 / 6, 2 / 3]])
    expected = torch.tensor(
        [
            sum(1 / math.sin(math.pi * float(area)) for area in areas[:, slot]) / 2
            for slot in range(3)
        ]
    )
    torch.testing.assert_close(sparsity_penalty(areas), expected, rtol=1e-5, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("area", [0.0, 1.0])
def test_an_empty_or_full_mask_costs_much_but_stays_finite(area: float, dtype: torch.dtype) -> None:
    areas = torch.full((2, 3), area, dtype=dtype, requires_grad=True)
    value = sparsity_penalty(areas).sum()
    # The sine of float32's pi is negative: without care, a full mask would be rewarded.
    assert float(value.detach()) == pytest.approx(3e6, rel=1e-3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(sparsity_penalty(areas).sum(), value, rtol=0, atol=0)
    if dtype in (torch.float32, torch.float64):
        value.backward()
        assert areas.grad is not None
        assert areas.grad.isfinite().all()
        # Away from the edge: an empty mask grows, a full one shrinks.
        assert (areas.grad.sign() == (-1 if area == 0 else 1)).all()


def test_penalty_refuses_an_eps_that_cannot_hold() -> None:
    with pytest.raises(ValueError, match=r"eps=0\.0 must be at least 1e-12 and finite"):
        penalty(0.5, eps=0.0)


def test_area_entropy_is_the_released_sum() -> None:
    areas = torch.tensor([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]], dtype=torch.float64)
    expected = 0.0
    for row in areas.tolist():
        total = sum(math.exp(area) for area in row)
        shares = [math.exp(area) / total for area in row]
        expected += sum(share * math.log(share) for share in shares)
    assert float(area_entropy(areas)) == pytest.approx(expected)


def test_maximising_a_positive_entropy_weight_makes_areas_unequal() -> None:
    equal = torch.full((2, 4), 0.25)
    unequal = torch.tensor([[0.7, 0.1, 0.1, 0.1]] * 2)
    assert area_entropy(unequal) > area_entropy(equal)
    assert float(area_entropy(equal)) == pytest.approx(-2 * math.log(4))


def test_the_regularizer_covers_all_masks() -> None:
    areas = torch.tensor([[0.5, 0.25, 0.25]])
    value = float(occluder_regularizer(areas, sparsity=0.75))
    assert value == pytest.approx(-0.75 * (1 + 2 * math.sqrt(2)), rel=1e-4)
    with_entropy = float(occluder_regularizer(areas, sparsity=0.75, entropy=0.5))
    assert with_entropy - value == pytest.approx(0.5 * float(area_entropy(areas)), rel=1e-5)


def nt_xent_by_hand(out0: Tensor, out1: Tensor, temperature: float) -> float:
    rows = [F.normalize(row, dim=0) for row in (*out0, *out1)]
    batch, losses = len(out0), []
    for i, row in enumerate(rows):
        logits = {j: float(row @ rows[j]) / temperature for j in range(2 * batch) if j != i}
        total = sum(math.exp(value) for value in logits.values())
        losses.append(-math.log(math.exp(logits[(i + batch) % (2 * batch)]) / total))
    return sum(losses) / len(losses)


def test_nt_xent_equals_a_loop_over_rows(generator: torch.Generator) -> None:
    out0, out1 = torch.randn((2, 4, 7), generator=generator, dtype=torch.float64)
    expected = nt_xent_by_hand(out0, out1, 0.3)
    assert float(nt_xent(out0, out1, temperature=0.3)) == pytest.approx(expected)


def test_nt_xent_is_float32_under_bf16(generator: torch.Generator) -> None:
    out0, out1 = torch.randn((2, 4, 7), generator=generator)
    plain = nt_xent(out0, out1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(nt_xent(out0, out1), plain, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("out0", "out1"), [((1, 7), (1, 7)), ((4, 7), (5, 7)), ((2, 4, 7), (2, 4, 7))]
)
def test_nt_xent_refuses_what_it_cannot_contrast(
    out0: tuple[int, ...], out1: tuple[int, ...]
) -> None:
    with pytest.raises(ValueError, match=r"\(B, D\), B >= 2"):
        nt_xent(torch.zeros(out0), torch.zeros(out1))


def nce_by_hand(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> float:
    losses = []
    for q, k in zip(F.normalize(query), F.normalize(key), strict=True):
        logits = torch.cat(((q @ k)[None], F.normalize(queue) @ q)) / temperature
        losses.append(float(logits.logsumexp(0) - logits[0]))
    return sum(losses) / len(losses)


def test_moco_term_is_the_mean_of_both_directions(generator: torch.Generator) -> None:
    q1, k1, q2, k2 = torch.randn((4, 5, 7), generator=generator, dtype=torch.float64)
    queue = torch.randn((11, 7), generator=generator, dtype=torch.float64)
    expected = (nce_by_hand(q1, k2, queue, 0.2) + nce_by_hand(q2, k1, queue, 0.2)) / 2
    assert float(moco_term(q1, k1, q2, k2, queue)) == pytest.approx(expected)


def test_the_occluders_part_has_the_whole_terms_gradient(generator: torch.Generator) -> None:
    q1, k1, q2, k2 = torch.randn((4, 5, 7), generator=generator)
    queue = torch.randn((11, 7), generator=generator)
    q2.requires_grad_()
    (whole,) = torch.autograd.grad(moco_term(q1, k1, q2, k2, queue), q2)
    (part,) = torch.autograd.grad(moco_occluder_term(q2, k1, queue), q2)
    torch.testing.assert_close(part, whole)
