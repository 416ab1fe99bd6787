"""InfoNCE with hard negatives by hand: one query, one logit at a time, float64 Python numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence

Vector = Sequence[float]


def cosine(one: Vector, other: Vector) -> float:
    product = sum(a * b for a, b in zip(one, other, strict=True))
    return product / math.sqrt(sum(a * a for a in one) * sum(b * b for b in other))


def info_nce_by_hand(
    query: Sequence[Vector],
    key: Sequence[Vector],
    negatives: Sequence[Vector],
    hard_negatives: Sequence[Sequence[Vector]] | None,
    *,
    temperature: float = 0.2,
    rho: float = 2.0,
    positive_in_denominator: bool = True,
    bias: float = 0.0,
) -> float:
    """Mean of -log(positive / denominator) over the queries; hard_negatives is (B, M, D)."""
    total = 0.0
    for index, anchor in enumerate(query):
        positive = math.exp(cosine(anchor, key[index]) / temperature)
        denominator = positive if positive_in_denominator else 0.0
        for negative in negatives:
            denominator += math.exp(cosine(anchor, negative) / temperature)
        if hard_negatives is not None:
            for own in hard_negatives[index]:
                denominator += math.exp(rho * cosine(anchor, own) / temperature + bias)
        total -= math.log(positive / denominator)
    return total / len(query)
