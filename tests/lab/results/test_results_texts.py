"""Differences that are written by hand in the texts, held against the kept records."""

import json
import re
from itertools import product
from pathlib import Path
from statistics import mean, stdev

import pytest
from scipy.stats import t

ROOT = Path(__file__).parents[3]
RESULTS = ROOT / "docs" / "results"
BLOCKS = ("0_small_block_imagenette_simclr", "1_small_block_simclr")
MEASURES = {
    "logistic": ["top1"],
    "knn": ["top1"],
    "occlusion": [f"top1_linear_anywhere_{by}" for by in ("picture", "mean", "black", "noise")],
}
DIFFERENCE = re.compile(r"([+-]?\d+\.\d+) ± (\d+\.\d+)")
OTHER_RUNS = {("+8.6", "2.7"), ("+8.0", "0.8"), ("+6.7", "6.7"), ("+1.78", "0.60")}
"""Of cells of another size, whose records are gone, and of a row's first three seeds; so said."""
AGAINST = {
    *("none", "none_longer", "masks", "masks_paper", "random", "sparse", "sparse_random"),
    *("other_image", "random_other_image", "crops_apart_anywhere", "smaller_crops"),
}
TEXTS = {
    "README.md": BLOCKS,
    "docs/choosing.md": BLOCKS,
    "docs/results/study.md": BLOCKS,
    **{f"docs/results/{block}/study.md": (block,) for block in BLOCKS},
}


def values(block: str) -> dict[str, dict[int, list[float]]]:
    """Row -> seed -> top-1 in percent, by all measures."""
    rows: dict[str, dict[int, list[float]]] = {}
    for path in (RESULTS / block / "records").glob("*.json"):
        record = json.loads(path.read_text())
        tasks = record["evaluations"]
        found = [100 * tasks[task]["metrics"][name] for task in MEASURES for name in MEASURES[task]]
        rows.setdefault(record["config"]["compare"]["row"], {})[record["seed"]] = found
    return rows


def differences(block: str) -> list[tuple[float, float]]:
    """Mean and half the 95 % interval of every row minus those that texts name, by all measures."""
    rows, found = values(block), []
    for one, other in product(rows, sorted(rows.keys() & AGAINST)):
        if one == other:
            continue
        seeds = sorted(rows[one].keys() & rows[other].keys())
        if len(seeds) < 2:
            continue
        quantile = t.ppf(0.975, len(seeds) - 1) / len(seeds) ** 0.5
        for measure in range(len(rows[one][seeds[0]])):
            pairs = [rows[one][seed][measure] - rows[other][seed][measure] for seed in seeds]
            found.append((mean(pairs), quantile * stdev(pairs)))
    return found


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
