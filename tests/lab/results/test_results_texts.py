"""Differences that are written by hand in the texts, held against the kept records."""

from __future__ import annotations

import re
from itertools import product
from pathlib import Path

import pytest
from kept_rows import BLOCKS, cells, difference, values

ROOT = Path(__file__).parents[3]
DIFFERENCE = re.compile(r"([+-]?\d+\.\d+) ± (\d+\.\d+)")
OTHER_RUNS = {("+8.6", "2.7"), ("+8.0", "0.8"), ("+6.7", "6.7"), ("+1.78", "0.60")}
"""Of cells of another size, whose records are gone, and of a row's first three seeds; so said."""
AGAINST = {
    *("none", "none_longer", "masks", "masks_paper", "random", "sparse", "sparse_random"),
    *("other_image", "random_other_image", "crops_most", "crops_apart_anywhere", "smaller_crops"),
}
TEXTS = {
    "README.md": BLOCKS,
    "docs/choosing.md": BLOCKS,
    "docs/results/study.md": BLOCKS,
    **{f"docs/results/{block}/study.md": (block,) for block in BLOCKS},
}


def differences(block: str) -> list[tuple[float, float]]:
    """Mean and half the 95 % interval of every row minus those that texts name, by all measures."""
    rows = values(block).keys()
    pairs = [(one, other) for one, other in product(rows, rows & AGAINST) if one != other]
    return [found for one, other in pairs for found in difference(block, one, other)[1]]


@pytest.mark.parametrize("text", TEXTS)
def test_every_difference_in_a_text_is_one_of_two_rows(text: str) -> None:
    known = [pair for block in TEXTS[text] for pair in differences(block)]
    words = " ".join((ROOT / text).read_text().split())
    written = set(DIFFERENCE.findall(words)) - OTHER_RUNS
    assert len(written) > 5
    unknown = []
    for shown, width in written:
        digits = len(shown.partition(".")[2])
        step = 0.5001 * 10**-digits
        if not any(
            abs((value if shown[0] in "+-" else abs(value)) - float(shown)) <= step
            and abs(half - float(width)) <= step
            for value, half in known
        ):
            unknown.append(f"{shown} ± {width}")
    assert not unknown, f"{text}: {sorted(unknown)} is no difference of two rows of the records"


def test_the_table_of_recipes_says_what_its_rows_gained() -> None:
    page = (ROOT / "docs" / "choosing.md").read_text()
    lines = re.findall(r"^\| .* \| `(\w+)`[^|]* \| ([^|]*) \| ([^|]*) \|$", page, re.M)
    assert len(lines) >= 11
    for row, *shown in lines:
        assert shown == cells(row), row
