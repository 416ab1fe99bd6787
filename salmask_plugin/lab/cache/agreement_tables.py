"""Cached against online saliency: table, JSON and figure."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from salmask_plugin.lab.results.display import Array
from salmask_plugin.lab.results.drawing import BASELINE_COLOUR, PALETTE, drawing, new_figure, to_png
from salmask_plugin.lab.results.grid import NOTHING, Grid, estimate_text
from salmask_plugin.lab.results.statistics import Estimate, estimate, summarize
from salmask_plugin.lab.results.terminal import grid_blocks

COLUMNS = {
    "iou": "IoU",
    "iou_other": "IoU, another image's map",
    "gamma_cached": "gamma, cached",
    "gamma_online": "gamma, online",
    "gamma_difference": "difference of gamma",
    "object_cached": "IoU with object, cached",
    "object_online": "IoU with object, online",
}
AREAS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Edges of the classes of crops, as shares of the image's area."""


@dataclass(frozen=True)
class AgreementRow:
    """Views whose crop shows about the same share of its image.

    Attributes:
        area: (above, up to) shares of the image's area.
        views: measured ones.
        values: keys of ``COLUMNS`` -> mean over views; objects' only where they are known.
        gamma_spread: standard deviation of the difference of gamma over views; None below two.
    """

    area: tuple[float, float]
    views: int
    values: Mapping[str, Estimate]
    gamma_spread: float | None


@dataclass(frozen=True, eq=False)
class AgreementExample:
    """One view: picture (H, W, 3), and both maps and foregrounds, (h, w)."""

    view: Array
    online: Array
    cached: Array
    online_foreground: Array
    cached_foreground: Array
    label: str


def agreement_rows(areas: Array, values: Mapping[str, Array]) -> list[AgreementRow]:
    """Return one row per class of crop areas that has views, and a last one of all views.

    Args:
        areas: (N,) of the views' crops, in (0, 1].
        values: keys of ``COLUMNS`` -> (N,); NaN where a view has none.
    """
    bounds = [*itertools.pairwise(AREAS), (AREAS[0], AREAS[-1])]
    rows = []
    for low, high in bounds:
        # A crop of everything may round to just above 1.
        chosen = (areas > low) & ((areas <= high) | (high == AREAS[-1]))
        if not chosen.any():
            continue
        differences = values["gamma_difference"][chosen]
        rows.append(
            AgreementRow(
                (low, high),
                int(chosen.sum()),
                {key: estimate(value[chosen].tolist()) for key, value in values.items()},
                summarize(differences.tolist()).spread,
            )
        )
    return rows


def agreement_text(rows: Sequence[AgreementRow]) -> str:
    """Return the table for a terminal: means ± 95 % over views, gamma's spread."""
    keys = [key for key in COLUMNS if any(key in row.values for row in rows)]
    titles = ["Crop, share of the image", "Views", *(COLUMNS[key] for key in keys), "its spread"]
    cells = [
        [
            _area(row, last=row is rows[-1]),
            str(row.views),
            *(estimate_text(row.values.get(key)) for key in keys),
            NOTHING if row.gamma_spread is None else f"{row.gamma_spread:.3f}",
        ]
        for row in rows
    ]
    order = [*range(2 + len(keys))]
    order.insert(order.index(2 + keys.index("gamma_difference")) + 1, 2 + len(keys))
    cells = [[row[place] for place in order] for row in cells]
    return grid_blocks(Grid([titles[place] for place in order], cells), left=1)


def draw_agreement(rows: Sequence[AgreementRow], examples: Sequence[AgreementExample]) -> bytes:
    """Draw examples, a line each, above IoU and difference of gamma by crop size. A PNG."""
    titles = ("view", "online", "cached", "online: foreground", "cached: foreground")
    with drawing():
        figure = new_figure(2.0 * len(examples) + 3.2)
        top, bottom = figure.subfigures(2, 1, height_ratios=(2.0 * len(examples) + 0.2, 3.0))
        grid = top.subplots(len(examples), len(titles), squeeze=False)
        for axis, title in zip(grid[0], titles, strict=True):
            axis.set_title(title)
        for line, example in zip(grid, examples, strict=True):
            parts = (
                example.view,
                example.online,
                example.cached,
                example.online_foreground,
                example.cached_foreground,
            )
            for place, (axis, part) in enumerate(zip(line, parts, strict=True)):
                axis.set_xticks([])
                axis.set_yticks([])
                axis.grid(visible=False)
                # Cells as they are: no interpolation makes them look finer.
                axis.imshow(part, cmap=("viridis" if place < 3 else "gray"), vmin=_least(part))
            line[0].set_ylabel(example.label, fontsize=8)
        classes = rows[:-1]
        left, right = bottom.subplots(1, 2)
        names = [_area(row, last=False) for row in classes]
        for key, colour, offset in (("iou", PALETTE[0], -0.2), ("iou_other", BASELINE_COLOUR, 0.2)):
            means, errors = _bars(classes, key)
            places = [place + offset for place in range(len(classes))]
            left.bar(places, means, 0.38, yerr=errors, color=colour, label=COLUMNS[key], alpha=0.8)
        left.set_xticks(range(len(classes)), names)
        left.set_ylim(0, 1.25)  # room for the legend above the bars
        left.set_yticks([0, 0.25, 0.5, 0.75, 1])
        left.set_title("foreground: cached and online")
        left.legend(fontsize=8, loc="upper left", ncols=2)
        means, _ = _bars(classes, "gamma_difference")
        spread = [row.gamma_spread or 0 for row in classes]
        right.errorbar(range(len(classes)), means, yerr=spread, fmt="o", capsize=4)
        right.axhline(0, color=BASELINE_COLOUR, linewidth=1)
        right.set_xticks(range(len(classes)), names)
        right.set_xlim(-0.5, len(classes) - 0.5)
        right.set_title("gamma, cached minus online: mean and spread")
        for axis in (left, right):
            axis.set_xlabel("crop's share of the image")
        return to_png(figure)


def _bars(rows: Sequence[AgreementRow], key: str) -> tuple[list[float], list[float]]:
    found = [row.values[key] for row in rows]
    return [value.mean or 0.0 for value in found], [value.interval or 0.0 for value in found]


def _area(row: AgreementRow, *, last: bool) -> str:
    return "all" if last else f"{row.area[0]:.1f} to {row.area[1]:.1f}"


def _least(part: Array) -> float | None:
    return 0.0 if part.dtype == np.bool_ else None
