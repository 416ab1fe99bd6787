"""What recipes remove of object and background: table, CSV, JSON and figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from salmask_plugin.lab.results.drawing import (
    BASELINE_COLOUR,
    LARGE,
    PALETTE,
    drawing,
    new_figure,
    to_png,
)
from salmask_plugin.lab.results.grid import Grid, estimate_text, rows_csv
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
    "over_chance": "precision - chance",
    "over_centre": "precision - centre box's",
    "recall": "recall",
    "centre_iou": "IoU, centre box",
    "centre_precision": "precision, centre box",
    "centre_recall": "recall, centre box",
}
_CURVES = {
    "precision": ("the encoder's foreground", PALETTE[0], "-"),
    "object_area": ("a foreground anywhere (chance)", BASELINE_COLOUR, "--"),
    "centre_precision": ("a centred box as large", PALETTE[1], ":"),
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
        recipe: in words; with ``epochs`` the same for all.
        localizer: by its choice.
        trained_on: data and labels behind the localizer.
        images: views that were measured.
        values: keys of ``COLUMNS`` and ``object_area`` -> mean over images; a part that the recipe
            lacks is absent.
        epochs: that the encoder which localizes was trained for; None where no run's is asked.
    """

    views: str
    recipe: str
    localizer: str
    trained_on: str
    images: int
    values: Mapping[str, Estimate]
    epochs: int | None = None

    @property
    def name(self) -> str:
        """What tells it from the other rows of its views."""
        return self.recipe if self.epochs is None else when(self.epochs)


def when(epochs: int) -> str:
    """Say in words how far an encoder is trained."""
    return "before training" if epochs == 0 else f"after {epochs} epoch{'s' * (epochs > 1)}"


def coverage_text(rows: Sequence[CoverageRow]) -> str:
    """Return one table per kind of view, for a terminal: shares as mean ± 95 % interval."""
    blocks = []
    for views in dict.fromkeys(row.views for row in rows):
        mine = [row for row in rows if row.views == views]
        area = estimate_text(mine[0].values["object_area"])
        shown = {key: title for key, title in COLUMNS.items() if any(key in r.values for r in mine)}
        own = mine[0].epochs is not None
        names = [[row.name] if own else [row.name, row.localizer] for row in mine]
        titles = ["Encoder"] if own else ["Recipe", "Localizer"]
        cells = [
            [*name, *(estimate_text(row.values.get(key)) for key in shown)]
            for name, row in zip(names, mine, strict=True)
        ]
        head = f"{views}: {mine[0].images} images, object {area} of the view"
        if own:
            head += f"; {mine[0].recipe}"
        grid = Grid([*titles, *shown.values()], cells)
        blocks += [head, grid_blocks(grid, left=len(titles))]
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
                "epochs": row.epochs,
                "images": row.images,
                **{key: row.values.get(key) for key in ("object_area", *COLUMNS)},
            }
            for row in rows
        ]
    )


def draw_coverage(rows: Sequence[CoverageRow]) -> bytes:
    """Draw the shares as bars with their intervals, or as curves over the epochs of a run. A PNG.

    Bars have a line of panels per kind of view, none for what no recipe has.
    """
    if any(row.epochs is not None for row in rows):
        return draw_over_training(rows)
    kinds = list(dict.fromkeys(row.views for row in rows))
    shown = {
        title: bars
        for title, bars in _PANELS.items()
        if any(key in row.values for row in rows for key, _ in bars)
    }
    tallest = max(sum(row.views == kind for row in rows) for kind in kinds)
    with drawing():
        figure = new_figure(len(kinds) * (1.6 + 0.42 * tallest), width=13.0)
        grid = figure.subplots(len(kinds), len(shown), sharex=True, squeeze=False)
        for line, kind in zip(grid, kinds, strict=True):
            mine = [row for row in rows if row.views == kind]
            for axis, (title, bars) in zip(line, shown.items(), strict=True):
                _panel(axis, mine, bars, named=axis is line[0])
                axis.set_title(f"{title}\n{kind}")
        return to_png(figure)


def draw_over_training(rows: Sequence[CoverageRow]) -> bytes:
    """Draw precision over the epochs, beside chance and a centred box: a panel per kind. A PNG.

    The band is the interval of precision minus chance, image by image: where it holds the line of
    chance, no difference is seen.
    """
    kinds = list(dict.fromkeys(row.views for row in rows))
    with drawing(LARGE):
        figure = new_figure(4.8, width=12.0)
        axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
        for axis, kind in zip(axes, kinds, strict=True):
            mine = [row for row in rows if row.views == kind]
            epochs = [row.epochs for row in mine]
            for key, (label, colour, dash) in _CURVES.items():
                means = [_mean(row, key) for row in mine]
                axis.plot(epochs, means, dash, marker=".", color=colour, label=label)
            middle = [_mean(row, "precision") for row in mine]
            half = [row.values["over_chance"].interval or 0 for row in mine]
            low, high = ([m + s * h for m, h in zip(middle, half, strict=True)] for s in (-1, 1))
            axis.fill_between(epochs, low, high, color=PALETTE[0], alpha=0.2, linewidth=0)
            axis.set_title(kind)
            axis.set_xlabel("epochs of training")
            axis.xaxis.get_major_locator().set_params(integer=True)
        axes[0].set_ylabel("share that is object")
        axes[0].legend(fontsize=LARGE - 3)
        return to_png(figure)


def _mean(row: CoverageRow, key: str) -> float:
    mean = row.values[key].mean
    return math.nan if mean is None else mean


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
