"""Accuracy on partly hidden pictures by what hides them: every row of a study, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from salmask_plugin.lab.results.arms import Arm, against
from salmask_plugin.lab.results.bars import Metric
from salmask_plugin.lab.results.escaping import escape_markdown
from salmask_plugin.lab.results.grid import NOTHING, Grid, difference_text, mean_text
from salmask_plugin.lab.results.metric_names import (
    OCCLUSION,
    classifier_of,
    hidden_by,
    occlusion_title,
)

_FIRST = "linear"
"""The classifier that is shown where runs have several."""


def hidden_metrics(arms: Sequence[Arm], known: Sequence[Metric] = ()) -> list[Metric]:
    """Return the accuracies on hidden pictures that some run has, by one classifier.

    Args:
        arms: the rows.
        known: measures that the page shows anyway.

    Returns:
        Evaluation, metric and title, in the order of the records; none where all are known.
    """
    names = dict.fromkeys(
        metric
        for arm in arms
        for run in arm.runs.values()
        if OCCLUSION in run.evaluations
        for metric in run.evaluations[OCCLUSION].metrics
        if hidden_by(metric)
    )
    classifiers = list(map(classifier_of, names))
    shown = _FIRST if _FIRST in classifiers else next(iter(classifiers), "")
    found = [
        (OCCLUSION, name, f"{occlusion_title(name)} (%)")
        for name in names
        if classifier_of(name) == shown
    ]
    new = {metric[:2] for metric in found} - {metric[:2] for metric in known}
    return found if new else []


def hidden_table(
    arms: Sequence[Arm], metrics: Sequence[Metric], flags: Mapping[str, str]
) -> list[str]:
    """Return a table of rows and of what hides, with the sentence that explains it.

    Args:
        arms: the baseline first.
        metrics: of :func:`hidden_metrics`.
        flags: title of a metric -> why its differences are not readable.

    Returns:
        Blocks of Markdown; none where no run has such a measure.
    """
    if not metrics:
        return []
    base = arms[0]
    rows = []
    for arm in arms:
        cells = [arm.name]
        for evaluation, metric, title in metrics:
            values = list(arm.values(evaluation, metric).values())
            found = None if arm is base else against(arm, base, evaluation, metric)
            beside = (
                f" ({difference_text(found, flags.get(title, ''))})" if found is not None else ""
            )
            cells.append(mean_text(values, spread=False) + beside if values else NOTHING)
        rows.append(cells)
    titles = ["row", *(hidden_by(metric) for _, metric, _ in metrics)]
    classifier = classifier_of(metrics[0][1])
    return [
        escape_markdown(
            f"Top-1 (%) of the {classifier} classifier on pictures of which {_share(arms)} is "
            f"hidden, by what hides it; in brackets the difference to {base.name}, exploratory "
            "unless it was planned:"
        ),
        Grid(titles, rows).markdown(left=1),
    ]


def _share(arms: Sequence[Arm]) -> str:
    """Say how much is hidden: "30 %", or "a part" where runs do not agree."""
    found = {
        (run.protocol(OCCLUSION) or {}).get("metrics_at")
        for arm in arms
        for run in arm.runs.values()
        if OCCLUSION in run.evaluations
    }
    share = next(iter(found)) if len(found) == 1 else None
    return f"{100 * share:g} %" if isinstance(share, float) else "a part"
