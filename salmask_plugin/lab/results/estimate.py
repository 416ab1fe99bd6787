"""A mean over images with its 95 % interval, and tables of such means."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salmask_plugin.lab.results.shown import csv_cell
from salmask_plugin.lab.results.statistics import half_width
from salmask_plugin.lab.results.text import NOTHING, escape_markdown


@dataclass(frozen=True)
class Estimate:
    """Mean of a quantity over images.

    Attributes:
        count: images that have a value.
        mean: over them; None without any.
        interval: half-width of the 95 % interval of the mean by Student's t, images independent;
            None below two images.
    """

    count: int
    mean: float | None
    interval: float | None


def estimate(values: Iterable[float]) -> Estimate:
    """Return mean and interval of the values that are numbers; NaN means an image has none."""
    known = np.asarray([value for value in values if not math.isnan(value)], dtype=np.float64)
    if not len(known):
        return Estimate(0, None, None)
    count = len(known)
    interval = half_width(float(np.std(known, ddof=1)), count) if count > 1 else None
    return Estimate(len(known), float(np.mean(known)), interval)


def estimate_text(value: Estimate | None, digits: int = 3, scale: float = 1.0) -> str:
    """Return "mean ± interval", each with ``digits`` decimals, times ``scale``."""
    if value is None or value.mean is None:
        return NOTHING
    mean = f"{value.mean * scale:.{digits}f}"
    return mean if value.interval is None else f"{mean} ± {value.interval * scale:.{digits}f}"


def rows_markdown(titles: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> str:
    """Return a Markdown table, its first ``left`` columns flush left, the others right."""
    rule = [":--" if index < left else "--:" for index in range(len(titles))]
    lines = [f"| {' | '.join(map(escape_markdown, row))} |" for row in (titles, *rows)]
    lines.insert(1, f"| {' | '.join(rule)} |")
    return "\n".join(lines)


def rows_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return flat rows as CSV, one column per key of any row; an estimate becomes two columns."""
    flat = [_flat(row) for row in rows]
    names = dict.fromkeys(name for row in flat for name in row)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(names), lineterminator="\n")
    writer.writerow({name: csv_cell(name) for name in names})
    writer.writerows([{name: csv_cell(value) for name, value in row.items()} for row in flat])
    return out.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        if isinstance(value, Estimate):
            flat |= {name: value.mean, f"{name}_interval": value.interval}
        else:
            flat[name] = value
    return flat
