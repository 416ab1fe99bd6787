"""Means over seeds and images, paired differences, and the one rule for intervals: Student's t."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
EXPLAINED = "95 % interval of the mean of the paired differences over seeds, Student's t"
"""What the sign ± means wherever rows are compared."""
OF_IMAGES = "95 % interval of the mean over images, Student's t"
"""What it means where a run is measured image by image."""
_NOISE = 1e-6
"""Differences below this part of the values are how they were rounded, not what was measured."""


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

    @property
    def interval(self) -> float | None:
        """Half-width of the 95 % interval of the mean by Student's t; None for a single value."""
        return None if self.spread is None else half_width(self.spread, self.count)


@dataclass(frozen=True)
class Estimate:
    """Mean of a quantity over images.

    Attributes:
        count: images that have a value.
        mean: over them; None without any.
        interval: as a summary's, images independent; None below two images.
    """

    count: int
    mean: float | None
    interval: float | None


@dataclass(frozen=True)
class Difference:
    """How far a run is from its baseline.

    Attributes:
        mean: run minus baseline; of the pairs where there are any, else of the two means.
        spread: sample standard deviation of the paired differences; None below two pairs.
        pairs: the difference of each seed that both have, by seed; empty without a common seed.
        interval: half-width of the 95 % interval of the mean, by Student's t with n - 1 degrees of
            freedom (differences taken as normal). None below two pairs, or where equal differences
            of a measure of unknown resolution allow none.
        p: two-sided p value of the paired t test, None where there is no interval. It is below
            .05 exactly where the interval leaves zero out.
    """

    mean: float
    spread: float | None
    pairs: tuple[float, ...]
    interval: float | None = None
    p: float | None = None

    @property
    def verdict(self) -> str:
        """One of above, below, undecided: the interval holds zero, or there is none."""
        if self.interval is None or not abs(self.mean) > self.interval:
            return "undecided"
        return "above" if self.mean > 0 else "below"


def summarize(values: Sequence[float]) -> Summary:
    """Return mean and spread.

    Raises:
        ValueError: if there is no value.
    """
    if not values:
        raise ValueError("values is empty; at least one is needed.")
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return Summary(len(values), float(np.mean(values)), spread)


def estimate(values: Iterable[float]) -> Estimate:
    """Return mean and interval of the values that are numbers; NaN means an image has none."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return Estimate(0, None, None)
    summary = summarize(known)
    return Estimate(summary.count, summary.mean, summary.interval)


def half_width(spread: float, count: int) -> float:
    """Return the half-width of the 95 % interval of a mean, by Student's t.

    Args:
        spread: sample standard deviation of the values.
        count: of the values, >= 2.
    """
    from scipy.special import stdtrit

    return float(stdtrit(count - 1, (1 + CONFIDENCE) / 2)) * spread / math.sqrt(count)


def difference(
    run: Mapping[int, float], baseline: Mapping[int, float], resolution: float = 0.0
) -> Difference:
    """Return run minus baseline, from the seeds both have, or else from the two means.

    Pairs share the initialisation and the order of the data, so their differences vary less than
    the values do: the interval of the pairs is the one to judge by. A measure that goes in steps
    cannot say that seeds agree better than to a step: the spread counts as at least the smallest
    above zero that such values can have, one step / sqrt(n).

    Args:
        run: seed -> value, at least one.
        baseline: seed -> value, at least one.
        resolution: the measure's step, such as 1 / images for an accuracy; 0 is unknown.
    """
    common = sorted(set(run) & set(baseline))
    if not common:
        means = [summarize(list(values.values())).mean for values in (run, baseline)]
        return Difference(means[0] - means[1], None, ())
    pairs = tuple(run[seed] - baseline[seed] for seed in common)
    summary = summarize(pairs)
    if summary.spread is None:
        return Difference(summary.mean, None, pairs)
    reach = max(abs(values[seed]) for values in (run, baseline) for seed in common)
    known = summary.spread if summary.spread > _NOISE * reach else 0.0
    known = max(known, resolution / math.sqrt(len(pairs)))
    if not known > 0:
        return Difference(summary.mean, summary.spread, pairs)
    from scipy.special import stdtr

    statistic = abs(summary.mean) * math.sqrt(len(pairs)) / known
    p = 2 * float(stdtr(len(pairs) - 1, -statistic))
    return Difference(summary.mean, summary.spread, pairs, half_width(known, len(pairs)), p)


def holm(values: Sequence[float]) -> list[float]:
    """Return p values adjusted for their number by Holm's step-down procedure.

    Deciding by adjusted values below .05 keeps the chance of one false finding or more below 5 %.

    Args:
        values: in [0, 1], in any order; a comparison without a value is 1.
    """
    order = sorted(range(len(values)), key=lambda place: values[place])
    adjusted, highest = [0.0] * len(values), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, (len(values) - rank) * values[place]))
        adjusted[place] = highest
    return adjusted
