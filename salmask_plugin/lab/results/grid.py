"""A table of texts, and how tables are written: Markdown, LaTeX and CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from salmask_plugin.lab.results.escaping import csv_cell, escape_markdown, shown
from salmask_plugin.lab.results.statistics import Difference, Estimate, summarize

NOTHING = "–"  # noqa: RUF001
"""Stands where there is no value: one seed has no spread, a missing evaluation no mean."""


@dataclass(frozen=True)
class Grid:
    """A table of texts, its rows as long as its headers."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self, left: int) -> str:
        """Return the table as Markdown, its first ``left`` columns flush left, the others right."""
        rule = [":--" if index < left else "--:" for index in range(len(self.headers))]
        lines = [
            f"| {' | '.join(map(escape_markdown, row))} |" for row in (self.headers, *self.rows)
        ]
        lines.insert(1, f"| {' | '.join(rule)} |")
        return "\n".join(lines)

    def latex(self, left: int, caption: str) -> str:
        """Return the table as LaTeX with a caption; aligned as in Markdown."""

        def line(texts: Sequence[str]) -> str:
            return " & ".join(map(_tex, texts)) + r" \\"

        columns = "l" * left + "r" * (len(self.headers) - left)
        parts = [
            r"\begin{table}",
            rf"\caption{{{_tex(caption)}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            line(self.headers),
            r"\midrule",
            *map(line, self.rows),
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
        return "\n".join(parts) + "\n"


_TEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # behind the end of a line it would open an argument
    "±": r"$\pm$",
    "−": r"$-$",  # noqa: RUF001
    NOTHING: "--",
    "†": r"\dag{}",
    "·": r"$\cdot$",
}


def _tex(text: str) -> str:
    return "".join(_TEX.get(sign, sign) for sign in shown(text))


def estimate_text(value: Estimate | None, digits: int = 3, scale: float = 1.0) -> str:
    """Return "mean ± interval", each with ``digits`` decimals, times ``scale``."""
    if value is None or value.mean is None:
        return NOTHING
    mean = f"{value.mean * scale:.{digits}f}"
    return mean if value.interval is None else f"{mean} ± {value.interval * scale:.{digits}f}"


def difference_text(value: Difference | None, flag: str = "") -> str:
    """Return a difference of shares as "+1.20 ± 0.80", in percentage points.

    Args:
        value: None where there is nothing to compare.
        flag: why it is not readable, which then stands in its place.
    """
    if value is None:
        return NOTHING
    interval = "" if value.interval is None else f" ± {100 * value.interval:.2f}"
    return flag or f"{100 * value.mean:+.2f}{interval}"


def mean_text(values: Sequence[float], *, spread: bool = True) -> str:
    """Return shares as "67.04 (SD 0.72)", in percent; one value has no spread."""
    if not values:
        return NOTHING
    summary = summarize(values)
    mean = f"{100 * summary.mean:.2f}"
    return (
        mean if summary.spread is None or not spread else f"{mean} (SD {100 * summary.spread:.2f})"
    )


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
