"""Accuracy on partly hidden pictures, as a figure."""

from __future__ import annotations

from typing import Any

from salmask_plugin.lab.results.drawing import LARGE, drawing, line_styles, new_figure, to_png
from salmask_plugin.lab.results.occlusion_names import OCCLUSION, occlusion_title
from salmask_plugin.lab.results.record import Evaluation
from salmask_plugin.lab.results.table import Row, Table

_ACROSS = 2
_LEGEND = 5


def occlusion_curves(table: Table) -> bytes | None:
    """Draw accuracy over the hidden share, a panel per classifier, place and fill.

    Thick: mean over seeds; thin: the seeds. A row that was never occluded is left out.
    """
    names = sorted({name for row in table.rows for found in _found(row) for name in found.curves})
    if not names:
        return None
    styles = line_styles(table.rows)
    across = min(_ACROSS, len(names))
    down = -(-len(names) // across)
    with drawing(LARGE):
        figure = new_figure(3.2 * down + 0.6)
        axes = figure.subplots(down, across, squeeze=False, sharey=True)
        handles: dict[str, Any] = {}
        for axis, name in zip(axes.flat, names, strict=False):
            for row in table.rows:
                seeds = [points for found in _found(row) if (points := _points(found, name))]
                if not seeds:
                    continue
                style = styles[row.name]
                if len(seeds) > 1:
                    for shares, values in seeds:
                        axis.plot(shares, values, color=style["color"], alpha=0.3, linewidth=0.8)
                columns = zip(*(values for _, values in seeds), strict=True)
                means = [sum(column) / len(seeds) for column in columns]
                (line,) = axis.plot(seeds[0][0], means, linewidth=2, markersize=4, **style)
                handles.setdefault(row.name, line)
            axis.set(title=occlusion_title(name).replace(", ", ",\n"), xlabel="hidden (%)")
        for axis in list(axes.flat)[len(names) :]:
            axis.set_axis_off()
        for line in axes:
            line[0].set_ylabel("top-1 (%)")
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=min(_LEGEND, len(handles)),
        )
        return to_png(figure)


def _found(row: Row) -> list[Evaluation]:
    """The row's results, those of all seeds at the same shares."""
    found = [
        run.evaluations[OCCLUSION] for run in row.runs.values() if OCCLUSION in run.evaluations
    ]
    return [
        entry for entry in found if entry.protocol.get("shares") == found[0].protocol.get("shares")
    ]


def _points(found: Evaluation, name: str) -> tuple[list[float], list[float]] | None:
    """Hidden shares and accuracies, both in percent; None where the lists do not fit."""
    values = [100 * value for value in found.curves.get(name, ())]
    try:
        told = [100 * float(part) for part in str(found.protocol.get("shares")).split(",")]
    except ValueError:
        return None
    shares = [0.0, *told]
    return (shares, values) if len(shares) == len(values) else None
