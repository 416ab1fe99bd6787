"""One of several kinds per image, drawn with given probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from salmask_plugin.checks import numbers
from salmask_plugin.types import check_part


def check_kinds(role: str, kinds: Any, weights: Any) -> tuple[tuple[Any, ...], tuple[float, ...]]:
    """Return the kinds and their weights as tuples.

    Args:
        role: of the kinds, "sampler" or "fill"; their argument is its plural.
        kinds: the parts to choose from.
        weights: their probabilities, in the same order.

    Raises:
        ValueError: if either is no list, a kind cannot play the role, or the weights are not one
            per kind, non-negative, with the sum 1.
    """
    for name, value in ((f"{role}s", kinds), ("weights", weights)):
        if not isinstance(value, Sequence):
            raise ValueError(f"{name}={value!r:.80} must be a list, one per kind.")
    kinds = tuple(kinds)
    for index, kind in enumerate(kinds):
        check_part(kind, role, f"{role}s[{index}]")
    if not kinds or len(kinds) != len(weights):
        raise ValueError(
            f"weights={tuple(weights)} must have one entry per {role}; there are {len(kinds)} "
            f"{role}s."
        )
    weights = numbers(weights, "weights", at_least=0)
    if abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"weights={weights} must sum to 1.")
    return kinds, weights


def kinds_of(part: Any) -> Iterator[Any]:
    """Yield a part, and what a mixture chooses from, and what a mixture in it chooses from."""
    yield part
    for kind in (*getattr(part, "samplers", ()), *getattr(part, "fills", ())):
        yield from kinds_of(kind)


def choose(draw: Tensor, weights: Sequence[float], made: Sequence[Tensor]) -> Tensor:
    """Take each image from one of the kinds' results, which broadcast to one another.

    Args:
        draw: (B, 1, 1, 1) in [0, 1).
        weights: of the kinds.
        made: what each kind made, (B, C, h, w).
    """
    *boundaries, _ = accumulate(weights)
    chosen = made[-1]
    for result, boundary in zip(reversed(made[:-1]), reversed(boundaries), strict=True):
        chosen = torch.where(draw < boundary, result, chosen)
    return chosen
