"""Which rows a figure of curves shows where there are more than the eye can follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from salmask_plugin.lab.results.row_names import is_still
from salmask_plugin.lab.results.study import Study
from salmask_plugin.lab.results.table import Row

MOST = 8
"""Curves that can be told apart in one figure."""


WORDS = "the baseline, untrained and planned ones,\nand those furthest from it; the tables have all"
"""Which rows are drawn of too many, in two lines."""
FEW = 2
"""Seeds whose mean lies far off by chance."""
Curves = Mapping[str, Sequence[float]]
"""Row -> what a panel shows of it, the mean over its seeds."""


def leading(rows: Sequence[Row], most: int = MOST, panels: Sequence[Curves] = ()) -> set[str]:
    """Return the names of the rows to draw: all, or the first by rank where there are too many.

    First the baselines and the untrained encoder, then the rows of planned comparisons, then the
    others by how far they lie from the baseline, those of few seeds last, and as their studies name
    them.

    Args:
        rows: of one table.
        most: names to return.
        panels: of the figure.
    """
    baselines = {row.name for row in rows if row.is_baseline}
    apart = {row.name: _apart(row.name, baselines, panels) for row in rows}
    ranked = sorted(rows, key=lambda row: _rank(row, apart[row.name]))
    names = list(dict.fromkeys(row.name for row in ranked))
    return set(names[:most])


def _apart(name: str, baselines: set[str], panels: Sequence[Curves]) -> float:
    """Mean distance of a row's curve from the baseline's, summed over the panels."""
    return sum(
        fmean(abs(one - other) for one, other in zip(curves[name], curves[baseline], strict=False))
        for curves in panels
        for baseline in sorted(other for other in baselines if curves.get(other))[:1]
        if curves.get(name)
    )


def _rank(row: Row, apart: float) -> tuple[int, bool, float, int]:
    studies = [Study.of(run) for run in row.runs.values()]
    own = {study.row for study in studies}
    planned = {
        name for study in studies for one in study.plan.values() for name in (one.row, one.against)
    }
    places = [study.rows.index(study.row) for study in studies if study.row in study.rows]
    first = row.is_baseline or is_still(row)
    place = min(places, default=0)
    if first or own & planned:
        return 0 if first else 1, False, 0.0, place
    return 2, len(row.runs) <= FEW, -apart, place
