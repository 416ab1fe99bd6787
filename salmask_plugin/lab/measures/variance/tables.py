"""The variance over views of several recipes: table, JSON and figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from salmask_plugin.lab.results.drawing import (
    BASELINE_COLOUR,
    colours,
    drawing,
    new_figure,
    to_png,
)
from salmask_plugin.lab.results.grid import Grid, estimate_text
from salmask_plugin.lab.results.statistics import Estimate
from salmask_plugin.lab.results.terminal import grid_blocks

UNIT = 1e-4
UNIT_TEXT = "1e-4"
UNMASKED = ("standard", "none")
"""Rows of the baseline, by the paper's name and ours."""


@dataclass(frozen=True)
class VarianceRow:
    """Views of one recipe.

    Attributes:
        recipe: in words.
        variance: over views, averaged over dimensions, of unit vectors; mean over images.
        mean_cosine: of pairs of views; mean over images.
        localizer: by its choice; "none" where nothing is masked.
    """

    recipe: str
    variance: Estimate
    mean_cosine: Estimate
    localizer: str


def variance_text(rows: Sequence[VarianceRow]) -> str:
    """Return the table for a terminal: mean ± 95 % interval over images, variances in ``UNIT``."""
    titles = ["Views", "Localizer", f"Variance ({UNIT_TEXT})", "Mean cosine"]
    cells = [
        [
            row.recipe,
            row.localizer,
            estimate_text(row.variance, scale=1 / UNIT),
            estimate_text(row.mean_cosine),
        ]
        for row in rows
    ]
    return grid_blocks(Grid(titles, cells), left=2)


def draw_variance(rows: Sequence[VarianceRow], title: str) -> bytes:
    """Draw the variances as bars with their intervals. A PNG."""
    with drawing():
        figure = new_figure(1.5 + 0.4 * len(rows))
        axis = figure.subplots()
        colour = colours(row.recipe for row in rows) | dict.fromkeys(UNMASKED, BASELINE_COLOUR)
        for place, row in enumerate(rows):
            if row.variance.mean is not None:
                interval = (row.variance.interval or 0.0) / UNIT
                axis.barh(
                    place,
                    row.variance.mean / UNIT,
                    height=0.7,
                    xerr=interval,
                    color=colour[row.recipe],
                    alpha=0.6,
                    error_kw={"capsize": 4, "linewidth": 1.3},
                )
        axis.set_yticks(range(len(rows)), [row.recipe for row in rows])
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_xlim(left=0)
        axis.grid(visible=False, axis="y")
        axis.set_xlabel(f"variance over views ({UNIT_TEXT}), mean over images, 95 % interval")
        axis.set_title(title)
        return to_png(figure)
