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
CALLED = {
    "[Mm]asks|[Ss]aliency|hidden pictures|Do they help": {"masks"},
    "anywhere|[Cc]hance|minus random": {"random"},
    "another picture|showed one": {"other_image", "random_other_image"},
    "Half of each fill": {"random_mixture"},
    "at once": {"random_other_image_apart"},
    "does not see|not seen": {"sparse", "sparse_random"},
    "own saliency": {"label_free", "label_free_warmup"},
    "hard negatives": {"masks_paper", "none_longer"},
    "[Ll]ess of them|half the side": {"negatives_half_side", "negatives_every_second"},
    "half of the batch|[Ll]ess of them": {"negatives_half_batch"},
    "[Ww]ithout the weight|full weight": {"negatives_unweighted"},
    "more epochs|epochs more": {"none_longer"},
    "overlaps? least": {"crops_apart", "crops_apart_anywhere"},
    "where the object is": {"crops_most"},
    "[Ss]maller crops": {"smaller_crops"},
    "background of the mean|[Oo]ne of the mean": {"background_mean"},
    "background of noise|[Oo]ne of noise": {"background_noise"},
    "background of another|[Oo]ne of another": {"background_swap"},
}
"""How texts call rows where they do not name them."""
TEXTS = {
    "README.md": BLOCKS,
    "docs/choosing.md": BLOCKS,
    "docs/results/study.md": BLOCKS,
    **{f"docs/results/{block}/study.md": (block,) for block in BLOCKS},
}


def paragraphs(text: str) -> list[str]:
    """A text's paragraphs and list items, each on one line; a table belongs to what it follows."""
    parts = re.split(r"\n\s*\n(?!\|)|\n(?=- |\d+\. )", text)
    return [" ".join(part.split()) for part in parts]


def spoken_of(words: str, rows: set[str]) -> set[str]:
    """The rows that a paragraph names, or calls otherwise."""
    named = {row for row in rows if re.search(rf"(?<!\w){row}(?!\w)", words)}
    for phrase, called in CALLED.items():
        if re.search(phrase, words):
            named |= called & rows
    return named


def fits(shown: str, width: str, found: tuple[float, float]) -> bool:
    """Whether a difference and its interval, rounded once, are what is written."""
    step = 0.5001 * 10 ** -len(shown.partition(".")[2])
    value = found[0] if shown[0] in "+-" else abs(found[0])
    return abs(value - float(shown)) <= step and abs(found[1] - float(width)) <= step


@pytest.mark.parametrize("text", TEXTS)
def test_every_difference_in_a_text_is_one_of_rows_that_its_paragraph_speaks_of(text: str) -> None:
    seen, unknown = 0, []
    for words in paragraphs((ROOT / text).read_text()):
        written = set(DIFFERENCE.findall(words)) - OTHER_RUNS
        seen += len(written)
        known = []
        for block in TEXTS[text] if written else ():
            rows = set(values(block))
            named = spoken_of(words, rows)
            for one, other in product(named, named | {"none"}):
                if one != other:
                    known += difference(block, one, other)[1]
        unknown += [
            f"{shown} ± {width}: {words[:80]}"
            for shown, width in sorted(written)
            if not any(fits(shown, width, found) for found in known)
        ]
    assert seen > 5
    assert not unknown, f"{text}: no difference of two rows that are spoken of: {unknown}"


def test_a_difference_of_rows_that_nobody_speaks_of_is_found() -> None:
    rows = set(values(BLOCKS[1]))
    assert spoken_of("`block` minus `random` has it", rows) == {"block", "random"}
    assert "crops_apart" not in spoken_of("`crops_apart_anywhere` has it", rows)
    found = difference(BLOCKS[1], "block", "random")[1][1]
    assert fits("-1.5", "3.4", found)
    assert not fits("-1.6", "3.4", found)  # -1.55, rounded twice
    assert paragraphs("a\nb\n\n| c |\n\n- d\n  e\n- f") == ["a b | c |", "- d e", "- f"]


def test_the_table_of_recipes_says_what_its_rows_gained() -> None:
    page = (ROOT / "docs" / "choosing.md").read_text()
    lines = re.findall(r"^\| .* \| `(\w+)`[^|]* \| ([^|]*) \| ([^|]*) \|$", page, re.M)
    assert len(lines) >= 11
    for row, *shown in lines:
        assert shown == cells(row), row
