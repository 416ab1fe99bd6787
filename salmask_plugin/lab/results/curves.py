"""The curves of a report: values over epochs or hidden shares, a line per row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from salmask_plugin.lab.results.drawing import (
    LARGE,
    WIDTH,
    drawing,
    families,
    line_styles,
    new_figure,
)
from salmask_plugin.lab.results.leading_rows import WORDS, leading
from salmask_plugin.lab.results.metric_names import (
    OCCLUSION,
    is_occlusion,
    metric_title,
    occlusion_title,
)
from salmask_plugin.lab.results.record import RunRecord, is_share
from salmask_plugin.lab.results.table import Row, Table

_DIAGNOSTICS = {
    "mask_ratio": "masked share\nof the query",
    "foreground_share": "foreground share\nof the cells",
    "hard_negative_share": "hard negative's share\nof the softmax",
    "similarity_positive": "cosine similarity\nquery · key",
    "similarity_hard": "cosine similarity\nquery · hard negative",
}
_ACROSS = 2
_INCHES_A_LETTER, _INCHES_A_SAMPLE = 0.12, 0.8
"""Room of a legend's entry at the report's font: its name, and its line with the gap."""

Points = tuple[Sequence[float], Sequence[float]]
"""Places, such as epochs from 1, and the values there."""


@dataclass(frozen=True)
class Panel:
    """One diagram.

    Attributes:
        title: above it.
        rows: that it may show.
        label: of its values.
        curve: a run's points, None where it has none.
    """

    title: str
    rows: Sequence[Row]
    label: str
    curve: Callable[[RunRecord], Points | None]

    def seeds(self, row: Row) -> list[Points]:
        """Return the points of the row's seeds; those that lie at other places are left out."""
        found = [points for run in row.runs.values() if (points := self.curve(run)) is not None]
        return [
            points
            for points in found
            if all(one == other for one, other in zip(points[0], found[0][0], strict=False))
        ]


def loss_curves(table: Table) -> Any:
    """Draw the pretraining loss over epochs, a panel per host and method.

    Thick: mean over seeds; thin: the seeds.

    Returns:
        A figure, here and below, or None where there is no data.
    """
    panels = [
        Panel(title, rows, "pretraining loss", _history("loss"))
        for title, rows in families(table.rows).items()
    ]
    return _curves(table, panels, "epoch")


def diagnostics(table: Table) -> Any:
    """Draw what the masking did over epochs: shares and similarities.

    With several methods each has its own panels.
    """
    found = families(table.rows)
    panels = [
        Panel(title if len(found) > 1 else "", rows, label, _history(name))
        for name, label in _DIAGNOSTICS.items()
        for title, rows in found.items()
    ]
    return _curves(table, panels, "epoch")


def accuracy_curves(table: Table) -> Any:
    """Draw the evaluations' own curves, such as the linear classifier's accuracy per epoch."""
    panels = [
        Panel(title, rows, metric_title(name, curve), _evaluation_curve(name, curve))
        for name, curve in _curve_names(table)
        if not is_occlusion(name)  # its curves run over shares, not epochs
        for title, rows in families(table.rows).items()
    ]
    return _curves(table, panels, "epoch of the classifier")


def occlusion_curves(table: Table) -> Any:
    """Draw accuracy over the hidden share, a panel per classifier, place and fill.

    A row that was never occluded is left out.
    """
    panels = [
        Panel(occlusion_title(curve).replace(", ", ",\n"), table.rows, "top-1 (%)", _hidden(curve))
        for name, curve in _curve_names(table)
        if name == OCCLUSION
    ]
    return _curves(table, panels, "hidden (%)", across=2, share_values=True)


def _curve_names(table: Table) -> list[tuple[str, str]]:
    return sorted(
        {
            (name, curve)
            for row in table.rows
            for run in row.runs.values()
            for name, evaluation in run.evaluations.items()
            for curve in evaluation.curves
        }
    )


def _by_epoch(values: Sequence[float]) -> Points | None:
    return (range(1, len(values) + 1), values) if values else None


def _history(name: str) -> Callable[[RunRecord], Points | None]:
    return lambda run: _by_epoch(run.history.get(name, ()))


