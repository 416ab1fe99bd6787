"""Which baseline a row is compared with, how far it is from it, and why not where it is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from salmask_plugin.lab.results.gate import AT_CHANCE, BELOW_GATE, judge
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.statistics import difference, summarize
from salmask_plugin.lab.results.table import Column, Row


@dataclass(frozen=True)
class Bar:
    """What stands between a difference and its being read.

    Attributes:
        untrained: the untrained encoder's runs, of any length.
        points: of the gate.
        chance: columns where every run is at chance.
    """

    untrained: Sequence[RunRecord]
    points: float
    chance: Sequence[Column]


def against_baseline(row: Row, rows: Sequence[Row], bar: Bar) -> tuple[Row, list[str]]:
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
    runs = [*row.runs.values(), *base.runs.values()]
    differences = {
        column: difference(
            values,
            base.values[column],
            max(run.resolution(column.evaluation, column.metric) for run in runs),
        )
        for column, values in row.values.items()
        if column in base.values
    }
    gate = judge(base.runs, bar.untrained, bar.points)
    notes = [] if gate is None else [gate.sentence(base.label)]
    unread = {column: AT_CHANCE for column in differences if column in bar.chance}
    if gate is not None and not gate.passed:
        unread = dict.fromkeys(differences, BELOW_GATE)
    if any(not found.pairs for found in differences.values()):
        notes.append(
            f"{row.label} shares no seed with its baseline: † is the difference of two means, "
            "without an interval."
        )
    ratio, words = time_ratio(row.runs, base.runs)
    notes += [f"{row.label} and its baseline {words}, hence no time ratio."] if words else []
    return replace(row, differences=differences, unread=unread, time_ratio=ratio), notes


def time_ratio(
    runs: Mapping[int, RunRecord], baseline: Mapping[int, RunRecord]
) -> tuple[float | None, str]:
    """Return the mean time of pretraining over the baseline's, and why there is none."""
    minutes = [mean_minutes(entry) for entry in (runs, baseline)]
    if minutes[0] is None or not minutes[1]:
        return None, ""
    machines = {run.environment.device for entry in (runs, baseline) for run in entry.values()}
    if len(machines) > 1:
        return None, "ran on different machines"
    return minutes[0] / minutes[1], ""


def mean_minutes(runs: Mapping[int, RunRecord]) -> float | None:
    """Return the mean minutes of pretraining, None where no run has them."""
    seconds = [run.timing.pretrain_seconds for run in runs.values()]
    known = [value / 60 for value in seconds if value is not None]
    return summarize(known).mean if known else None


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
