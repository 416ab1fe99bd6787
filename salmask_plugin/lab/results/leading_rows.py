"""Which rows a figure of curves shows where there are more than the eye can follow."""

from __future__ import annotations

from collections.abc import Sequence

from salmask_plugin.lab.results.row_names import is_still
from salmask_plugin.lab.results.study import Study
from salmask_plugin.lab.results.table import Row

MOST = 8
"""Curves that can be told apart in one figure."""


def leading(rows: Sequence[Row], most: int = MOST) -> set[str]:
    """Return the names of the rows to draw: all, or the first by rank where there are too many.

    First the baselines and the untrained encoder, then the rows of planned comparisons, then the
    others as their studies name them.

    Args:
        rows: of one table.
        most: names to return.
    """
    ranked = sorted(rows, key=_rank)
    names = list(dict.fromkeys(row.name for row in ranked))
    return set(names[:most])


def _rank(row: Row) -> tuple[int, int]:
    studies = [Study.of(run) for run in row.runs.values()]
    own = {study.row for study in studies}
    planned = {
        name for study in studies for one in study.plan.values() for name in (one.row, one.against)
    }
    places = [study.rows.index(study.row) for study in studies if study.row in study.rows]
    first = row.is_baseline or is_still(row)
    return 0 if first else 1 if own & planned else 2, min(places, default=0)
