"""Mean and spread over seeds, and the difference to a baseline, paired by seed where possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Summary:
    """Values of several seeds.

    Attributes:
        count: number of values, >= 1.
        mean: their mean.
        spread: sample standard deviation (n - 1), or None for a single value.
    """

    count: int
    mean: float
    spread: float | None


@dataclass(frozen=True)
class Difference:
    """How far a run is from its baseline.

    Attributes:
        mean: run minus baseline; of the pairs where there are any, else of the two means.
        spread: sample standard deviation of the paired differences; None below two pairs.
        pairs: the difference of each seed that both have, by seed; empty without a common seed.
    """

    mean: float
    spread: float | None
    pairs: tuple[float, ...]


def summarize(values: Sequence[float]) -> Summary:
    """Return mean and spread.

    Raises:
        ValueError: if there is no value.
    """
    if not values:
        raise ValueError("values is empty; at least one is needed.")
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(len(values), float(np.mean(values)), spread)


def difference(run: Mapping[int, float], baseline: Mapping[int, float]) -> Difference:
    """Return run minus baseline, from the seeds both have, or else from the two means.

    Pairs share the initialisation and the order of the data, so their differences vary less than
    the values do: the spread of the pairs is the one to judge by.

    Args:
        run: seed -> value, at least one.
        baseline: seed -> value, at least one.
    """
    common = sorted(set(run) & set(baseline))
    if common:
        pairs = tuple(run[seed] - baseline[seed] for seed in common)
        summary = summarize(pairs)
        return Difference(summary.mean, summary.spread, pairs)
    means = [summarize(list(values.values())).mean for values in (run, baseline)]
    return Difference(means[0] - means[1], None, ())
