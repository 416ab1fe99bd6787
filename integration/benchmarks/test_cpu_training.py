"""The CPU benchmark measures every combination."""

from cpu_training import SIZES, measured


def test_every_combination_is_measured():
    found = measured(rounds=1, batch=2)
    assert len(found) == len(SIZES) * 2 * 2
    assert all(user + system > 0 for user, system in found.values())
