"""The curves of a report, each figure as PNG bytes, or None where there is no data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from salmask_plugin.lab.results.drawing import (
    WIDTH,
    drawing,
    families,
    line_styles,
    new_figure,
    to_png,
)
from salmask_plugin.lab.results.occlusion_names import is_occlusion
from salmask_plugin.lab.results.record import RunRecord, is_share
from salmask_plugin.lab.results.table import Row, Table, metric_title

_DIAGNOSTICS = {
    "mask_ratio": "masked share\nof the query",
    "foreground_share": "foreground share\nof the cells",
    "hard_negative_share": "hard negative's share\nof the softmax",
    "similarity_positive": "cosine similarity\nquery · key",
    "similarity_hard": "cosine similarity\nquery · hard negative",
}
_ACROSS = 3
_INCHES_A_LETTER, _INCHES_A_SAMPLE = 0.085, 0.7
"""Room of a legend's entry at the report's font: its name, and its line with the gap."""


def loss_curves(table: Table) -> bytes | None:
    """Draw the pretraining loss over epochs, a panel per host and method.

    Thick: mean over seeds; thin: the seeds.
    """
    panels = [
        (title, rows, "pretraining loss", _history("loss"))
        for title, rows in families(table.rows).items()
    ]
    return _curves(table, panels, "epoch")


def diagnostics(table: Table) -> bytes | None:
    """Draw what the masking did over epochs: shares and similarities.

    With several methods each has its own column of panels.
    """
    found = families(table.rows)
    panels = [
        (title if len(found) > 1 else "", rows, label, _history(name))
        for name, label in _DIAGNOSTICS.items()
        for title, rows in found.items()
    ]
    return _curves(table, panels, "epoch", across=len(found) if len(found) > 1 else _ACROSS)


def accuracy_curves(table: Table) -> bytes | None:
    """Draw the evaluations' own curves, such as the linear classifier's accuracy per epoch."""
    names = {
        (name, curve)
        for row in table.rows
        for run in row.runs.values()
        for name, evaluation in run.evaluations.items()
        if not is_occlusion(name)  # its curves run over shares, not epochs
        for curve in evaluation.curves
    }
    panels = [
        (title, rows, metric_title(name, curve), _evaluation_curve(name, curve))
        for name, curve in sorted(names)
        for title, rows in families(table.rows).items()
    ]
    return _curves(table, panels, "epoch of the classifier")


Curve = Callable[[RunRecord], Sequence[float]]
Panel = tuple[str, list[Row], str, Curve]


def _history(name: str) -> Curve:
    return lambda run: run.history.get(name, ())


def _evaluation_curve(name: str, curve: str) -> Curve:
    scale = 100 if is_share(curve) else 1

    def values(run: RunRecord) -> Sequence[float]:
        if name not in run.evaluations:
            return ()
        return [value * scale for value in run.evaluations[name].curves.get(curve, ())]

    return values


def _curves(
    table: Table, panels: Sequence[Panel], x_label: str, *, across: int = _ACROSS
) -> bytes | None:
    """Draw the panels that have data, with one legend below them."""
    panels = [panel for panel in panels if _has_data(panel)]
    if not panels:
        return None
    styles = line_styles(table.rows)
    across = min(across, len(panels))
    down = -(-len(panels) // across)
    with drawing():
        width = max(WIDTH, 2.6 * across)
        height = (2.6 if down < 3 else 2.1) * down
        names = dict.fromkeys(row.name for _, rows, _, _ in panels for row in rows)
        columns = _legend_columns(list(names), width)
        lines = -(-len(names) // columns)
        figure = new_figure(height + 0.3 + 0.2 * lines, width=width)
        axes = list(figure.subplots(down, across, squeeze=False).flat)
        handles: dict[str, Any] = {}
        for axis, (title, rows, label, values) in zip(axes, panels, strict=False):
            for row in rows:
                line = _line(axis, [values(run) for run in row.runs.values()], styles[row.name])
                if line is not None:
                    handles.setdefault(row.name, line)
            axis.set(title=title, xlabel=x_label, ylabel=label)
            axis.xaxis.get_major_locator().set_params(integer=True)
            if "share" in label:
                # From zero: a share that wanders in its third decimal is steady.
                axis.set_ylim(bottom=0, top=1.15 * axis.get_ylim()[1])
        for axis in axes[len(panels) :]:
            axis.set_axis_off()
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=columns,
        )
        return to_png(figure)


def _legend_columns(names: Sequence[str], width: float) -> int:
    """As many columns as the longest name leaves room for, five at most."""
    longest = max(map(len, names))
    fitting = int(width / (_INCHES_A_LETTER * longest + _INCHES_A_SAMPLE))
    return max(1, min(fitting, len(names), 5))


def _has_data(panel: Panel) -> bool:
    return any(panel[3](run) for row in panel[1] for run in row.runs.values())


def _line(axis: Any, seeds: Sequence[Sequence[float]], style: Mapping[str, Any]) -> Any:
    """Draw the seeds thin and their mean, as far as all seeds go, thick; return the mean's line."""
    seeds = [values for values in seeds if values]
    if not seeds:
        return None
    if len(seeds) > 1:
        for values in seeds:
            axis.plot(_epochs(values), values, color=style["color"], alpha=0.35, linewidth=0.9)
    mean = [sum(values) / len(values) for values in zip(*seeds, strict=False)]
    every = max(1, len(mean) // 8)
    (line,) = axis.plot(_epochs(mean), mean, linewidth=2, markersize=5, markevery=every, **style)
    return line


def _epochs(values: Sequence[float]) -> range:
    return range(1, len(values) + 1)
