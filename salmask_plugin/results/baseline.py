"""Which baseline a row is compared with, how far it is from it, and why not where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from salmask_plugin.results.statistics import difference
from salmask_plugin.results.table import Row


def against_baseline(row: Row, rows: Sequence[Row]) -> tuple[Row, list[str]]:
    """Return the row with its differences, and what has to be said about them."""
    if row.is_baseline:
        return row, []
    own = row.setting
    candidates = [
        other
        for other in rows
        if other.is_baseline
        and (other.setting.host, other.setting.method) == (own.host, own.method)
    ]
    if not candidates:
        return row, [f"{own.host} {own.method} has no baseline run here, hence no difference."]
    matching = [other for other in candidates if not own.unlike(other.setting)]
    if len(matching) != 1:
        return row, [_why_not(row, candidates, len(matching))]
    base = matching[0]
    differences = {
        column: difference(values, base.values[column])
        for column, values in row.values.items()
        if column in base.values
    }
    notes = []
    if any(not found.pairs for found in differences.values()):
        notes.append(
            f"{row.label} shares no seed with its baseline: † is the difference of two means, "
            "without a spread."
        )
    ratio, note = _time_ratio(row, base)
    return replace(row, differences=differences, time_ratio=ratio), notes + note


def _why_not(row: Row, candidates: Sequence[Row], matching: int) -> str:
    if matching:
        return f"{row.label} has {matching} baselines that fit, hence no difference."
    nearest = min(candidates, key=lambda other: len(row.setting.unlike(other.setting))).setting
    own, other = row.setting.training, nearest.training
    differing = [
        f"{key} ({own.get(key)}, baseline {other.get(key)})" for key in row.setting.unlike(nearest)
    ]
    return (
        f"{row.label} is not compared: it was trained unlike its baseline in "
        f"{', '.join(differing)}."
    )


def _time_ratio(row: Row, base: Row) -> tuple[float | None, list[str]]:
    if row.minutes is None or base.minutes is None:
        return None, []
    machines = {run.environment.device for entry in (row, base) for run in entry.runs.values()}
    if len(machines) > 1:
        text = f"{row.label} and its baseline ran on different machines, hence no time ratio."
        return None, [text]
    return row.minutes.mean / base.minutes.mean, []
