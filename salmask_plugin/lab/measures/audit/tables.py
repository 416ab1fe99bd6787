"""What recipes remove of object and background: table, CSV, JSON and figure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from salmask_plugin.lab.results.codec import encode
from salmask_plugin.lab.results.drawing import BASELINE_COLOUR, PALETTE, drawing, new_figure, to_png
from salmask_plugin.lab.results.grid import Grid, estimate_text, rows_csv
from salmask_plugin.lab.results.privacy import shortened
from salmask_plugin.lab.results.statistics import Estimate
from salmask_plugin.lab.results.terminal import grid_blocks

COLUMNS = {
    "foreground": "gamma",
    "query_object": "query: object",
    "query_background": "query: background",
    "negative_object": "negative: object",
    "negative_background": "negative: background",
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "centre_iou": "IoU, centre box",
    "centre_precision": "precision, centre box",
    "centre_recall": "recall, centre box",
}
_PANELS = {
    "query masks remove": (("query_object", "object"), ("query_background", "background")),
    "hard negatives remove": (("negative_object", "object"), ("negative_background", "background")),
    "foreground against object": (("iou", "IoU"), ("centre_iou", "IoU of a centre box")),
}


@dataclass(frozen=True)
class CoverageRow:
    """One recipe under one localizer on one kind of view.

    Attributes:
        views: what was masked, such as "random crops".
        recipe: in words.
        localizer: by its choice.
        trained_on: data and labels behind the localizer.
        images: views that were measured.
        values: keys of ``COLUMNS`` and ``object_area`` -> mean over images; a part that the recipe
            lacks is absent.
    """

    views: str
    recipe: str
    localizer: str
    trained_on: str
    images: int
    values: Mapping[str, Estimate]


def coverage_text(rows: Sequence[CoverageRow]) -> str:
    """Return one table per kind of view, for a terminal: shares as mean ± 95 % interval."""
    blocks = []
    for views in dict.fromkeys(row.views for row in rows):
        mine = [row for row in rows if row.views == views]
        area = estimate_text(mine[0].values["object_area"])
        titles = ["Recipe", "Localizer", *COLUMNS.values()]
        cells = [
            [row.recipe, row.localizer, *(estimate_text(row.values.get(key)) for key in COLUMNS)]
            for row in mine
        ]
        head = f"{views}: {mine[0].images} images, object {area} of the view"
        blocks += [head, grid_blocks(Grid(titles, cells), left=2)]
    return "\n\n".join(blocks)


def coverage_csv(rows: Sequence[CoverageRow]) -> str:
    """Return the rows as CSV, every mean beside its interval."""
    return rows_csv(
        [
            {
                "views": row.views,
                "recipe": row.recipe,
                "localizer": row.localizer,
                "trained_on": row.trained_on,
                "images": row.images,
                **{key: row.values.get(key) for key in ("object_area", *COLUMNS)},
            }
            for row in rows
        ]
    )


def coverage_json(rows: Sequence[CoverageRow], protocol: Mapping[str, Any]) -> str:
    """Return the protocol and the rows as JSON."""
    return (
        json.dumps(shortened({"protocol": encode(protocol), "rows": encode(rows)}), indent=2) + "\n"
    )


def draw_coverage(rows: Sequence[CoverageRow]) -> bytes:
    """Draw the shares as bars with their intervals: a line of panels per kind of view. A PNG."""
    kinds = list(dict.fromkeys(row.views for row in rows))
    tallest = max(sum(row.views == kind for row in rows) for kind in kinds)
    with drawing():
        figure = new_figure(len(kinds) * (1.6 + 0.42 * tallest), width=13.0)
        grid = figure.subplots(len(kinds), len(_PANELS), sharex=True, squeeze=False)
        for line, kind in zip(grid, kinds, strict=True):
            mine = [row for row in rows if row.views == kind]
            for axis, (title, bars) in zip(line, _PANELS.items(), strict=True):
                _panel(axis, mine, bars, named=axis is line[0])
                axis.set_title(f"{title}\n{kind}")
        return to_png(figure)


def _panel(
    axis: Any, rows: Sequence[CoverageRow], bars: Sequence[tuple[str, str]], *, named: bool
) -> None:
    for offset, (key, label), colour in zip(
        (-0.19, 0.19), bars, (PALETTE[0], BASELINE_COLOUR), strict=True
    ):
        found = [(place, row.values.get(key)) for place, row in enumerate(rows)]
        known = [(p, v.mean, v.interval or 0) for p, v in found if v and v.mean is not None]
        if known:
            places, means, intervals = zip(*known, strict=True)
            axis.barh(
                [place + offset for place in places],
                means,
                height=0.36,
                xerr=intervals,
                color=colour,
                alpha=0.7,
                error_kw={"capsize": 2, "linewidth": 1},
                label=label,
            )
    labels = [f"{row.recipe}, {row.localizer}" for row in rows] if named else []
    axis.set_yticks(range(len(rows)), labels or [""] * len(rows))
    axis.set_ylim(len(rows) + 0.5, -0.6)  # room for the legend below the bars
    axis.set_xlim(0, 1)
    axis.grid(visible=False, axis="y")
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="lower center", ncols=2, fontsize=8)
