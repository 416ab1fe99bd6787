"""The benchmark runs; its figures are no test's business on a machine that others use."""

from crop_cost import cache_of, table
from crop_effect import line

from salmask_plugin import GuidedCrops


def test_every_path_and_rule_has_a_line():
    lines = table(24, 8, 4, rounds=1, minutes=1)
    found = [tuple(part.strip() for part in line.split("|")[2:4]) for line in lines]
    rules = ("as drawn", "most", "apart", "apart_anywhere")
    assert found == [(path, rule) for rule in rules for path in ("device", "host")]
    assert all(float(line.split("|")[4].split()[0]) > 0 for line in lines)


def test_guided_views_show_more_or_share_less():
    cached = cache_of(200, 6)
    drawn, most, apart = (
        line(cached, crops, 200)
        for crops in (
            GuidedCrops(cached, 1),
            GuidedCrops(cached, 8),
            GuidedCrops(cached, 8, "apart"),
        )
    )
    assert most[0] > drawn[0]
    assert most[1] > drawn[1]
    assert apart[2] < drawn[2] - 0.05
