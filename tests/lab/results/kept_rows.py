"""What the kept records of the two studies say of their rows, computed apart from the package."""

from __future__ import annotations

import json
from decimal import ROUND_HALF_UP, Decimal
from functools import cache
from pathlib import Path
from statistics import mean, stdev

from scipy.stats import t

RESULTS = Path(__file__).parents[3] / "docs" / "results"
BLOCKS = ("0_small_block_imagenette_simclr", "1_small_block_simclr")
MEASURES = (
    ("logistic", "top1"),
    ("occlusion", "top1_linear_anywhere_picture"),
    ("knn", "top1"),
    *(("occlusion", f"top1_linear_anywhere_{by}") for by in ("mean", "black", "noise")),
)
"""Whole pictures by linear probe, hidden ones by another picture; then the others."""


@cache
def values(block: str) -> dict[str, dict[int, list[float]]]:
    """Row -> seed -> top-1 in percent, by all measures."""
    rows: dict[str, dict[int, list[float]]] = {}
    for path in (RESULTS / block / "records").glob("*.json"):
        record = json.loads(path.read_text())
        found = [100 * record["evaluations"][task]["metrics"][name] for task, name in MEASURES]
        rows.setdefault(record["config"]["compare"]["row"], {})[record["seed"]] = found
    return rows


def difference(block: str, row: str, other: str) -> tuple[int, list[tuple[float, float]]]:
    """Seeds that both rows have, and by all measures mean and half the 95 % interval over them.

    Fewer than two seeds have no interval: then the list is empty.
    """
    one, against = (values(block).get(name, {}) for name in (row, other))
    seeds = sorted(one.keys() & against.keys())
    if len(seeds) < 2:
        return len(seeds), []
    quantile = t.ppf(0.975, len(seeds) - 1) / len(seeds) ** 0.5
    pairs = [
        [one[seed][measure] - against[seed][measure] for seed in seeds]
        for measure in range(len(MEASURES))
    ]
    return len(seeds), [(mean(pair), quantile * stdev(pair)) for pair in pairs]


def cells(row: str) -> list[str]:
    """What a table of recipes says of a row minus ``none``: a text for each study."""
    texts = []
    for block in BLOCKS:
        seeds, found = difference(block, row, "none")
        numbers = ", ".join(f"{_tenth(value):+} ± {_tenth(half)}" for value, half in found[:2])
        texts.append(f"{numbers} ({seeds})" if found else "not run")
    return texts


def _tenth(value: float) -> Decimal:
    """To one digit, halves away from zero, as float32 shares of whole images often end in one."""
    return Decimal(f"{value:.4f}").quantize(Decimal("0.1"), ROUND_HALF_UP)
