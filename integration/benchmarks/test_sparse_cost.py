"""The benchmark runs; its figures are no test's business on a machine that others use."""

from sparse_cost import ratio


def test_a_ratio_is_taken_in_every_round():
    found = ratio("small", 16, 2, fast=False, rounds=2)
    assert len(found) == 2
    assert found[0] > 0
