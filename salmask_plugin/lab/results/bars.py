"""Accuracies as bars and differences to the baseline, with every seed as a dot, as PNG bytes."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from salmask_plugin.lab.results.drawing import LARGE, drawing, line_styles, new_figure, to_png
from salmask_plugin.lab.results.table import Column, Row, Table

Draw = Callable[[Any, int, Row, Column, str], None]
_ACROSS = 2
_LETTERS = 28
"""Letters of the large text that fit below a panel, where two stand side by side."""


def accuracy_bars(table: Table) -> bytes | None:
    """Draw each metric's mean as a bar, its spread as a whisker and every seed as a dot.

    Bars start at zero. A dotted line marks chance, 1 / classes, for top-1 accuracies.

    Returns:
        A PNG, or None where nothing was evaluated.
    """
    columns = [
        column for column in table.columns if any(column in row.results for row in table.rows)
    ]

    def finish(axis: Any, column: Column) -> None:
        if column.metric.startswith("top1"):
            chance = 100 / table.conditions.data.classes
            axis.axvline(chance, color="black", linestyle=":", linewidth=1.2)
        axis.set_xlim(left=min(0, axis.get_xlim()[0]))
        axis.set_xlabel(_wrapped(column.title))

    return _panels(table, columns, table.rows, _bar, finish)


def difference_dots(table: Table) -> bytes | None:
    """Draw each row's difference to its baseline: a dot per paired seed, mean and interval.

    Returns:
        A PNG, or None where no row has a difference that can be read.
    """
    rows = [row for row in table.rows if set(row.differences) - set(row.unread)]
    columns = [
        column
        for column in table.columns
        if column.is_compared
        and any(column in row.differences and column not in row.unread for row in rows)
    ]

    def finish(axis: Any, column: Column) -> None:
        axis.axvline(0, color="black", linewidth=1.2)
        reach = 1.1 * max(abs(limit) for limit in axis.get_xlim())
        axis.set_xlim(-reach, reach)
        unit = "percentage points" if column.scale == 100 else "difference"
        axis.set_xlabel(f"{_wrapped(column.title.replace(' (%)', ''))}\n{unit} to the baseline")

    return _panels(table, columns, rows, _difference, finish)


def _panels(
    table: Table,
    columns: Sequence[Column],
    rows: Sequence[Row],
    draw: Draw,
    finish: Callable[[Any, Column], None],
) -> bytes | None:
    """Draw a panel per metric, two side by side; rows run from top to bottom as in the table."""
    if not columns:
        return None
    styles = line_styles(table.rows)
    across = min(_ACROSS, len(columns))
    down = -(-len(columns) // across)
    with drawing(LARGE):
        figure = new_figure(down * (1.3 + 0.4 * len(rows)))
        axes = figure.subplots(down, across, sharey=True, squeeze=False)
        for axis in list(axes.flat)[len(columns) :]:
            axis.set_axis_off()
        for axis, column in zip(axes.flat, columns, strict=False):
            for place, row in enumerate(rows):
                draw(axis, place, row, column, styles[row.name]["color"])
            finish(axis, column)
            axis.set_yticks(range(len(rows)), [row.label for row in rows])
            axis.set_ylim(len(rows) - 0.4, -0.6)
            axis.tick_params(axis="y", length=0)
            axis.grid(visible=False, axis="y")
        return to_png(figure)


def _bar(axis: Any, place: int, row: Row, column: Column, colour: str) -> None:
    if column not in row.results:
        axis.text(0, place, "  not evaluated", va="center", color="#777777", fontsize=8)
        return
    result, scale = row.results[column], column.scale
    if not math.isfinite(result.mean):
        axis.text(0, place, "  not finite", va="center", color="#777777", fontsize=8)
        return
    axis.barh(place, result.mean * scale, height=0.7, color=colour, alpha=0.4)
    _dots(axis, place, [value * scale for value in row.values[column].values()], colour)
    _whisker(axis, place, result.mean * scale, result.spread, scale)


def _difference(axis: Any, place: int, row: Row, column: Column, colour: str) -> None:
    if column not in row.differences or column in row.unread:
        return
    found, scale = row.differences[column], column.scale
    if not math.isfinite(found.mean):
        return
    _dots(axis, place, [pair * scale for pair in found.pairs], colour)
    axis.plot(
        [found.mean * scale], [place], marker="D", color=colour, markeredgecolor="black", zorder=4
    )
    _whisker(axis, place, found.mean * scale, found.interval, scale)


def _dots(axis: Any, place: int, values: Sequence[float], colour: str) -> None:
    # Spread over the bar's height in the order of the seeds, so that equal values stay visible.
    offsets = np.linspace(-0.2, 0.2, len(values)) if len(values) > 1 else np.zeros(len(values))
    axis.scatter(
        values, place + offsets, s=24, color=colour, edgecolor="white", linewidth=0.7, zorder=3
    )


def _whisker(axis: Any, place: int, mean: float, reach: float | None, scale: float) -> None:
    if reach is not None:
        axis.errorbar(
            mean, place, xerr=reach * scale, color="black", capsize=4, linewidth=1.3, zorder=5
        )


def _wrapped(title: str) -> str:
    return textwrap.fill(title, _LETTERS)
