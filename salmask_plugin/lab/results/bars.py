"""Accuracies as bars, and differences to a baseline with every seed as a dot."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from salmask_plugin.lab.results.arms import Arm, against
from salmask_plugin.lab.results.drawing import LARGE, colours, drawing, line_styles, new_figure
from salmask_plugin.lab.results.statistics import Difference
from salmask_plugin.lab.results.table import Column, Row, Table

Metric = tuple[str, str, str]
"""Evaluation, metric and title."""
_ACROSS = 2
_LETTERS = 28
"""Letters of the large text that fit below a panel, where two stand side by side."""


def accuracy_bars(table: Table) -> Any:
    """Draw each metric's mean as a bar, its spread as a whisker and every seed as a dot.

    Bars start at zero. A dotted line marks chance, 1 / classes, for top-1 accuracies on the run's
    own images.

    Returns:
        A figure, or None where nothing was evaluated.
    """
    columns = [
        column for column in table.columns if any(column in row.results for row in table.rows)
    ]
    styles = line_styles(table)

    def draw(axis: Any, column: Column) -> None:
        for place, row in enumerate(table.rows):
            _bar(axis, place, row, column, styles[row.name]["color"])
        # A result on other images has classes of its own, which the record does not count.
        if column.metric.startswith("top1") and "/" not in column.evaluation:
            chance = 100 / table.conditions.data.classes
            axis.axvline(chance, color="black", linestyle=":", linewidth=1.2)
        axis.set_xlim(left=min(0, axis.get_xlim()[0]))
        axis.set_xlabel(_wrapped(column.title))

    return _panels([row.label for row in table.rows], columns, draw)


def difference_dots(table: Table) -> Any:
    """Draw each row's difference to its baseline: a dot per paired seed, mean and interval.

    Returns:
        A figure, or None where no row has a difference that can be read.
    """
    rows = [row for row in table.rows if set(row.differences) - set(row.unread)]
    columns = [
        column
        for column in table.columns
        if column.is_compared
        and any(column in row.differences and column not in row.unread for row in rows)
    ]
    styles = line_styles(table)

    def draw(axis: Any, column: Column) -> None:
        for place, row in enumerate(rows):
            found = None if column in row.unread else row.differences.get(column)
            _difference(axis, place, found, column.scale, styles[row.name]["color"])
        reach = 1.1 * max(abs(limit) for limit in axis.get_xlim())
        axis.set_xlim(-reach, reach)
        unit = "percentage points" if column.scale == 100 else "difference"
        axis.set_xlabel(f"{_wrapped(column.title.replace(' (%)', ''))}\n{unit} to the baseline")

    return _panels([row.label for row in rows], columns, draw)


def paired_dots(arms: Sequence[Arm], metrics: Sequence[Metric]) -> Any:
    """Draw each row's differences to the first one, a panel per metric.

    Values are shares; the axis is in percentage points.

    Returns:
        A figure, or None where there is nothing to compare.
    """
    base, others = arms[0], arms[1:]
    found = {
        metric: [against(arm, base, metric[0], metric[1]) for arm in others] for metric in metrics
    }
    own = [next(iter(arm.runs.values())).recipe for arm in others]
    colour = colours(own)

    def draw(axis: Any, metric: Metric) -> None:
        for place, (difference, recipe) in enumerate(zip(found[metric], own, strict=True)):
            _difference(axis, place, difference, 100, colour[recipe])
        axis.set_xlabel(f"{metric[2].removesuffix(' (%)')},\npoints above {base.name}")

    compared = [metric for metric in metrics if any(found[metric])]
    return _panels([arm.name for arm in others], compared, draw)


def _panels(labels: Sequence[str], panels: Sequence[Any], draw: Callable[[Any, Any], None]) -> Any:
    """Draw a panel per metric, two side by side; rows run from top to bottom as in the table."""
    if not panels:
        return None
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    with drawing(LARGE):
        figure = new_figure(down * (1.3 + 0.4 * len(labels)))
        axes = list(figure.subplots(down, across, sharey=True, squeeze=False).flat)
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        for axis, panel in zip(axes, panels, strict=False):
            draw(axis, panel)
            axis.set_yticks(range(len(labels)), labels)
            axis.set_ylim(len(labels) - 0.4, -0.6)
            axis.tick_params(axis="y", length=0)
            axis.xaxis.get_major_locator().set_params(nbins=5)
            axis.grid(visible=False, axis="y")
        return figure


def _bar(axis: Any, place: int, row: Row, column: Column, colour: str) -> None:
    result, scale = row.results.get(column), column.scale
    if result is None or not math.isfinite(result.mean):
        why = "  not evaluated" if result is None else "  not finite"
        axis.text(0, place, why, va="center", color="#777777", fontsize=8)
        return
    axis.barh(place, result.mean * scale, height=0.7, color=colour, alpha=0.4)
    _dots(axis, place, [value * scale for value in row.values[column].values()], colour)
    _whisker(axis, place, result.mean * scale, result.spread, scale)


def _difference(axis: Any, place: int, found: Difference | None, scale: float, colour: str) -> None:
    if place == 0:
        axis.axvline(0, color="black", linewidth=1.2)
    if found is None or not math.isfinite(found.mean):
        return
    _dots(axis, place, [pair * scale for pair in found.pairs], colour)
    mean = found.mean * scale
    axis.plot([mean], [place], marker="D", color=colour, markeredgecolor="black", zorder=4)
    _whisker(axis, place, mean, found.interval, scale)


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