def _values(run: RunRecord, name: str, curve: str) -> list[float]:
    scale = 100 if is_share(curve) or name == OCCLUSION else 1
    found = run.evaluations.get(name)
    return [] if found is None else [scale * value for value in found.curves.get(curve, ())]


def _evaluation_curve(name: str, curve: str) -> Callable[[RunRecord], Points | None]:
    return lambda run: _by_epoch(_values(run, name, curve))


def _hidden(curve: str) -> Callable[[RunRecord], Points | None]:
    def points(run: RunRecord) -> Points | None:
        """Hidden shares and accuracies, both in percent; None where the lists do not fit."""
        values = _values(run, OCCLUSION, curve)
        told = (run.protocol(OCCLUSION) or {}).get("shares")
        try:
            shares = [0.0, *(100 * float(part) for part in str(told).split(","))]
        except ValueError:
            return None
        return (shares, values) if len(shares) == len(values) else None

    return points


def _curves(
    table: Table,
    panels: Sequence[Panel],
    x_label: str,
    *,
    across: int = _ACROSS,
    share_values: bool = False,
) -> Any:
    """Draw the panels that have data, with one legend below them."""
    panels = [panel for panel in panels if any(map(panel.seeds, panel.rows))]
    if not panels:
        return None
    measured = [row for panel in panels for row in panel.rows if panel.seeds(row)]
    means = [{row.name: _mean(panel.seeds(row)) for row in panel.rows} for panel in panels]
    drawn, known = leading(measured, panels=means), len({row.name for row in measured})
    styles = line_styles(table)
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    with drawing(LARGE):
        width = WIDTH
        height = (3.4 if down < 3 else 2.9) * down
        columns = _legend_columns(list(drawn), width)
        lines = -(-len(drawn) // columns) + 2 * (len(drawn) < known)
        figure = new_figure(height + 0.3 + 0.3 * lines, width=width)
        axes = list(figure.subplots(down, across, squeeze=False, sharey=share_values).flat)
        handles: dict[str, Any] = {}
        for place, (axis, panel) in enumerate(zip(axes, panels, strict=False)):
            for row in (row for row in panel.rows if row.name in drawn):
                line = _line(axis, panel.seeds(row), styles[row.name])
                if line is not None:
                    handles.setdefault(row.name, line)
            axis.set(title=panel.title, xlabel=x_label)
            if not share_values or place % across == 0:
                axis.set_ylabel(panel.label)
            axis.xaxis.get_major_locator().set_params(integer=True, nbins=5)
            axis.yaxis.get_major_locator().set_params(nbins=5)
            if "share" in panel.label:
                # From zero: a share that wanders in its third decimal is steady.
                axis.set_ylim(bottom=0, top=1.15 * axis.get_ylim()[1])
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=columns,
            title=f"{len(drawn)} of {known} rows: {WORDS}" if len(drawn) < known else None,
        )
        return figure


def _legend_columns(names: Sequence[str], width: float) -> int:
    """As many columns as the longest name leaves room for, five at most."""
    longest = max(map(len, names))
    fitting = int(width / (_INCHES_A_LETTER * longest + _INCHES_A_SAMPLE))
    return max(1, min(fitting, len(names), 5))


def _mean(seeds: Sequence[Points]) -> list[float]:
    """Mean over the seeds, as far as all of them go."""
    return [sum(values) / len(seeds) for values in zip(*(s[1] for s in seeds), strict=False)]


def _line(axis: Any, seeds: Sequence[Points], style: Mapping[str, Any]) -> Any:
    """Draw the seeds thin and their mean, as far as all seeds go, thick; return the mean's line."""
    if not seeds:
        return None
    if len(seeds) > 1:
        for places, values in seeds:
            axis.plot(places, values, color=style["color"], alpha=0.35, linewidth=0.9)
    mean = _mean(seeds)
    every = max(1, len(mean) // 8)
    places = seeds[0][0][: len(mean)]
    (line,) = axis.plot(places, mean, linewidth=2, markersize=5, markevery=every, **style)
    return line
