"""Intervals, p values and their correction, against tables, definitions and simulation."""

import itertools
import math
import statistics

import numpy as np
import pytest
from scipy import stats

from salmask_plugin.lab.results.statistics import difference, estimate, half_width, holm


def seeds(*values):
    return dict(enumerate(values))


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_interval_and_p_are_those_of_the_paired_t_test(count):
    rng = np.random.default_rng(count)
    run, base = rng.normal(0.5, 0.05, count), rng.normal(0.45, 0.05, count)
    found = difference(seeds(*run), seeds(*base), 0.001)
    theirs = stats.ttest_rel(run, base)
    low, high = theirs.confidence_interval(0.95)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.mean - found.interval == pytest.approx(low)
    assert found.mean + found.interval == pytest.approx(high)


def test_the_same_rule_holds_over_images():
    values = np.random.default_rng(0).normal(size=12)
    low, high = stats.t.interval(0.95, 11, values.mean(), stats.sem(values))
    found = estimate(values.tolist())
    assert found.mean - found.interval == pytest.approx(low)
    assert found.mean + found.interval == pytest.approx(high)


def test_p_and_interval_decide_alike():
    rng = np.random.default_rng(1)
    verdicts = set()
    for _ in range(200):
        run, base = rng.integers(200, 230, (2, 3)) / 1000
        found = difference(seeds(*run), seeds(*base), 0.001)
        assert (found.p < 0.05) == (found.verdict != "undecided")
        verdicts.add(found.verdict)
    assert verdicts == {"above", "below", "undecided"}


@pytest.mark.parametrize("count", [2, 3, 4])
def test_equal_differences_are_known_to_a_step_of_the_measure(count):
    found = difference(seeds(*[0.300] * count), seeds(*[0.299] * count), 0.001)
    # The smallest spread above zero that values in steps can have: one of them lies a step off.
    smallest = statistics.stdev([0.0] * (count - 1) + [0.001])
    assert found.interval == pytest.approx(half_width(smallest, count))
    assert found.verdict == "undecided" if count == 2 else found.interval > 0.0005
    assert difference(seeds(0.3, 0.3), seeds(0.3, 0.3), 0.001).p == 1


def test_a_larger_spread_than_the_steps_is_left_alone():
    pairs = (0.03, 0.02, 0.04)
    found = difference(seeds(*pairs), seeds(0, 0, 0), 0.001)
    expected = 4.30265 * statistics.stdev(pairs) / math.sqrt(3)
    assert found.interval == pytest.approx(expected, rel=1e-5)


def test_without_an_effect_one_pair_of_rows_in_twenty_is_decided_at_most():
    """Two seeds, accuracies in steps of .001: equal differences decide nothing by being equal."""
    rng = np.random.default_rng(0)
    trials = 4000
    pairs = np.rint(rng.normal(0, 14, (trials, 2)))  # in steps
    equal = pairs[:, 0] == pairs[:, 1]
    assert 0.01 < equal.mean() < 0.04
    base = seeds(0.5, 0.5)
    decided = np.array(
        [
            difference(seeds(*(0.5 + pair / 1000)), base, 0.001).verdict != "undecided"
            for pair in pairs
        ]
    )
    assert decided.mean() < 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials)
    near_zero = equal & (np.abs(pairs.mean(1)) <= 6)
    assert near_zero.any()
    assert not decided[near_zero].any()


@pytest.mark.parametrize("values", [(0.25, 0.25), (0.1 + 0.2, 0.3)])
def test_equal_differences_of_an_unknown_resolution_allow_no_interval(values):
    found = difference(seeds(*values), seeds(0.1, 0.1))
    assert (found.interval, found.p, found.verdict) == (None, None, "undecided")


def by_definition(values, place):
    """Closed testing: the largest Bonferroni p of all sets of comparisons that hold this one."""
    others = [other for other in range(len(values)) if other != place]
    sets = [
        (place, *rest)
        for size in range(len(values))
        for rest in itertools.combinations(others, size)
    ]
    return max(min(1.0, len(chosen) * min(values[i] for i in chosen)) for chosen in sets)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_holm_is_closed_testing_with_bonferroni(count):
    rng = np.random.default_rng(count)
    for _ in range(40):
        values = (rng.random(count) ** 3).round(3).tolist()  # ties, and small ones
        expected = [by_definition(values, place) for place in range(count)]
        assert holm(values) == pytest.approx(expected)


def test_holm_of_a_published_example():
    # Four p values, adjusted by hand: 4 x .005, then 3 x .01, 2 x .03, and .04 raised to .06.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
