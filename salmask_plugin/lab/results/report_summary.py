"""What a report says in plain words: what ran, what came out, and what that is worth."""

from __future__ import annotations

from collections.abc import Sequence

from salmask_plugin.lab.results.drawing import families
from salmask_plugin.lab.results.grouping import Setting
from salmask_plugin.lab.results.record import RunRecord
from salmask_plugin.lab.results.table import Column, Comparison, Row, Table
from salmask_plugin.lab.results.text import number

PAPER = {"classes": 100, "view size": 224, "backbone": "resnet50", "epochs": 200}
"""The scale of the paper's main results: ImageNet-100, ResNet-50, 200 epochs."""


def summarize_study(records: Sequence[RunRecord], comparison: Comparison) -> list[str]:
    """Return the summary's paragraphs."""
    if not records:
        return ["There is no run to report."]
    finished = [record for record in records if record.status == "finished"]
    counted = [f"{_count(len(finished), 'finished run')}"]
    for status in ("failed", "stopped"):
        count = sum(record.status == status for record in records)
        counted += [_count(count, f"{status} run")] if count else []
    text = _listed(counted)
    hosts = _listed(sorted({record.host for record in records}))
    methods = _listed(sorted({Setting.of(record).method for record in records}))
    recipes = _listed(sorted({record.recipe for record in records}))
    seeds = sorted({record.seed for record in records})
    paragraphs = [
        f"{text}: host {hosts}; method {methods}; recipe {recipes} (none = no masking); "
        f"{'seed' if len(seeds) == 1 else 'seeds'} {_listed(list(map(str, seeds)))}."
    ]
    for table in comparison.tables:
        paragraphs += _findings(table)
    paragraphs += _worth(comparison)
    return paragraphs


def departures(table: Table) -> list[str]:
    """Return how a table's scale departs from the paper's, one phrase each."""
    conditions = table.conditions
    ours = {
        "classes": conditions.data.classes,
        "view size": conditions.data.view_size,
        "backbone": conditions.backbone,
        "epochs": conditions.epochs,
    }
    return [
        f"{key} {ours[key]} (paper: {value})" for key, value in PAPER.items() if ours[key] != value
    ]


def _findings(table: Table) -> list[str]:
    """Return one sentence per method: its best row by the first metric that has differences."""
    sentences = []
    for family, rows in families(table.rows).items():
        for column in table.columns:
            compared = [row for row in rows if column in row.differences]
            flags = {row.unread[column] for row in compared if column in row.unread}
            if flags:
                sentences.append(
                    f"{family}: {', '.join(sorted(flags))} by {column.title}; the differences are "
                    "not readable."
                )
                break
            if compared:
                sentences.append(f"{family}: {_finding(column, compared)}")
                break
    return sentences


def _finding(column: Column, rows: Sequence[Row]) -> str:
    best = max(rows, key=lambda row: row.differences[column].mean)
    found = best.differences[column]
    unit = " points" if column.scale == 100 else ""
    pairs = len(found.pairs)
    basis = f"over {pairs} paired seeds" if pairs > 1 else "from a single pair of runs"
    if not pairs:
        basis = "between means of different seeds"
    interval = f" ± {number(found.interval, column)}" if found.interval is not None else ""
    verdicts = [row.differences[column].verdict for row in rows]
    said = ", ".join(f"{key} {verdicts.count(key)}" for key in ("above", "below", "undecided"))
    return (
        f"exploratory, by {column.title}, {_count(len(rows), 'row')} against the baseline, by 95 % "
        f"intervals: {said}; "
        f"highest: {best.name} with {number(best.results[column].mean, column)}, "
        f"{number(found.mean, column, sign=True)}{interval}{unit} against the baseline {basis}."
    )


def _worth(comparison: Comparison) -> list[str]:
    paragraphs = []
    for table in comparison.tables:
        differing = departures(table)
        if differing:
            paragraphs.append(
                f"Scale of the runs on {table.conditions.data.name}: {', '.join(differing)}. This "
                "is not the paper's setting; such runs show that the pipeline works and are no "
                "measure of the method."
            )
    fewest = min((len(row.runs) for table in comparison.tables for row in table.rows), default=0)
    if 0 < fewest < 3:
        paragraphs.append(
            f"Some rows rest on {_count(fewest, 'seed')}. A difference whose interval holds zero, "
            "or that has none, is not shown."
        )
    return paragraphs


def _count(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
