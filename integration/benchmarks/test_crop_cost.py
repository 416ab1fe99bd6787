"""The benchmark runs; its figures are no test's business on a machine that others use."""

from crop_cost import table


def test_every_path_and_rule_has_a_line():
    lines = table(24, 8, 4, rounds=1, minutes=1)
    found = [tuple(part.strip() for part in line.split("|")[2:4]) for line in lines]
    rules = ("as drawn", "most", "apart")
    assert found == [(path, rule) for rule in rules for path in ("device", "host")]
    assert all(float(line.split("|")[4].split()[0]) > 0 for line in lines)
