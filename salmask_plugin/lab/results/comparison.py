"""Records to comparison tables: mean and spread over seeds, difference to the baseline, time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isclose

from salmask_plugin.lab.results.acting_settings import Items
from salmask_plugin.lab.results.baseline import Bar, against_baseline
from salmask_plugin.lab.results.escaping import printable
from salmask_plugin.lab.results.gate import guess_sentence, guesses, is_untrained
from salmask_plugin.lab.results.grouping import Conditions, Group, group, items
from salmask_plugin.lab.results.record import RunRecord, values_of
from salmask_plugin.lab.results.row_names import is_still, name_rows
from salmask_plugin.lab.results.statistics import summarize
from salmask_plugin.lab.results.study import asked_gate
from salmask_plugin.lab.results.table import Column, Comparison, Row, Table

ExtraColumns = Mapping[str, Mapping[tuple[str, str], str]]
"""Column title -> (method, recipe) -> text, such as the values a paper reports."""

CHOSEN = ("weight_decay",)
"""What a probe has chosen for itself: kept in records, shown where it is asked for."""
_FIRST = ("knn", "linear", "logistic")  # the order people expect; anything else follows by name


def compare(
    records: Sequence[RunRecord],
    *,
    baseline: str = "none",
    metrics: Sequence[str] | None = None,
    extra_columns: ExtraColumns | None = None,
) -> Comparison:
    """Compare runs.

    Runs on other images, for other epochs or with another encoder go to tables of their own.
    Values under another evaluation protocol go to columns of their own. A row is compared with the
    baseline of its host and method that was trained alike; without one it has no difference, and a
    note says why. Differences to a baseline that is hardly better than an untrained encoder, or
    of a probe at chance, are marked as not readable.

    Args:
        records: of any host.
        baseline: recipe of the baseline rows.
        metrics: "evaluation/metric" to show, such as "knn/top1"; None shows all.
        extra_columns: further columns of text.

    Raises:
        ValueError: if no record has one of ``metrics``.
    """
    if isinstance(metrics, str):
        raise ValueError(f"metrics={metrics!r} must be a list, such as [{metrics!r}].")
    records = [printable(record) for record in records]
    _require_known(records, metrics)
    by_conditions, notes = group(records)
    by_conditions, said = _with_the_untrained(by_conditions)
    notes += said
    masked = {entry.setting.recipe for groups in by_conditions.values() for entry in groups}
    tables = [
        replace(
            _table(conditions, groups, baseline, metrics, extra_columns or {}, records),
            recipes=tuple(sorted(masked - {baseline})),
        )
        for conditions, groups in by_conditions.items()
    ]
    if len(tables) > 1:
        notes.append(
            "The runs differ in images, epochs or encoder. Each such set has its own table; do not "
            "compare values between tables."
        )
    return Comparison(tuple(tables), tuple(notes))


def _with_the_untrained(
    by_conditions: Mapping[Conditions, list[Group]],
) -> tuple[dict[Conditions, list[Group]], list[str]]:
    """Put the untrained encoder into the tables of those that were trained: it has no epochs."""
    apart = {
        conditions: groups
        for conditions, groups in by_conditions.items()
        if all(is_untrained(run) for entry in groups for run in entry.runs.values())
    }
    tables = {key: list(groups) for key, groups in by_conditions.items() if key not in apart}
    notes = []
    for conditions, groups in apart.items():
        fitting = [key for key in tables if replace(key, epochs=conditions.epochs) == conditions]
        for key in fitting:
            tables[key] += groups
        if not fitting:
            tables[conditions] = groups
            continue
        names = ", ".join(dict.fromkeys(entry.setting.recipe for entry in groups))
        notes.append(
            f"{names}: the encoder as it was initialised. It was trained for no epoch of the "
            "table's; only BatchNorm's statistics have seen images."
        )
    return tables, notes


def _require_known(records: Sequence[RunRecord], metrics: Sequence[str] | None) -> None:
    known = {
        f"{name}/{metric}"
        for record in records
        for name, evaluation in record.evaluations.items()
        for metric in evaluation.metrics
    }
    unknown = sorted(set(metrics or ()) - known)
    if unknown:
        raise ValueError(f"metrics: no record has {unknown}; there are {sorted(known)}.")


def _table(
    conditions: Conditions,
    groups: Sequence[Group],
    baseline: str,
    metrics: Sequence[str] | None,
    extra_columns: ExtraColumns,
    records: Sequence[RunRecord],
) -> Table:
    columns = _columns(groups, metrics)
    rows = name_rows([_row(entry, columns, baseline, extra_columns) for entry in groups])
    rows.sort(key=lambda row: (row.setting.host, row.setting.method, not row.is_baseline))
    runs = [run for entry in groups for run in entry.runs.values()]
    chance = [column for column in columns if guesses(runs, column.evaluation, column.metric)]
    bar = Bar([run for run in records if is_untrained(run)], asked_gate(records), chance)
    compared = [(row, []) if is_still(row) else against_baseline(row, rows, bar) for row in rows]
    notes = [note for _, found in compared for note in found]
    notes += [guess_sentence(column.evaluation, column.metric) for column in chance]
    notes += _protocol_notes(columns) + _environment_notes(groups)
    return Table(
        conditions,
        tuple(columns),
        tuple(row for row, _ in compared),
        tuple(extra_columns),
        tuple(dict.fromkeys(notes)),
    )


def _columns(groups: Sequence[Group], metrics: Sequence[str] | None) -> list[Column]:
    found = {
        Column(name, metric, items(evaluation.protocol))
        for entry in groups
        for record in entry.runs.values()
        for name, evaluation in record.evaluations.items()
        for metric in evaluation.metrics
        if (metrics is None and metric not in CHOSEN and not _repeats_top1(name, metric, groups))
        or (metrics is not None and f"{name}/{metric}" in metrics)
    }
    columns = [replace(column, shown=_distinctive(column, found)) for column in found]
    return sorted(columns, key=_column_order)


def _repeats_top1(name: str, metric: str, groups: Sequence[Group]) -> bool:
    """Whether a mean per class is the top-1 everywhere, as it is with classes of equal size."""
    found = [
        evaluation.metrics
        for entry in groups
        for record in entry.runs.values()
        if (evaluation := record.evaluations.get(name)) is not None and metric in evaluation.metrics
    ]
    return metric == "mean_per_class" and all(
        isclose(values[metric], values.get("top1_last", values.get("top1", -1.0)), abs_tol=1e-6)
        for values in found
    )


def _column_order(column: Column) -> tuple[object, ...]:
    known = column.evaluation in _FIRST
    place = _FIRST.index(column.evaluation) if known else len(_FIRST)
    # "last" before "best": the honest number comes first; top-1 before what else was measured.
    metric = (column.metric.endswith("_best"), not column.metric.startswith("top"), column.metric)
    return (place, column.evaluation, metric, str(column.protocol))


def _distinctive(column: Column, found: set[Column]) -> Items:
    """Return the protocol settings in which a column differs from its siblings."""
    siblings = [
        dict(other.protocol)
        for other in found
        if (other.evaluation, other.metric) == (column.evaluation, column.metric)
    ]
    own = dict(column.protocol)
    keys = sorted({key for sibling in siblings for key in sibling})
    return tuple(
        (key, own.get(key, "not given"))
        for key in keys
        if len({repr(sibling.get(key)) for sibling in siblings}) > 1
    )


def _row(
    entry: Group, columns: Sequence[Column], baseline: str, extra_columns: ExtraColumns
) -> Row:
    values = {column: _values(entry.runs, column) for column in columns}
    values = {column: found for column, found in values.items() if found}
    seconds = [run.timing.pretrain_seconds for run in entry.runs.values()]
    minutes = [value / 60 for value in seconds if value is not None]
    place = (entry.setting.method, entry.setting.recipe)
    return Row(
        setting=entry.setting,
        runs=entry.runs,
        values=values,
        results={column: summarize(list(found.values())) for column, found in values.items()},
        minutes=summarize(minutes) if minutes else None,
        is_baseline=entry.setting.recipe == baseline,
        extra={title: texts[place] for title, texts in extra_columns.items() if place in texts},
    )


def _values(runs: Mapping[int, RunRecord], column: Column) -> dict[int, float]:
    alike = {
        seed: run
        for seed, run in runs.items()
        if items(run.protocol(column.evaluation) or {}) == column.protocol
    }
    return values_of(alike, column.evaluation, column.metric)


def _protocol_notes(columns: Sequence[Column]) -> list[str]:
    notes = []
    if any(column.shown for column in columns):
        notes.append(
            "Some evaluations were run under more than one protocol; each has its own column, "
            "named by what differs."
        )
    if any(column.metric.endswith("_best") for column in columns):
        notes.append(
            "The best epoch is chosen on the validation images themselves, so it flatters: judge "
            "by the last epoch."
        )
    return notes


def _environment_notes(groups: Sequence[Group]) -> list[str]:
    records = [record for entry in groups for record in entry.runs.values()]
    notes = []
    if len({record.environment.commit for record in records}) > 1:
        notes.append("The runs come from more than one commit of salmask_plugin.")
    versions = [record.environment.versions for record in records]
    packages = sorted({name for found in versions for name in found})
    mixed = [
        name for name in packages if len({found[name] for found in versions if name in found}) > 1
    ]
    if mixed:
        notes.append(f"The runs used more than one version of {', '.join(mixed)}.")
    diverged = sorted(record.name for record in records if record.diverged)
    if diverged:
        notes.append(f"The loss was not finite in {', '.join(diverged)}.")
    return notes
