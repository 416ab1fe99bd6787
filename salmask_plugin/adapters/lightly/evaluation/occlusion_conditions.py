"""Under what pictures are hidden: where, by what, how much, and who is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from salmask_plugin.adapters.lightly.evaluation.hidden_cells import FILLS, PLACES, Fill, Place
from salmask_plugin.checks import numbers

Condition = tuple[Place, Fill, float]
Classifier = Literal["linear", "knn"]
CLASSIFIERS: tuple[Classifier, ...] = get_args(Classifier)


def check_conditions(
    shares: Sequence[float],
    fills: Sequence[Fill],
    places: Sequence[Place],
    classifiers: Sequence[Classifier],
    *,
    located: bool,
) -> None:
    """Raise ValueError for conditions that are unknown, or need to know where the object is."""
    if len(set(numbers(shares, "shares", above=0, at_most=1))) < len(shares):
        raise ValueError(f"shares={list(shares)} must each be there once.")
    for name, chosen, known in (
        ("fills", fills, FILLS),
        ("places", places, PLACES),
        ("classifiers", classifiers, CLASSIFIERS),
    ):
        if not chosen or not set(chosen) <= set(known) or len(set(chosen)) < len(chosen):
            raise ValueError(f"{name}={list(chosen)} must be some of {', '.join(known)}, once.")
    if not located and set(places) - {"anywhere"}:
        raise ValueError(f"places={list(places)} needs a localizer, which tells the object.")
