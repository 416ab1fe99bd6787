"""Paired differences as a picture: seeds, their mean, and the interval that they allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from salmask_plugin.lab.results.drawing import PALETTE, WIDTH, drawing, new_figure, to_png
from salmask_plugin.lab.results.paired import Arm, against

Metric = tuple[str, str, str]


def paired_dots(arms: Sequence[Arm], metrics: Sequence[Metric]) -> bytes | None:
    """Draw each row's differences to the first one, a panel per (evaluation, metric, title).

    Values are shares; the axis is in percentage points.

    Returns:
        A PNG, or None where there is nothing to compare.
    """
    base, others = arms[0], arms[1:]
    found = {
        (arm.name, title): difference
        for arm in others
        for evaluation, metric, title in metrics
        if (difference := against(arm, base, evaluation, metric))
    }
    shown = [metric for metric in metrics if any(title == metric[2] for _, title in found)]
    if not shown:
        return None
    with drawing():
        figure = new_figure(1.3 + 0.4 * len(others), width=max(WIDTH, 2 + 2.6 * len(shown)))
        axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
        for axis, (_, _, title) in zip(axes, shown, strict=True):
            for place, arm in enumerate(others):
                difference = found.get((arm.name, title))
                if difference is None:
                    continue
                colour = PALETTE[place % len(PALETTE)]
                pairs = 100 * np.asarray(difference.pairs)
                offsets = np.linspace(-0.2, 0.2, len(pairs)) if len(pairs) > 1 else np.zeros(1)
                axis.scatter(
                    pairs, place + offsets, s=24, color=colour, edgecolor="white", zorder=3
                )
                mean, interval = 100 * difference.mean, difference.interval
                axis.plot([mean], [place], "D", color=colour, markeredgecolor="black", zorder=4)
                if interval is not None:
                    axis.errorbar(mean, place, xerr=100 * interval, color="black", capsize=4)
            axis.axvline(0, color="black", linewidth=1.2)
            axis.set_yticks(range(len(others)), [arm.name for arm in others])
            axis.set_ylim(len(others) - 0.4, -0.6)
            axis.set_xlabel(f"{title.removesuffix(' (%)')}, points above {base.name}")
        return to_png(figure)
